package changelog_test

import (
	"context"
	"slices"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

func TestLook(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE a (id TEXT PRIMARY KEY, x UNIQUE); CREATE TABLE b (id TEXT PRIMARY KEY); CREATE TABLE c (x)"
	tests := []struct {
		name, change string
		exclude      []string
		want         []string
	}{
		{"nothing to do", "", nil, nil},
		{"no trigger", "DROP TRIGGER sqlitesync_1_update", nil, []string{"a"}},
		{"no trigger over an index", "DROP TRIGGER sqlitesync_1_replace_insert_0", nil, []string{"a"}},
		{"another trigger", "DROP TRIGGER sqlitesync_2_delete; CREATE TRIGGER sqlitesync_2_delete AFTER DELETE ON b BEGIN SELECT 1; END", nil, []string{"b"}},
		{"a table that is excluded", "DROP TRIGGER sqlitesync_1_update", []string{"A"}, nil},
		{"a new table", "CREATE TABLE d (id TEXT PRIMARY KEY)", nil, []string{"d"}},
		{"a new table that can't take part", "CREATE TABLE e (x)", nil, nil},
		{"a table with another key", "DROP TABLE b; CREATE TABLE b (key TEXT PRIMARY KEY)", nil, []string{"b"}},
		{"a new index", "CREATE UNIQUE INDEX i ON b (id, id)", nil, []string{"b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, schema)
			d.exec(test.change)
			before := d.text("SELECT group_concat(name || sql) FROM sqlite_schema")
			ctx := context.Background()
			db, err := changelog.Open(ctx, d.conn, self)
			d.check(err)
			due, err := db.Look(ctx, changelog.Selection{Exclude: test.exclude})
			d.check(err)
			if !slices.Equal(due, test.want) {
				t.Errorf("due %q, want %q", due, test.want)
			}
			if after := d.text("SELECT group_concat(name || sql) FROM sqlite_schema"); after != before {
				t.Errorf("the schema was changed to %s", after)
			}
		})
	}
}
