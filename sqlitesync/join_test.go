package sqlitesync

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sqlitesync/go/crypto"
)

func TestJoinRefusesRowsOfItsOwn(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	b := newTestDevice(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('x', 'mine', 1), ('y', 'mine', 2)")
	before, folderBefore := b.dump(), tree(t, a.folder)
	code := a.invite()
	delete(folderBefore, "")
	withInvite := tree(t, a.folder)
	_, err := Join(context.Background(), b.db, a.folder, code, &b.options)
	wantIs(t, err, ErrNotEmpty)
	wantText(t, err, "item has 2", "MergeExisting", "ReplaceExisting")
	if b.dump() != before {
		t.Error("rows have changed")
	}
	b.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
	if after := tree(t, a.folder); fmt.Sprint(after) != fmt.Sprint(withInvite) {
		t.Error("the folder has changed")
	}
	if keys, _ := os.ReadDir(filepath.Join(filepath.Dir(b.path), "keys")); len(keys) != 0 {
		t.Error("keys were made")
	}
	b.exec("DELETE FROM item")
	b.join(a.folder, code) // the refusal did not spend the code
}

func TestJoinMayMergeRowsOfItsOwn(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('equal', 'same', 1), ('edited', 'same', 1), ('deleted', 'same', 1)")
	for i := range 8 {
		a.exec("INSERT INTO item VALUES (?, ?, 1)", fmt.Sprint("old ", i), fmt.Sprint("of a ", i))
	}
	a.create(t.TempDir())
	a.sync()
	a.exec("INSERT INTO item VALUES ('differing', 'of a', 1), ('gone', 'of a', 1), ('new', 'of a', 1)")
	a.exec("UPDATE item SET name = 'edited on a' WHERE id = 'edited'")
	a.exec("DELETE FROM item WHERE id = 'deleted'")
	a.sync()
	a.exec("DELETE FROM item WHERE id = 'gone'")
	a.sync()

	b := newTestDevice(t, itemSchema)
	b.options.Existing = MergeExisting
	b.exec(`INSERT INTO item VALUES ('equal', 'same', 1), ('edited', 'same', 1), ('deleted', 'same', 1),
		('differing', 'of b', 1), ('gone', 'of b', 1), ('unknown', 'of b', 1)`)
	for i := range 8 {
		b.exec("INSERT INTO item VALUES (?, ?, 1)", fmt.Sprint("old ", i), fmt.Sprint("of b ", i))
	}
	b.join(a.folder, a.invite())
	settle(b, a)
	wantSame(t, []*testDevice{a, b})
	for _, want := range []struct{ id, name string }{
		{"equal", "same"}, {"new", "of a"}, {"unknown", "of b"},
		{"edited", "edited on a"}, {"deleted", "no row"}, // a knew what b has, and went on from there
		{"differing", "of a"}, {"gone", "no row"},
	} {
		a.wantValue(want.name, "SELECT name FROM item WHERE id = ?", want.id)
	}

	// What was overruled is kept by the device whose row it was.
	kept := make(map[*testDevice]map[any]Conflict)
	for _, d := range []*testDevice{a, b} {
		kept[d] = make(map[any]Conflict)
		for _, c := range d.conflicts() {
			kept[d][c.Key[0]] = c
		}
	}
	for _, id := range []string{"differing", "gone"} {
		if c := kept[b][id]; c.Loser.Values["name"] != "of b" || c.Winner.Device != a.id() || !c.Loser.Time.IsZero() {
			t.Errorf("b does not keep its row %q: %+v", id, c)
		}
	}
	if !kept[b]["differing"].Collision {
		t.Error("two rows that were made apart under one key are no collision")
	}
	for _, id := range []string{"equal", "edited", "deleted", "unknown", "new"} {
		for d := range kept {
			if c, found := kept[d][id]; found {
				t.Errorf("conflict about %q: %+v", id, c)
			}
		}
	}
	winners := make(map[*testDevice]int)
	for i := range 8 {
		id := fmt.Sprint("old ", i)
		winner, loser := a, b
		if a.value("SELECT name FROM item WHERE id = ?", id) == fmt.Sprint("of b ", i) {
			winner, loser = b, a
		}
		winners[winner]++
		c := kept[loser][id]
		if c.Winner.Values["name"] == c.Loser.Values["name"] || c.Winner.Values["name"] != a.value("SELECT name FROM item WHERE id = ?", id) {
			t.Errorf("the device whose row %q lost does not keep it: %+v", id, c)
		}
	}
	if winners[a] == 0 || winners[b] == 0 {
		t.Errorf("ties went %d to %d, which tests one side only", winners[a], winners[b])
	}

	// Equal rows travel nowhere: b has published one batch of what a lacked.
	if n := len(b.segments()); n != 1 {
		t.Errorf("b has %d segments, want 1", n)
	}
	wantQuiet(t, a, b)
}

func TestJoinOfAnEqualCopyPublishesNothing(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	for i := range 500 {
		a.exec("INSERT INTO item VALUES (?, 'same', ?)", fmt.Sprint(i), i)
	}
	copied := filepath.Join(t.TempDir(), "copy.db")
	a.exec("VACUUM INTO ?", copied)
	a.create(t.TempDir())
	a.sync()

	b := newTestDevice(t, "SELECT 1")
	must(t, b.db.Close())
	var err error
	b.db, err = OpenDB(copied)
	must(t, err)
	b.options.Existing = MergeExisting
	b.join(a.folder, a.invite())
	settle(a, b)
	wantSame(t, []*testDevice{a, b})
	if n := len(b.segments()); n != 0 {
		t.Errorf("b published %d segments, want none: every row is equal", n)
	}
	if c := append(a.conflicts(), b.conflicts()...); len(c) != 0 {
		t.Errorf("%d conflicts between equal rows", len(c))
	}
	wantQuiet(t, a, b)
}

func TestJoinMayReplaceRowsOfItsOwn(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE local (id TEXT PRIMARY KEY NOT NULL, v)"
	a := newTestDevice(t, schema)
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	a.options.Exclude = []string{"local"}
	a.create(t.TempDir())
	a.sync()
	b := newTestDevice(t, schema)
	b.exec("INSERT INTO item VALUES ('x', 'of b', 2), ('y', 'of b', 3)")
	b.exec("INSERT INTO local VALUES ('stays', 1)")
	before := b.dump()
	b.options.Exclude = []string{"local"}
	b.options.Existing = ReplaceExisting
	b.join(a.folder, a.invite())
	settle(a, b)
	wantSame(t, []*testDevice{a, b}, "item")
	b.wantValue("of a", "SELECT group_concat(name) FROM item")
	b.wantValue("1", "SELECT count(*) FROM local")
	if c := b.conflicts(); len(c) != 0 {
		t.Errorf("%d conflicts with rows that were replaced", len(c))
	}
	copies, err := filepath.Glob(b.path + ".before-join-*")
	must(t, err)
	if len(copies) != 1 {
		t.Fatalf("copies %v, want one", copies)
	}
	kept := &testDevice{tb: t, path: copies[0]}
	kept.db, err = sql.Open("sqlite", "file:"+copies[0])
	must(t, err)
	defer kept.db.Close()
	if got := kept.dump(); got != before {
		t.Errorf("the copy has\n%s\nwant\n%s", got, before)
	}
	kept.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
	wantQuiet(t, a, b)
}

// failingKeys is a KeyStore whose disk is full.
type failingKeys struct{ KeyStore }

func (failingKeys) Save(context.Context, string, []byte) error {
	return fmt.Errorf("no space left on device")
}

// A Join that fails must not have removed what it was allowed to replace.
func TestAJoinThatFailsReplacesNothing(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	b := newTestDevice(t, itemSchema)
	b.exec("INSERT INTO item VALUES ('x', 'dear', 1)")
	b.options.Existing = ReplaceExisting
	working := b.options.Keys
	b.options.Keys = failingKeys{working}
	code := a.invite()
	if _, err := Join(context.Background(), b.db, a.folder, code, &b.options); err == nil {
		t.Fatal("joined without keys")
	}
	b.wantValue("dear", "SELECT name FROM item")
	b.options.Keys = working
	b.join(a.folder, code)
	b.wantValue("no row", "SELECT name FROM item")
}

func TestCodes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _ := newPair(t, itemSchema)
	elsewhere, _ := newPair(t, itemSchema)
	code := a.invite()
	// Another letter of the alphabet in the third group.
	wrong := []byte(code)
	at := strings.Index(code, "-")*2 + 2
	if wrong[at] = 'A'; code[at] == 'A' {
		wrong[at] = 'B'
	}
	expired, err := a.syncer.Invite(ctx, &InviteOptions{Expires: time.Millisecond})
	must(t, err)
	tick()
	tick()
	for _, test := range []struct {
		name, code string
		says       []string
	}{
		{"wrong letter", string(wrong), []string{"group 3"}},
		{"letter that codes do not have", strings.Replace(code, "-", "-U", 1), []string{"group 2"}},
		{"cut off", code[:20], []string{"not 35"}},
		{"empty", "", []string{"not 35"}},
		{"unknown", crypto.NewCode(crypto.InviteCode).Text(), []string{"another folder", "downloaded"}},
		{"recovery code", crypto.NewCode(crypto.RecoveryCode).Text(), []string{"recovery"}},
		{"of another folder", elsewhere.invite(), []string{"another folder"}},
		{"expired", expired.Code, []string{"expired", "new one"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newTestDevice(t, itemSchema)
			_, err := Join(ctx, d.db, a.folder, test.code, &d.options)
			wantIs(t, err, ErrCode)
			wantText(t, err, test.says...)
			if test.code != "" && strings.Contains(err.Error(), test.code) {
				t.Error("the error shows the code")
			}
			d.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
		})
	}

	t.Run("lower case with blanks", func(t *testing.T) {
		d := newTestDevice(t, itemSchema)
		d.join(a.folder, " "+strings.ToLower(strings.ReplaceAll(code, "-", "  "))+"\n")
	})
	t.Run("used twice", func(t *testing.T) {
		d := newTestDevice(t, itemSchema)
		_, err := Join(ctx, d.db, a.folder, code, &d.options)
		wantIs(t, err, ErrCode)
		wantText(t, err, "used")
	})
}

// The folder's host puts back the file of a code that was used.
func TestACodeAdmitsOnceEvenIfItsFileComesBack(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	code := a.invite()
	files, err := filepath.Glob(filepath.Join(a.folder, "invites", "*.age"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("invites %v, want one", files)
	}
	data, err := os.ReadFile(files[0])
	must(t, err)
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, code)
	if _, err := os.Stat(files[0]); err == nil {
		t.Error("the spent invite still stands")
	}
	must(t, os.WriteFile(files[0], data, 0o600))
	d := newTestDevice(t, itemSchema)
	_, err = Join(context.Background(), d.db, a.folder, code, &d.options)
	wantIs(t, err, ErrCode)
	wantText(t, err, "used")
	settle(a, b, c)
	wantSame(t, []*testDevice{a, b, c})
}

// A sync client has copied the directory of invites, which nobody but that client takes away again. What stands there is an
// invite as long as the records say so, and neither a code that was used nor one that was withdrawn admits anybody.
func TestACodeAdmitsOnceThoughACopyOfItsFileStands(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	used := a.invite()
	withdrawn, err := a.syncer.Invite(t.Context(), nil)
	must(t, err)
	copied := filepath.Join(a.folder, "invites 2")
	must(t, os.CopyFS(copied, os.DirFS(filepath.Join(a.folder, "invites"))))
	before := filesIn(t, copied)
	if len(before) != 2 {
		t.Fatalf("copies %v, want two", before)
	}
	must(t, os.RemoveAll(filepath.Join(a.folder, "invites")))
	c := newTestDevice(t, itemSchema)
	c.join(a.folder, used)
	a.sync()
	must(t, a.syncer.Withdraw(t.Context(), withdrawn.ID))
	for _, code := range []string{used, withdrawn.Code} {
		d := newTestDevice(t, itemSchema)
		_, err := Join(t.Context(), d.db, a.folder, code, &d.options)
		wantIs(t, err, ErrCode)
		wantText(t, err, "invite does not admit") // its file was found
	}
	settle(a, b, c)
	for _, device := range []*testDevice{a, b, c} {
		if open, err := device.syncer.Invites(t.Context()); err != nil || len(open) != 0 {
			t.Errorf("open invites %v, error %v", open, err)
		}
	}
	if after := filesIn(t, copied); !slices.Equal(after, before) {
		t.Errorf("copies %v, were %v", after, before)
	}
	wantSame(t, []*testDevice{a, b, c})
}

// Two devices use one code before either's record has reached the other. One
// of them is not a member; it must say so, at each pass, and publish nothing.
func TestOfTwoDevicesThatUseOneCodeAtOnceOneIsRefused(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	code := a.invite()
	elsewhere := t.TempDir()
	must(t, os.CopyFS(elsewhere, os.DirFS(a.folder)))
	first, second := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	first.join(a.folder, code)
	second.join(elsewhere, code)
	second.close()
	carry(t, elsewhere, a.folder)
	second.folder = a.folder
	second.open()

	first.exec("INSERT INTO item VALUES ('1', 'of first', 1)")
	second.exec("INSERT INTO item VALUES ('2', 'of second', 1)")
	refused, admitted := second, first
	err := refused.trySync()
	if err == nil {
		refused, admitted = first, second
		err = refused.trySync()
	}
	for range 3 {
		wantIs(t, err, ErrNotMember)
		if e := refused.problem(); !strings.Contains(e.Hint, "code") {
			t.Errorf("hint %q does not say to join with a new code", e.Hint)
		}
		err = refused.trySync()
	}
	if segments := refused.segments(); len(segments) != 0 {
		t.Errorf("the refused device has published %v", segments)
	}
	refused.wantValue("1", "SELECT count(*) FROM item")

	settle(a, b, admitted)
	wantSame(t, []*testDevice{a, b, admitted})
	a.wantValue("1", "SELECT count(*) FROM item")
	_, err = func() (*Syncer, error) {
		refused.syncer.Close()
		s, err := Open(context.Background(), refused.db, a.folder, &refused.options)
		refused.syncer = nil
		return s, err
	}()
	wantIs(t, err, ErrNotMember)

	// What Open advises works, and brings along what was written meanwhile.
	must(t, Uninstall(context.Background(), refused.db))
	refused.options.Existing = MergeExisting
	refused.join(a.folder, a.invite())
	settle(refused, a, b, admitted)
	wantSame(t, []*testDevice{a, b, admitted, refused})
	a.wantValue("2", "SELECT count(*) FROM item")
}

// carry copies files that are not in the other folder, as a sync service does.
func carry(tb testing.TB, from, to string) {
	tb.Helper()
	for path := range tree(tb, from) {
		relative, err := filepath.Rel(from, path)
		must(tb, err)
		target := filepath.Join(to, relative)
		if _, err := os.Stat(target); err == nil {
			continue
		}
		data, err := os.ReadFile(path)
		must(tb, err)
		must(tb, os.MkdirAll(filepath.Dir(target), 0o700))
		must(tb, os.WriteFile(target, data, 0o600))
	}
}

func TestJoinSaysThatTheFolderIsNotDownloadedCompletely(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, _ := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'here', 1)")
	a.sync()
	code := a.invite()
	records, err := filepath.Glob(filepath.Join(a.folder, "roster", "*"))
	must(t, err)
	for _, record := range records {
		data, err := os.ReadFile(record)
		must(t, err)
		for _, state := range []struct {
			name string
			set  func() error
		}{
			{"missing", func() error { return os.Remove(record) }},
			{"half", func() error { return os.WriteFile(record, data[:len(data)/2], 0o600) }},
			{"empty", func() error { return os.WriteFile(record, nil, 0o600) }},
		} {
			must(t, state.set())
			d := newTestDevice(t, itemSchema)
			_, err = Join(ctx, d.db, a.folder, code, &d.options)
			wantIs(t, err, ErrFolder)
			wantText(t, err, "downloaded")
			d.wantValue("0", "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlitesync%'")
		}
		must(t, os.WriteFile(record, data, 0o600))
	}
	d := newTestDevice(t, itemSchema)
	d.join(a.folder, code)
	d.wantValue("here", "SELECT name FROM item")
}

// Join succeeds although one log is damaged: the device is a member, and the
// rest is read later.
func TestJoinGoesOnWhenALogIsDamaged(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	a.sync()
	b.sync()
	data, err := os.ReadFile(a.lastSegment())
	must(t, err)
	must(t, os.WriteFile(a.lastSegment(), data[:100], 0o600))
	c := newTestDevice(t, itemSchema)
	c.exec("INSERT INTO item VALUES ('c', 'of c', 1)")
	c.options.Existing = MergeExisting
	c.join(a.folder, b.invite())
	c.problem()
	must(t, os.WriteFile(a.lastSegment(), data, 0o600))
	settle(a, b, c)
	wantSame(t, []*testDevice{a, b, c})
	c.wantValue("3", "SELECT count(*) FROM item")
	wantQuiet(t, a, b, c)
}
