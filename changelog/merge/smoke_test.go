package merge_test

import "testing"

func TestSmoke(t *testing.T) {
	schema := "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)"
	a, b := newDevice(t, "a", schema), newDevice(t, "b", schema)
	a.exec("INSERT INTO t VALUES (1, 'x', 2.5), (2, 'y', x'')")
	b.apply(a.fold())
	b.expect("SELECT * FROM t", `1 "x" 2.5`, `2 "y" x''`)
	a.exec("UPDATE t SET u = 'z' WHERE id = 1; UPDATE t SET u = 'x' WHERE id = 2; UPDATE t SET u = 'y' WHERE id = 1")
	b.apply(a.fold())
	b.restart()
	b.expect("SELECT * FROM t", `1 "y" 2.5`, `2 "x" x''`)
	if b.fold() != nil {
		t.Error("echo")
	}
	b.integrity()
}
