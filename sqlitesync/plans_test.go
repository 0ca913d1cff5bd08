package sqlitesync

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// newColumn matches a column of the new row in a trigger.
var newColumn = regexp.MustCompile(`NEW\."\w+"`)

// What a REPLACE may remove is looked up through the index that says so, and never by reading the table, whatever ANALYZE has
// counted when it had hardly any rows.
func TestVictimsAreLookedUpByTheIndex(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		"CREATE TABLE t (id TEXT PRIMARY KEY, u UNIQUE, v)",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT COLLATE NOCASE UNIQUE, v)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT NOT NULL DEFAULT 'x' UNIQUE, v)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v, g AS (lower(u)) UNIQUE)",
		"CREATE TABLE t (id TEXT, u REAL, v NUMERIC, PRIMARY KEY (id DESC, u), UNIQUE (v, id), UNIQUE (v, u)) WITHOUT ROWID",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v, UNIQUE (v, u)); CREATE INDEX w ON t (v, id)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT COLLATE NOCASE, v); CREATE UNIQUE INDEX i ON t (u COLLATE BINARY)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v); CREATE UNIQUE INDEX i ON t (lower(u) COLLATE NOCASE, v DESC)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v); CREATE UNIQUE INDEX i ON t (u) WHERE v = 1",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v); CREATE UNIQUE INDEX i ON t (u) WHERE v IS NULL; CREATE INDEX j ON t (v)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v); CREATE UNIQUE INDEX i ON t (u) WHERE v IN ('a', '1') AND u IS NOT NULL",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v BOOLEAN); CREATE UNIQUE INDEX i ON t (u, id) WHERE NOT v; CREATE INDEX j ON t (u)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v); CREATE UNIQUE INDEX i ON t (u || v); CREATE INDEX j ON t (u)",
		"CREATE TABLE t (id TEXT PRIMARY KEY, u TEXT, v, g AS (u || v)); CREATE UNIQUE INDEX i ON t (g) WHERE length(v) > 0",
	} {
		for _, counted := range []string{"", "ANALYZE", "INSERT INTO t (id, u, v) VALUES ('1', 1, 1); ANALYZE",
			"INSERT INTO t (id, u, v) VALUES ('1', 1, 1); INSERT INTO t (id, u, v) VALUES ('2', 2, NULL); ANALYZE"} {
			d := newTestDevice(t, schema+"; "+counted)
			d.create(t.TempDir())
			for _, lookup := range d.lookups() {
				var plan string
				var number int
				must(t, d.db.QueryRow("EXPLAIN QUERY PLAN "+newColumn.ReplaceAllString(lookup, "?1"), "1").Scan(&number, &number, &number, &plan))
				if !strings.HasPrefix(plan, "SEARCH t USING") {
					t.Errorf("%s; %s: %s: %s", schema, counted, lookup, plan)
				}
			}
			must(t, d.db.Close()) // or there are too many files
			d.close()
		}
	}
}

// lookups returns what triggers of capture look for.
func (d *testDevice) lookups() (queries []string) {
	d.tb.Helper()
	rows, err := d.db.Query("SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'sqlitesync_*_replace_*'")
	must(d.tb, err)
	defer rows.Close()
	for rows.Next() {
		var text string
		must(d.tb, rows.Scan(&text))
		_, body, _ := strings.Cut(strings.TrimSuffix(text, "; END"), " BEGIN ")
		for step := range strings.SplitSeq(body, "; ") {
			_, query, _ := strings.Cut(step, ") SELECT ")
			queries = append(queries, "SELECT "+query)
		}
	}
	must(d.tb, rows.Err())
	if len(queries) < 2 {
		d.tb.Errorf("%d lookups", len(queries))
	}
	return queries
}

// Rows are looked up by their keys, too, whatever ANALYZE has counted, and it is left to the app.
func TestRowsAreLookedUpByTheKey(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"CREATE TABLE t (id TEXT PRIMARY KEY, v)", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"} {
		d := newTestDevice(t, schema)
		d.create(t.TempDir())
		d.exec("INSERT INTO t VALUES (1, 1)")
		d.sync()
		d.exec("ANALYZE")
		counts := d.value("SELECT group_concat(tbl || ' ' || stat) FROM sqlite_stat1 WHERE tbl = 't'")
		d.reopen()
		d.exec("CREATE TABLE other (id PRIMARY KEY)")
		d.sync()
		table := d.syncer.db.Table("t")
		rows, err := d.syncer.handle.conn.Query(t.Context(), "EXPLAIN QUERY PLAN SELECT t.id, c.time FROM (SELECT k0 FROM sqlitesync_log GROUP BY k0) l LEFT JOIN t ON "+
			changelog.MatchKey(table, "t.", "l.")+" LEFT JOIN sqlitesync_clock_1 c ON "+changelog.JoinKey(table, "c.", "l."))
		must(t, err)
		for rows.Next() {
			var plan string
			var number int
			must(t, rows.Scan(&number, &number, &number, &plan))
			if strings.HasPrefix(plan, "SCAN t") || strings.HasPrefix(plan, "SCAN c") {
				t.Errorf("%s: %s", schema, plan)
			}
		}
		must(t, rows.Close())
		backup := filepath.Join(t.TempDir(), "copy.db")
		_, err = d.syncer.handle.conn.Exec(t.Context(), "VACUUM INTO ?", backup)
		must(t, err)
		d.db.SetMaxOpenConns(1)
		d.exec("ATTACH ? AS copy", backup)
		for _, database := range []string{"main", "copy"} {
			d.wantValue(counts, "SELECT group_concat(tbl || ' ' || stat) FROM "+database+".sqlite_stat1 WHERE tbl = 't'")
		}
	}
}
