package sqlitesync

import (
	"fmt"
	"testing"
)

// A table that comes while another one goes, and has rows of the same keys, is a new one, of which this device says nothing yet:
// not that rows were deleted, and nothing that overrules what people wrote to it on other devices.
func TestANewTableIsNotTheOneThatGoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, before, key, value string }{
		{"other columns", "UPDATE t SET v = 'edited'", "id", "theme"},
		{"a key of another name", "DELETE FROM t WHERE id < 3", "number", "v"},
		{"all was deleted", "DELETE FROM t", "id", "v"},
		{"most is missing", "UPDATE t SET v = 'edited' WHERE id = 1", "id", "v"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			migration := fmt.Sprintf("; DROP TABLE t; CREATE TABLE n (%s INTEGER PRIMARY KEY, %s); INSERT INTO n VALUES (1, 'new')", test.key, test.value)
			a, b := newPair(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
			a.exec("INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'old')")
			settle(a, b)
			b.exec(migration)
			b.sync()
			b.exec("UPDATE n SET " + test.value + " = 'mine'; INSERT INTO n VALUES (2, 'mine'), (3, 'mine')")
			b.sync()
			tick()
			a.exec(test.before + migration)
			settle(a, b)
			settle(a, b)
			wantEverywhere("1mine,2mine,3mine", fmt.Sprintf("SELECT group_concat(%s || %s) FROM (SELECT * FROM n ORDER BY 1)", test.key, test.value), a, b)
			wantQuiet(t, a, b)
		})
	}
}
