package merge

import (
	"bytes"
	"database/sql"
	"fmt"
	"math"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
)

// What SQLite holds equal, in a column of any type and collation, must be in one bucket.
func TestBuckets(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	values := []changelog.Value{
		int64(0), int64(1), int64(-1), int64(1 << 53), int64(1<<53 + 1), int64(math.MaxInt64), int64(1e15), int64(999999999999999), 1.0, 1.5, math.Copysign(0, -1), 0.1,
		0.12345678901234567, 1e300, 1e15, 1e16, 5e-324, math.Inf(1), math.Inf(-1), float64(1 << 53), "1", "1.0", " 1", "1 ", "+1", "01", "1e0", "1.5", "0.1", "1e300", "1.0e+300", "Inf", "-Inf",
		"9007199254740993", "9.00719925474099e+15", "1e15", "1.0e+15", "0.123456789012346", "a", "A", "a ", "A  ", " a", "", " ", "1\x00", "a\x00", "A\x00b", "a\x00b", "0x1", "nan", "é", "É",
		[]byte("1"), []byte("a"), []byte{},
	}
	met := 0
	for _, declared := range []string{"TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB"} {
		for _, collation := range []string{"BINARY", "NOCASE", "RTRIM"} {
			if _, err := db.Exec(fmt.Sprintf("DROP TABLE IF EXISTS p; CREATE TABLE p (v %s COLLATE %s)", declared, collation)); err != nil {
				t.Fatal(err)
			}
			for _, a := range values {
				if _, err := db.Exec("DELETE FROM p; INSERT INTO p VALUES (?)", a); err != nil {
					t.Fatal(err)
				}
				var stored any
				if err := db.QueryRow("SELECT +v FROM p").Scan(&stored); err != nil {
					t.Fatal(err)
				}
				if stored, err = changelog.Scanned(stored); err != nil {
					t.Fatal(err)
				}
				for _, b := range values {
					var equal bool
					if err := db.QueryRow("SELECT EXISTS (SELECT 1 FROM p WHERE v = ?)", b).Scan(&equal); err != nil {
						t.Fatal(err)
					}
					if equal && !bytes.Equal(bucket([]changelog.Value{stored}), bucket([]changelog.Value{b})) {
						t.Errorf("in a %s column with %s the parent %#v and the child %#v are in other buckets", declared, collation, stored, b)
					}
					if equal {
						met++
					}
				}
			}
		}
	}
	if met < 15*len(values)/2 {
		t.Errorf("only %d pairs are equal", met)
	}
	if bytes.Equal(bucket([]changelog.Value{"a", "b"}), bucket([]changelog.Value{"ab", ""})) || bytes.Equal(bucket([]changelog.Value{int64(1)}), bucket([]changelog.Value{int64(2)})) {
		t.Error("values that have nothing in common are in one bucket")
	}
}
