package sqlitesync

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// stored returns the rows of a table as SQLite stores them, sorted: of each
// value its class, its bytes and, because text says too little of a real, its
// bits. A value that only looks the same is another one here.
func (d *testDevice) stored(table string) []string {
	d.tb.Helper()
	var read []string
	names, err := d.db.Query("SELECT name FROM pragma_table_xinfo(?) ORDER BY cid", table)
	must(d.tb, err)
	for names.Next() {
		var name string
		must(d.tb, names.Scan(&name))
		name = changelog.Quote(name)
		read = append(read, fmt.Sprintf("typeof(%[1]s) || ' ' || ifnull(hex(CAST(%[1]s AS BLOB)), '')", name),
			fmt.Sprintf("CASE typeof(%[1]s) WHEN 'real' THEN %[1]s ELSE 0.0 END", name))
	}
	must(d.tb, names.Err())
	rows, err := d.db.Query("SELECT " + strings.Join(read, ", ") + " FROM " + changelog.Quote(table))
	must(d.tb, err)
	defer rows.Close()
	texts, reals := make([]string, len(read)/2), make([]float64, len(read)/2)
	var dest []any
	for i := range texts {
		dest = append(dest, &texts[i], &reals[i])
	}
	var lines []string
	for rows.Next() {
		must(d.tb, rows.Scan(dest...))
		var line []string
		for i, text := range texts {
			if strings.HasPrefix(text, "real ") {
				text = fmt.Sprintf("real %016x", math.Float64bits(reals[i]))
			}
			line = append(line, text)
		}
		lines = append(lines, strings.Join(line, ", "))
	}
	must(d.tb, rows.Err())
	slices.Sort(lines)
	return lines
}

// wantStored checks that a table holds exactly these rows on the device.
func (d *testDevice) wantStored(want []string, table, when string) {
	d.tb.Helper()
	got := d.stored(table)
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			d.tb.Errorf("%s, table %s: lacks %.300s", when, table, want[i])
		case i >= len(want):
			d.tb.Errorf("%s, table %s: has %.300s beside", when, table, got[i])
		case got[i] != want[i]:
			d.tb.Errorf("%s, table %s: row %d is\n%.300s\nwant\n%.300s", when, table, i, got[i], want[i])
		default:
			continue
		}
		return
	}
}

// literals are values as SQL says them, so that no driver is in the way, and
// what a column without a type makes of them.
var literals = []struct{ sql, stored string }{
	{"NULL", "null "},
	{"''", "text "},
	{"x''", "blob "},
	{"zeroblob(3)", "blob 000000"},
	{"CAST(x'00' AS TEXT)", "text 00"},
	{"CAST(x'610062' AS TEXT)", "text 610062"},
	{"CAST(x'fffe41c0' AS TEXT)", "text FFFE41C0"},
	{"CAST(x'eda080' AS TEXT)", "text EDA080"}, // half of a surrogate pair
	{"x'fffe41c0'", "blob FFFE41C0"},
	{"'é'", "text C3A9"},
	{"'e' || char(769)", "text 65CC81"},
	{"char(65279) || 'a'", "text EFBBBF61"}, // a byte order mark
	{"0", "integer 30"},
	{"1", "integer 31"},
	{"1.0", "real 3ff0000000000000"},
	{"'1'", "text 31"},
	{"'1.0'", "text 312E30"},
	{"x'31'", "blob 31"},
	{"0.0", "real 0000000000000000"},
	{"-0.0", "real 8000000000000000"},
	{"9e999", "real 7ff0000000000000"},
	{"-9e999", "real fff0000000000000"},
	{"9e999 - 9e999", "null "}, // not a number
	{"5e-324", "real 0000000000000001"},
	{"2.2250738585072011e-308", "real 000fffffffffffff"},
	{"1.7976931348623157e308", "real 7fefffffffffffff"},
	{"0.1 + 0.2", "real 3fd3333333333334"},
	{"0.1", "real 3fb999999999999a"},
	{"9007199254740993", "integer 39303037313939323534373430393933"},
	{"9007199254740993.0", "real 4340000000000000"},
	{"-9007199254740993", "integer 2D39303037313939323534373430393933"},
	{"9223372036854775807", "integer 39323233333732303336383534373735383037"},
	{"-9223372036854775808", "integer 2D39323233333732303336383534373735383038"},
	{"9223372036854775808", "real 43e0000000000000"},
	{"'2024-01-02'", "text 323032342D30312D3032"},
	{"'2024-01-02 03:04:05'", "text 323032342D30312D30322030333A30343A3035"},
	{"'2024-01-02T03:04:05.678901234+05:30'", "text 323032342D30312D30325430333A30343A30352E3637383930313233342B30353A3330"},
	{"'2024-01-02 03:04:05 +0000 UTC'", "text 323032342D30312D30322030333A30343A3035202B3030303020555443"},
	{"'0000-00-00'", "text 303030302D30302D3030"},
	{"1704164645", "integer 31373034313634363435"},
	{"1704164645123", "integer 31373034313634363435313233"},
	{"2460311.5", "real 4142c54bc0000000"},
	{"'true'", "text 74727565"},
	{"TRUE", "integer 31"},
	{"2", "integer 32"},
	{"'9007199254740993.10'", "text 393030373139393235343734303939332E3130"},
	{"'12345678901234567890.1234567890'", "text 31323334353637383930313233343536373839302E31323334353637383930"},
	{"' 1 '", "text 203120"},
	{"'1e400'", "text 3165343030"},
	{"'0x10'", "text 30783130"},
	{`'{"a": 1.0, "a": 2}'`, "text 7B2261223A20312E302C202261223A20327D"},
	{"'not JSON {'", "text 6E6F74204A534F4E207B"},
	{"jsonb('[1]')", "blob 2B1331"},
}

// kinds are types that apps declare columns with.
var kinds = []string{
	"", "TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", "DATE", "DATETIME", "TIMESTAMP", "TIME", "BOOLEAN", "DECIMAL(20,10)", "JSON", "VARCHAR(3)",
	"DOUBLE PRECISION", "TEXT COLLATE NOCASE", "DATE GENERATED ALWAYS AS (c00) VIRTUAL",
}

// What a column stores is the same on every device, bit for bit, and sync does
// not touch it where it was written. A device that edits another column of the
// row hands every value on as it came.
func TestStoredValuesAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	var columns, names []string
	for i, kind := range kinds {
		columns = append(columns, fmt.Sprintf("c%02d %s", i, kind))
		if !strings.Contains(kind, "GENERATED") {
			names = append(names, fmt.Sprintf("c%02d", i))
		}
	}
	a, b := newPair(t, `
		CREATE TABLE v (id TEXT PRIMARY KEY NOT NULL, edits INTEGER NOT NULL DEFAULT 0, `+strings.Join(columns, ", ")+`);
		CREATE TABLE firm (id INTEGER PRIMARY KEY, edits INTEGER NOT NULL DEFAULT 0, c00 ANY) STRICT;
		CREATE TABLE norowid (id ANY PRIMARY KEY NOT NULL, edits INTEGER NOT NULL DEFAULT 0, c00) WITHOUT ROWID`)
	tables := []string{"v", "firm", "norowid"}
	for i, literal := range literals {
		a.exec(fmt.Sprintf("INSERT INTO v (id, %s) VALUES ('%02d'%s)", strings.Join(names, ", "), i, strings.Repeat(", "+literal.sql, len(names))))
		a.exec(fmt.Sprintf("INSERT INTO firm (id, c00) VALUES (%d, %s)", i, literal.sql))
		a.exec(fmt.Sprintf("INSERT INTO norowid (id, c00) VALUES (x'%02x', %s)", i, literal.sql))
	}
	written := make(map[string][]string)
	for _, table := range tables {
		written[table] = a.stored(table)
	}
	for i, row := range written["v"] {
		if got := strings.Split(row, ", ")[2]; got != literals[i].stored {
			t.Errorf("%s is stored as %s, want %s: the test does not test what it says", literals[i].sql, got, literals[i].stored)
		}
	}
	settle(a, b)
	for _, table := range tables {
		a.wantStored(written[table], table, "where it was written")
		b.wantStored(written[table], table, "on the other device")
	}
	for _, table := range tables {
		b.exec("UPDATE " + table + " SET edits = edits + 1")
		written[table] = b.stored(table)
	}
	settle(b, a)
	for _, table := range tables {
		b.wantStored(written[table], table, "after an edit, where it was made")
		a.wantStored(written[table], table, "after an edit, on the other device")
	}
	// From each value to each other one, on alternating devices.
	for step := range 3 {
		d, other := a, b
		if step%2 == 1 {
			d, other = b, a
		}
		for i := range literals {
			next := literals[(i*7+step+1)%len(literals)].sql
			d.exec(fmt.Sprintf("UPDATE v SET %s WHERE id = '%02d'", strings.Join(names, " = "+next+", ")+" = "+next, i))
			d.exec(fmt.Sprintf("UPDATE firm SET c00 = %s WHERE id = %d", next, i))
			d.exec(fmt.Sprintf("UPDATE norowid SET c00 = %s WHERE id = x'%02x'", next, i))
		}
		for _, table := range tables {
			written[table] = d.stored(table)
		}
		settle(d, other)
		for _, table := range tables {
			d.wantStored(written[table], table, "after another value, where it was written")
			other.wantStored(written[table], table, "after another value, on the other device")
		}
	}
	wantQuiet(t, a, b)
	b.wantValue("ok", "PRAGMA integrity_check")
}

// Keys of every class are one row each, found again by the other device to
// edit and to delete. SQLite's key 1.0 is the key 1, and stays stored as it was.
func TestKeysOfEveryClassNameTheSameRowEverywhere(t *testing.T) {
	t.Parallel()
	keys := []string{
		"''", "x''", "0", "1", "'1'", "x'31'", "'1.0'", "1.5", "2.0", "-9223372036854775808", "9223372036854775807", "9223372036854775808.0",
		"9007199254740993", "9007199254740992.0", "9e999", "-9e999", "5e-324", "0.1 + 0.2", "0.3", "'é'", "'e' || char(769)", "'a'", "'A'", "'a '",
		"CAST(x'00' AS TEXT)", "CAST(x'6100' AS TEXT)", "CAST(x'ff' AS TEXT)", "CAST(x'fe' AS TEXT)", "x'00'", "'🙂'", "'null'", "'2024-01-02'",
		"zeroblob(70000)", "CAST(zeroblob(70000) AS TEXT)",
	}
	for _, table := range []string{
		"CREATE TABLE k (id PRIMARY KEY NOT NULL, v)",
		"CREATE TABLE k (id PRIMARY KEY NOT NULL, v) WITHOUT ROWID",
		"CREATE TABLE k (id ANY PRIMARY KEY, v ANY) STRICT",
		"CREATE TABLE k (id DATETIME, v, w DEFAULT 7, PRIMARY KEY (w, id))",
	} {
		t.Run(table, func(t *testing.T) {
			a, b := newPair(t, table)
			for i, key := range keys {
				a.exec(fmt.Sprintf("INSERT INTO k (id, v) VALUES (%s, %d) ON CONFLICT DO NOTHING", key, i))
			}
			written := a.stored("k")
			if len(written) < len(keys)-5 { // as a DATETIME, '1' is 1
				t.Fatalf("%d rows of %d keys", len(written), len(keys))
			}
			settle(a, b)
			a.wantStored(written, "k", "where it was written")
			b.wantStored(written, "k", "on the other device")
			b.exec("UPDATE k SET v = v + 1000 WHERE v % 2 = 0")
			b.exec("DELETE FROM k WHERE v % 3 = 0")
			b.exec("UPDATE k SET id = 1.0 WHERE id = 1")
			b.exec("UPDATE k SET id = 2 WHERE id = 2.0")
			b.exec("UPDATE k SET id = -0.0 WHERE id = 0")
			written = b.stored("k")
			settle(b, a)
			b.wantStored(written, "k", "after edits, where they were made")
			a.wantStored(written, "k", "after edits, on the other device")
			wantQuiet(t, a, b)
			if c := append(a.conflicts(), b.conflicts()...); len(c) != 0 {
				t.Errorf("%d conflicts: two keys were taken for one", len(c))
			}
		})
	}
}

// Edits that SQLite's own comparison calls none travel all the same.
func TestEditsThatCompareEqualTravel(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, `CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, nocase TEXT COLLATE NOCASE, rtrim TEXT COLLATE RTRIM, loose)`)
	a.exec("INSERT INTO t VALUES ('x', 'a', 'a', 0)")
	settle(a, b)
	for _, set := range []string{
		"nocase = 'A'", "rtrim = 'a  '", "loose = 0.0", "loose = -0.0", "loose = 1", "loose = 1.0", "loose = '1'", "loose = x'31'", "loose = ''", "loose = x''", "loose = NULL",
	} {
		a.exec("UPDATE t SET " + set)
		written := a.stored("t")
		settle(a, b)
		b.wantStored(written, "t", set)
	}
}

// Values above the 16 MiB of a piece travel in pieces. SQLITESYNC_BIG=1 in the
// environment makes the large value 100 MB long instead of 20 MB, and adds a
// row above the 64 MiB of a segment's body (20 s each on a slow machine).
func TestLargeValuesAndRows(t *testing.T) {
	t.Parallel()
	const piece = 16 << 20
	big := os.Getenv("SQLITESYNC_BIG") != ""
	size := 20_000_000
	if big {
		size = 100_000_000
	}
	noise := make([]byte, size) // does not compress
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, test := range []struct {
		name   string
		insert string
		value  any
		run    bool
	}{
		{"large", "INSERT INTO file (id, c0) VALUES ('x', ?)", noise, true},
		{"one byte above a piece", "INSERT INTO file (id, c0) VALUES ('x', ?)", strings.Repeat("a\x00\xff", (piece+3)/3), true},
		{"a row above a segment", "INSERT INTO file VALUES ('x', ?1, ?1 || 1, ?1 || 2, ?1 || 3, ?1 || 4)", noise[:14<<20], big},
	} {
		if !test.run {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			a, b := newPair(t, "CREATE TABLE file (id TEXT PRIMARY KEY NOT NULL, c0, c1, c2, c3, c4)")
			a.exec(test.insert, test.value)
			a.exec("INSERT INTO file (id, c0) VALUES ('small', 1)")
			written := a.hashes()
			settle(a, b)
			if got := a.hashes(); !slices.Equal(got, written) {
				t.Errorf("where it was written, the row is\n%s\nwant\n%s", got, written)
			}
			if got := b.hashes(); !slices.Equal(got, written) {
				t.Errorf("on the other device, the row is\n%s\nwant\n%s", got, written)
			}
			b.exec("UPDATE file SET c0 = c0 || 'edited' WHERE id = 'small'; DELETE FROM file WHERE id = 'x'")
			settle(b, a)
			a.wantValue("1edited", "SELECT group_concat(c0) FROM file")
			if u := append(a.syncer.Status().Unsynced, b.syncer.Status().Unsynced...); len(u) != 0 {
				t.Errorf("unsynced: %+v", u)
			}
			wantQuiet(t, a, b)
		})
	}
}

// hashes returns class and hash of every value in table file, for values that
// are too large to be printed.
func (d *testDevice) hashes() []string {
	d.tb.Helper()
	var list []string
	for i := range 5 {
		rows, err := d.db.Query(fmt.Sprintf("SELECT typeof(c%[1]d), CAST(c%[1]d AS BLOB) FROM file ORDER BY id", i))
		must(d.tb, err)
		for rows.Next() {
			var class string
			var value sql.RawBytes
			must(d.tb, rows.Scan(&class, &value))
			list = append(list, fmt.Sprintf("%s %d %x", class, len(value), sha256.Sum256(value)))
		}
		must(d.tb, rows.Err())
	}
	return list
}

// A row beyond the limits of the format (a key cannot be cut into pieces) is
// named, stays where it was written, and holds up nothing else.
func TestARowBeyondTheLimitsIsNamedAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema+"; CREATE TABLE huge (id BLOB PRIMARY KEY NOT NULL, v)")
	const limit = 16 << 20
	tx, err := a.db.Begin()
	must(t, err)
	for _, statement := range []string{
		"INSERT INTO huge VALUES (x'01', 'before')",
		fmt.Sprintf("INSERT INTO huge VALUES (zeroblob(%d), 'beyond')", limit+1),
		"INSERT INTO huge VALUES (x'02', 'after')",
		"INSERT INTO item VALUES ('x', 'beside', 1)",
	} {
		_, err := tx.Exec(statement)
		must(t, err)
	}
	must(t, tx.Commit())
	settle(a, b)
	b.wantValue("after,before", "SELECT group_concat(v) FROM (SELECT v FROM huge ORDER BY v)")
	b.wantValue("beside", "SELECT name FROM item")
	a.wantValue("3", "SELECT count(*) FROM huge")
	a.wantHealthy()
	unsynced := a.syncer.Status().Unsynced
	if len(unsynced) != 1 || unsynced[0].Table != "huge" || !strings.Contains(unsynced[0].Reason, "beyond") || unsynced[0].Hint == "" {
		t.Errorf("unsynced: %+v, want the row of huge", unsynced)
	}
	wantQuiet(t, a, b)
	// Under another key it travels.
	a.exec("UPDATE huge SET id = x'03' WHERE v = 'beyond'")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("3", "SELECT count(*) FROM huge")
}
