package changelog_test

import (
	"database/sql"
	"math"
	"path/filepath"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// Keys are in the order in which SQLite has them.
func TestCompareKeys(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "order.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	values := append([]changelog.Value{int64(1<<53 + 2), float64(1 << 53), -float64(1 << 63), float64(1 << 63), -1.5, 1.5, int64(-2), int64(1), "A", "aa"}, oddValues...)
	for _, v := range values {
		for _, w := range values {
			var want int
			// NULL is no value that can be less than another; in an order it comes first.
			if err := db.QueryRow("SELECT iif(?1 IS ?2, 0, iif(?1 IS NULL OR ?1 < ?2, -1, 1))", v, w).Scan(&want); err != nil {
				t.Fatal(err)
			}
			if got := (changelog.Key{v}).Compare(changelog.Key{w}); got != want {
				t.Errorf("%#v against %#v: %d, want %d", v, w, got, want)
			}
			if got := (changelog.Key{"same", v}).Compare(changelog.Key{"same", w}); got != want {
				t.Errorf("in the second place %#v against %#v: %d, want %d", v, w, got, want)
			}
			if got := (changelog.Key{v, "z"}).Compare(changelog.Key{w, "a"}); want != 0 && got != want {
				t.Errorf("in the first place %#v against %#v: %d, want %d", v, w, got, want)
			}
		}
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	for i, v := range oddValues {
		key := changelog.Key{v, oddValues[(i+1)%len(oddValues)]}
		identity := []byte(key.Identity())
		parsed, err := changelog.ParseKey(identity, 2)
		if err != nil || parsed.Compare(key) != 0 {
			t.Errorf("%#v became %#v, %v", key, parsed, err)
		}
		for n := range identity {
			if _, err := changelog.ParseKey(identity[:n], 2); err == nil {
				t.Errorf("%x was read although %d bytes are missing", identity, len(identity)-n)
			}
		}
		if _, err := changelog.ParseKey(append(identity, 0), 2); err == nil {
			t.Errorf("%x was read although a byte follows", identity)
		}
	}
	encoded := changelog.AppendValue(nil, 1.0) // the key 1 has one encoding
	if _, err := changelog.ParseKey(encoded, 1); err == nil {
		t.Error("the real 1.0 was read as a key")
	}
}

func FuzzParseKey(f *testing.F) {
	for _, v := range oddValues {
		f.Add([]byte(changelog.Key{v, int64(7)}.Identity()), 2)
	}
	f.Add(changelog.AppendValue(nil, math.NaN()), 1)
	f.Fuzz(func(t *testing.T, identity []byte, columns int) {
		key, err := changelog.ParseKey(identity, min(max(columns, 0), 100))
		if err == nil && key.Identity() != string(identity) {
			t.Errorf("%x became %x", identity, key.Identity())
		}
	})
}
