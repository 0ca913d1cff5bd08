package sqlitesync_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sqlitesync/go/sqlitesync"
)

// The tables that SCHEMA.md recommends can be made, and synced.
func TestSchemaPage(t *testing.T) {
	page, err := os.ReadFile("SCHEMA.md")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqlitesync.OpenDB(filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 3 {
		t.Fatalf("the page has %d blocks of SQL", len(blocks))
	}
	for _, block := range blocks {
		if _, err := db.Exec(string(block[1])); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
	}
	s, err := sqlitesync.Create(t.Context(), db, t.TempDir(), &sqlitesync.Options{Manual: true, Keys: sqlitesync.FileKeys(t.TempDir())})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, table := range s.Status().Unsynced {
		if table.Table != "balance" { // a view, which needs no sync
			t.Errorf("%s stays on the device: %s", table.Table, table.Reason)
		}
	}
	if warnings := s.Status().Warnings; len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
}
