package sqlitesync_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
	s, err := sqlitesync.Create(t.Context(), db, t.TempDir(), &sqlitesync.Options{Manual: true, Keys: sqlitesync.FileKeys(filepath.Join(t.TempDir(), "keys"))})
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

// What a newcomer copies first is the same everywhere, and ExampleOpen runs it.
func TestReadmeOpensAsTheExampleDoes(t *testing.T) {
	opening := func(file, comment string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?s)(if errors\.Is\(err, sqlitesync\.ErrNotSetUp\) \{.*?)if err != nil`).FindString(string(text))
		if found == "" {
			t.Fatalf("%s opens nothing", file)
		}
		lines := strings.Split(found, "\n")
		for i, line := range lines {
			lines[i] = strings.TrimSpace(strings.TrimPrefix(line, comment))
		}
		return strings.ReplaceAll(strings.Join(lines, "\n"), "nil)", "options)")
	}
	want := opening("example_test.go", "")
	for file, comment := range map[string]string{"../README.md": "", "doc.go": "//"} {
		if got := opening(file, comment); got != want {
			t.Errorf("%s has\n%s\nthe example\n%s", file, got, want)
		}
	}
}

// The pages point to each other, and to what is there.
func TestPagesPointToWhatIsThere(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"../*.md", "*.md", "../examples/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	links := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			name, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(name, "://") {
				continue
			}
			links++
			target := filepath.Join(filepath.Dir(page), filepath.FromSlash(name))
			if name == "" {
				target = page
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s points to %s: %v", page, match[1], err)
			} else if anchor != "" && !hasHeading(t, target, anchor) {
				t.Errorf("%s points to %s, which has no such heading", page, match[1])
			}
		}
	}
	if links < 30 {
		t.Errorf("only %d links were found", links)
	}
}

// hasHeading reports whether GitHub gives the anchor to a heading of the page.
func hasHeading(t *testing.T, page, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		letters := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(match[1]), "")
		if strings.ReplaceAll(letters, " ", "-") == anchor {
			return true
		}
	}
	return false
}
