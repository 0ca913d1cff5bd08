package sqlitesync

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Writes to a table while it was excluded are found when it takes part again.
func TestWritesToATableWhileItWasExcludedAreFound(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('edited', 'old', 1), ('deleted', 'old', 1)")
	settle(a, b)
	a.options.Exclude = []string{"item"}
	a.reopen()
	a.exec("UPDATE item SET name = 'new' WHERE id = 'edited'")
	a.exec("DELETE FROM item WHERE id = 'deleted'")
	a.exec("INSERT INTO item VALUES ('made', 'new', 1)")
	a.sync()
	a.options.Exclude = nil
	a.reopen()
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("2", "SELECT count(*) FROM item WHERE name = 'new'")
	b.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// What is wrong in the folder is told once by a pass that lists it twice, to read all logs again.
func TestAPassThatReadsAgainTellsOfAProblemOnce(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	settle(b, a)
	stranger := filepath.Join(a.folder, "devices", strings.Repeat("a1", 16))
	must(t, os.Mkdir(stranger, 0o700))
	must(t, os.WriteFile(filepath.Join(stranger, segmentName(1)), nil, 0o600))
	a.exec("DROP TABLE item")
	a.exec(itemSchema)
	wantIs(t, a.trySync(), errStranger)
	wantIs(t, a.problem(), errStranger)
	a.wantValue("1", "SELECT count(*) FROM item") // it was read again
}

// A table can be made anew in more than one pass, of another one that has not taken part until it gets the name. It
// deletes nothing, least of all what came in after the rows were copied.
func TestATableMadeAnewOfOneThatTookNoPart(t *testing.T) {
	t.Parallel()
	for _, options := range []Options{{Tables: []string{"item"}}, {Exclude: []string{"item_new", "item_old"}}} {
		for _, away := range []string{"DROP TABLE item", "ALTER TABLE item RENAME TO item_old"} {
			madeAnewOfAnother(t, options, away)
		}
	}
}

func madeAnewOfAnother(t *testing.T, options Options, away string) {
	t.Helper()
	a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	for _, d := range []*testDevice{a, b} {
		d.options.Tables, d.options.Exclude = options.Tables, options.Exclude
	}
	a.create(t.TempDir())
	b.join(a.folder, a.invite())
	a.exec("INSERT INTO item VALUES ('kept', 'a', 1), ('lost', 'a', 1)")
	settle(a, b)
	a.exec("CREATE TABLE item_new (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER); INSERT INTO item_new SELECT * FROM item WHERE id <> 'lost'")
	b.exec("INSERT INTO item VALUES ('late', 'b', 1)")
	settle(b, a)
	a.exec(away + "; ALTER TABLE item_new RENAME TO item; INSERT INTO item VALUES ('new', 'a', 1)")
	settle(a, b)
	wantEverywhere("kept,late,lost,new", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)", a, b)
	a.exec("DELETE FROM item WHERE id = 'lost'")
	settle(a, b)
	wantEverywhere("kept,late,new", "SELECT group_concat(id) FROM (SELECT id FROM item ORDER BY id)", a, b)
	wantQuiet(t, a, b)
}

// A table that was made anew while it was excluded deletes nothing, and neither does one whose triggers were made again.
func TestTablesMadeAnewUnseen(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('kept', 'old', 1), ('lost', 'old', 1)")
	settle(a, b)
	const anew = `BEGIN; CREATE TABLE item_new (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER);
		INSERT INTO item_new SELECT id, upper(name), n FROM item WHERE id <> 'lost'; DROP TABLE item; ALTER TABLE item_new RENAME TO item; `
	a.options.Exclude = []string{"item"}
	a.reopen()
	a.exec(anew + "COMMIT")
	a.sync()
	a.options.Exclude = nil
	a.reopen()
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantValue("kept OLD, lost old", "SELECT group_concat(id || ' ' || name, ', ') FROM (SELECT * FROM item ORDER BY id)")
	}
	triggers := a.value("SELECT group_concat(sql, '; ') FROM sqlite_schema WHERE type = 'trigger'")
	a.exec("UPDATE item SET n = 2")
	a.exec(strings.Replace(anew, "upper(name)", "name || '!'", 1) + triggers + "; COMMIT; VACUUM")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantValue("kept OLD!, lost old", "SELECT group_concat(id || ' ' || name, ', ') FROM (SELECT * FROM item ORDER BY id)")
	}
	wantQuiet(t, a, b)
}

// Migration tools rebuild a table: make another, copy, drop, rename. The triggers go with the old table. A row that went is no
// delete: it could be that nobody meant to delete it.
func TestWritesAfterATableWasRebuiltAreFound(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('kept', 'old', 1), ('edited', 'old', 1), ('deleted', 'old', 1)")
	settle(a, b)
	a.exec(`BEGIN;
		CREATE TABLE item_new (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER);
		INSERT INTO item_new SELECT * FROM item;
		DROP TABLE item;
		ALTER TABLE item_new RENAME TO item;
		COMMIT`)
	a.exec("UPDATE item SET name = 'new' WHERE id = 'edited'")
	a.exec("DELETE FROM item WHERE id = 'deleted'")
	a.exec("INSERT INTO item VALUES ('made', 'new', 1)")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("2", "SELECT count(*) FROM item WHERE name = 'new'")
	b.wantValue("old", "SELECT name FROM item WHERE id = 'kept'")
	a.wantValue("old", "SELECT name FROM item WHERE id = 'deleted'")
	wantQuiet(t, a, b)
	a.exec("DELETE FROM item WHERE id = 'deleted'")
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("3", "SELECT count(*) FROM item")
}

// A table that is dropped, and one that is made again empty, delete nothing anywhere.
func TestADroppedTableDeletesNothing(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER)"
	a, b := newPair(t, schema)
	a.exec("INSERT INTO item VALUES ('1', 'of a', 1), ('2', 'of a', 1)")
	b.exec("INSERT INTO item VALUES ('3', 'of b', 1)")
	settle(a, b)
	a.exec("UPDATE item SET n = 2 WHERE id = '1'") // waits in the log
	a.exec("DROP TABLE item")
	settle(a, b)
	b.wantValue("3", "SELECT count(*) FROM item")
	a.exec(schema)
	a.exec("INSERT INTO item VALUES ('2', 'anew', 3)")
	settle(a, b)
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	b.wantValue("anew", "SELECT name FROM item WHERE id = '2'")
	a.wantValue("3", "SELECT count(*) FROM item")
	wantQuiet(t, a, b)
}

// hookLog calls a function when a message is logged, once.
type hookLog struct {
	message string
	fn      func()
}

func (l *hookLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *hookLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *hookLog) WithGroup(string) slog.Handler            { return l }

func (l *hookLog) Handle(_ context.Context, r slog.Record) error {
	if fn := l.fn; fn != nil && r.Message == l.message {
		l.fn = nil
		fn()
	}
	return nil
}

// The app migrates, and writes, in the middle of a pass: what it writes into
// the new column or table must not be read with the eyes of the old schema.
func TestAMigrationInTheMiddleOfAPass(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"published", "merged"} {
		t.Run(moment, func(t *testing.T) {
			a, b := newPair(t, itemSchema)
			const migration = "ALTER TABLE item ADD COLUMN extra TEXT DEFAULT 'd'; CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL, v)"
			a.exec(migration)
			a.exec("INSERT INTO later VALUES ('both', 'of a'), ('a', 'of a')")
			a.sync()
			a.exec("INSERT INTO item (id) VALUES ('a')")
			a.sync()
			hook := &hookLog{message: moment, fn: func() {
				b.exec(migration)
				b.exec("INSERT INTO item VALUES ('b', 'of b', 1, 'dear')")
				b.exec("INSERT INTO later VALUES ('both', 'of b'), ('b', 'of b')")
			}}
			b.options.Logger = slog.New(hook)
			b.reopen()
			b.exec("INSERT INTO item (id) VALUES ('first')")
			b.sync()
			if hook.fn != nil {
				t.Fatal("the hook was not called")
			}
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			a.wantValue("dear", "SELECT extra FROM item WHERE id = 'b'")
			a.wantValue("3", "SELECT count(*) FROM later")
			// One of the two rows 'both' lost, and is kept.
			if n := len(append(a.conflicts(), b.conflicts()...)); n == 0 {
				t.Error("a row was overruled and is kept nowhere")
			}
			wantQuiet(t, a, b)
		})
	}
}

// A row that is written after its table was made anew, and before capture knows, is found, even if one of its key was
// deleted before.
func TestARowThatIsMadeAgainInATableMadeAnew(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('1', 'old', 1)")
	settle(a, b)
	a.exec("DELETE FROM item")
	settle(a, b)
	a.exec("DROP TABLE item; " + itemSchema + "; INSERT INTO item VALUES ('1', 'new', 2)")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		d.wantValue("new", "SELECT name FROM item")
	}
	wantQuiet(t, a, b)
}

// A row that a REPLACE removes between the capture of a table that was made anew and the comparing of its rows, which a pass
// that is broken off puts off, is gone: it is none of those that the migration may have lost.
func TestAReplacedRowOfATableThatWasMadeAnewStaysGone(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, "CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, u UNIQUE)")
	a.exec("INSERT INTO t VALUES ('1', 'x'), ('2', 'y')")
	settle(a, b)
	a.exec("BEGIN; CREATE TABLE n (id TEXT PRIMARY KEY NOT NULL, u UNIQUE); INSERT INTO n SELECT * FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t; COMMIT")
	a.syncer.whole = false
	must(t, a.syncer.transactAnyway(t.Context(), func() error { return a.syncer.captureNow(t.Context()) }))
	a.exec("PRAGMA recursive_triggers = 0; INSERT OR REPLACE INTO t VALUES ('3', 'x'); PRAGMA recursive_triggers = 1")
	settle(a, b)
	a.exec("UPDATE t SET u = 'free' WHERE id = '3'")
	settle(a, b)
	settle(a, b)
	wantEverywhere("2y3free", "SELECT group_concat(id || u, '') FROM (SELECT * FROM t ORDER BY id)", a, b)
}

// A device reads its own log again, too, and not without it: where its directory can't be listed just then, it waits.
func TestOnesOwnLogIsNotThereToBeReadAgain(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	settle(a, b)
	away := filepath.Join(t.TempDir(), "away")
	directory := a.directory()
	hook := &hookLog{message: "reading all logs again", fn: func() { must(t, os.Rename(directory, away)) }}
	a.options.Logger = slog.New(hook)
	a.reopen()
	a.exec("DROP TABLE item; " + itemSchema)
	_ = a.syncer.Sync(t.Context())
	if hook.fn != nil {
		t.Fatal("the hook was not called")
	}
	must(t, os.RemoveAll(directory))
	must(t, os.Rename(away, directory))
	settle(a, b)
	wantEverywhere("2", "SELECT count(*) FROM item", a, b)
	a.wantVerified()
}

// A table that is made anew is read from all logs, though a file of one is damaged: only the rows of that log are missing until
// it is whole again.
func TestATableMadeAnewIsReadBesideADamagedLog(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	if b.id().String() > c.id().String() {
		b = c // logs are read in the order of their names
	}
	for _, d := range devices {
		d.exec("INSERT INTO item VALUES (?, 'x', 1)", d.id().String())
	}
	settle(devices...)
	path := filepath.Join(b.directory(), segmentName(1))
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(slices.Clone(data[:len(data)-1]), data[len(data)-1]^1), 0o600))
	a.exec("DROP TABLE item; " + itemSchema)
	_ = a.trySync()
	if e := a.problem(); e.Device != b.id() || !strings.HasSuffix(e.Path, segmentName(1)) {
		t.Errorf("problem %v", e)
	}
	a.wantValue("2", "SELECT count(*) FROM item")
	must(t, os.WriteFile(path, data, 0o600))
	a.sync()
	wantSame(t, devices)
	a.wantHealthy()
}

// Files of a revoked device that came in parts, or late, were not whole when they were looked at. Once they are, rows do not
// have to wait until it is time to look again.
func TestATableIsMadeAnewWhileTheLogOfARevokedDeviceArrives(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	b.exec("INSERT INTO item VALUES ('1', 'of b', 1)")
	settle(b, a, c)
	path := b.lastSegment()
	a.revoke(b)
	whole, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, whole[:len(whole)/2], 0o600))
	settle(a, c)
	must(t, os.WriteFile(path, whole, 0o600))
	c.exec("DROP TABLE item; " + itemSchema)
	c.sync()
	c.wantValue("1", "SELECT count(*) FROM item")
	c.wantHealthy()
}

// That all logs are read again for the tables of one database does not say what a revoked device may have shown to it: that is
// still to be found out, once it is time to try that again.
func TestATableIsMadeAnewWhileItIsOpenWhoWasMisled(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('1', 'of b', 1)")
	settle(b, a)
	a.exec("INSERT INTO sqlitesync_settings (name, value) VALUES ('read again', '')")
	a.syncer.readAgainLast = time.Now() // then a file could not be read
	a.exec("DROP TABLE item; " + itemSchema)
	a.sync()
	a.wantValue("1", "SELECT count(*) FROM item")
	a.wantValue("1", "SELECT count(*) FROM sqlitesync_settings WHERE name = 'read again'")
	a.syncer.readAgainLast = time.Time{}
	a.sync()
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_settings WHERE name = 'read again'")
	wantSame(t, []*testDevice{a, b})
	wantQuiet(t, a, b)
}

// A range is merged in steps. Who is broken off in the midst of one must know already that it has read from it: should the author
// be revoked before the next pass, and have made the range since, it is read no further, and nobody else has what was taken.
func TestARangeThatWasReadInPartIsNoted(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	const rows = "WITH RECURSIVE n (i) AS (VALUES (?1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + 2999) INSERT INTO item SELECT i, 'of b', 1 FROM n"
	for _, first := range []int{0, 3000} {
		b.exec(rows, first)
		b.sync()
	}
	b.sync()
	b.compactNext()
	b.sync()
	for statement := 0; a.value("SELECT count(*) FROM item") == "0"; statement += 16 {
		if !a.passUntil(statement) {
			t.Fatal("no pass was broken off in the midst of the range")
		}
	}
	if a.value("SELECT count(*) FROM item") == "6000" {
		t.Fatal("the range was merged in one step")
	}
	a.wantValue("1", "SELECT count(*) FROM sqlitesync_settings WHERE name GLOB 'taken *'")
	a.sync()
	a.wantValue("6000", "SELECT count(*) FROM item")
	wantSame(t, []*testDevice{a, b})
}

// Who is broken off in the midst of reading all logs again goes on with the next pass: nothing was wrong with the logs.
func TestReadingAllLogsAgainIsBrokenOff(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for i := range 8 {
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", i)
		b.sync()
	}
	settle(b, a)
	a.exec("INSERT INTO sqlitesync_settings (name, value) VALUES ('read again', '')")
	for statement := 0; a.syncer.readAgainLast.IsZero() && a.passUntil(statement); statement += 4 {
		continue
	}
	a.sync()
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_settings WHERE name = 'read again'")
}

// A device that comes late to ranges again and again, for years, does not remember each of them for ever.
func TestTheRangesThatWereReadAreNotAllRemembered(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	clock := newTestClock(a, b)
	const rounds = maxTaken + 8
	for i := range rounds {
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint(2*i))
		b.sync()
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint(2*i+1))
		b.sync()
		b.sync()
		b.compactNext()
		quietDown(clock, b)
		a.sync()
	}
	wantSame(t, []*testDevice{a, b})
	var n int
	must(t, a.db.QueryRow("SELECT count(*) FROM sqlitesync_settings WHERE name GLOB 'taken *' OR name GLOB 'forked *'").Scan(&n))
	if n > maxTaken+1 {
		t.Errorf("%d ranges are remembered of %d that were read", n, rounds)
	}
	// What is not remembered one by one could have been shown to this device only.
	a.revoke(b)
	a.sync()
	if a.syncer.readAgainLast.IsZero() {
		t.Error("the logs were not read again when the device was revoked")
	}
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_settings WHERE name = 'read again' OR name GLOB 'forked *'")
	a.wantValue(fmt.Sprint(2*rounds), "SELECT count(*) FROM item")
}
