package sqlitesync

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A migration tool's table that is synced, because nobody has said otherwise, is
// told of, once, with the way out.
func TestMigrationTablesThatTravelAreToldOf(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + `; CREATE TABLE "__efmigrationshistory" (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY)`
	for _, test := range []struct {
		name    string
		options Options
		told    []string
	}{
		{"by default", Options{}, []string{"__efmigrationshistory", "goose_db_version"}},
		{"one excluded", Options{Exclude: []string{"GOOSE_db_version"}}, []string{"__efmigrationshistory"}},
		{"asked for", Options{Tables: []string{"item", "Goose_db_version"}}, nil},
	} {
		d := newTestDevice(t, schema)
		d.options.Tables, d.options.Exclude = test.options.Tables, test.options.Exclude
		d.create(t.TempDir())
		d.exec("CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL)") // all tables are read again
		d.sync()
		examined := d.examine("")
		for what, status := range map[string]Status{"the Syncer": d.syncer.Status(), "the View": examined.Status} {
			if len(status.Warnings) != len(test.told) || status.State != StateIdle {
				t.Errorf("%s: %s is %s, and warns %q", test.name, what, status.State, status.Warnings)
			}
			for _, table := range test.told {
				if warnings := strings.Join(status.Warnings, "\n"); !strings.Contains(warnings, `"`+table+`"`) || !strings.Contains(warnings, "--exclude "+table) {
					t.Errorf("%s: %s does not tell of %s: %q", test.name, what, table, warnings)
				}
			}
		}
		var found []string
		for _, f := range examined.Findings {
			if f.Code == FindingMigrationsSynced && f.Note {
				found = append(found, f.Table)
			}
		}
		if !slices.Equal(found, test.told) {
			t.Errorf("%s: findings about %q, want %q", test.name, found, test.told)
		}
	}
}

func TestSchemaPageNamesMigrationTables(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("SCHEMA.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range migrationTables {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("SCHEMA.md does not name %s", name)
		}
	}
}

// What others write to a table that was excluded here is kept for the day on which
// it takes part again, and nothing waits for it.
func TestRowsOfExcludedTablesAreNoProblem(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.options.Exclude = []string{"item"}
	b.reopen()
	a.exec("INSERT INTO item VALUES ('x', 'name', 1)")
	settle(a, b)
	examined := b.examine("")
	if got := codes(examined.Findings); !slices.Equal(got, []FindingCode{FindingInUse, FindingTableLocal}) || examined.Status.State != StateIdle || examined.Status.Held != 1 {
		t.Errorf("found %v, the state is %s, %d rows are held", got, examined.Status.State, examined.Status.Held)
	}
}
