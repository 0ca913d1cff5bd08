package merge_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// Every storage class arrives bit for bit, whatever the column is declared as, and is no change when it is written again.
func TestValues(t *testing.T) {
	declared := []string{"", "TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BOOLEAN", "DECIMAL(20,10)", "JSON", "VARCHAR(3)"}
	values := []any{nil, int64(0), int64(1), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1<<53 + 1), 0.0, math.Copysign(0, -1), 1.0, 1.5,
		5e-324, -5e-324, math.MaxFloat64, math.Inf(1), math.Inf(-1), 0.1 + 0.2, "", "a", "true", "1", " 1 ", "9007199254740993.10", "1e400",
		"\x00", "a\x00b", "\xff\xfe", "é", "e\u0301", "2024-01-02", "2024-01-02 03:04:05", "2024-01-02T03:04:05Z", "03:04", `{"a": 1.0}`,
		"2024-01-02 03:04:05 +0000 UTC", []byte{}, []byte("a"), []byte{0}, []byte("\xff"), []byte("2024-01-02"), strings.Repeat("x", 70000)}
	var columns, read []string
	for i, kind := range declared {
		columns = append(columns, fmt.Sprintf("c%02d %s", i, kind))
		read = append(read, fmt.Sprintf("+c%02d", i), fmt.Sprintf("typeof(c%02d)", i))
	}
	const keys, strictKeys = "CREATE TABLE keys (k PRIMARY KEY) WITHOUT ROWID;", "CREATE TABLE keys (k ANY PRIMARY KEY) STRICT, WITHOUT ROWID;"
	for _, strict := range []bool{false, true} {
		schema := keys + "CREATE TABLE t (id PRIMARY KEY, " + strings.Join(columns, ", ") + ")"
		if strict {
			schema = strictKeys + "CREATE TABLE t (id ANY PRIMARY KEY, c00 ANY, c01 TEXT, c02 INT, c03 REAL, c04 BLOB) STRICT"
			read = read[:2*5]
		}
		a, b, c := newDevice(t, "a", schema), newDevice(t, "b", schema), newDevice(t, "c", schema)
		for i, v := range values {
			for column := range len(read) / 2 {
				err := a.try(fmt.Sprintf("INSERT INTO t (id, c%02d) VALUES (?, ?)", column), fmt.Sprintf("%d %d", i, column), v)
				if err != nil && !strict {
					t.Fatal(err)
				}
			}
			if v != nil {
				a.try("INSERT INTO keys VALUES (?)", v)
			}
		}
		query := "SELECT +id, " + strings.Join(read, ", ") + " FROM t ORDER BY id"
		want := a.rows(query)
		batch := a.fold()
		if len(batch.Changes) < 100 {
			t.Fatalf("only %d changes", len(batch.Changes))
		}
		b.deliver(batch)
		b.expect(query, want...)
		b.expect("SELECT +k, typeof(k) FROM keys", a.rows("SELECT +k, typeof(k) FROM keys")...)
		// Writing back what was read, row by row, is no change; neither is it an echo.
		b.exec("UPDATE t SET id = id; UPDATE keys SET k = k")
		if folded := b.fold(); folded != nil {
			t.Errorf("writing values back changes %s", described(folded.Changes))
		}
		// What b makes of it travels on as it came.
		b.exec("UPDATE t SET id = 'moved ' || id; UPDATE keys SET k = 'moved' WHERE k = 1.5")
		c.deliver(batch)
		c.deliver(b.fold())
		c.expect(query, b.rows(query)...)
		for _, d := range []*device{a, b, c} {
			d.integrity()
		}
	}
}
