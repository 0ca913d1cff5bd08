package sqlitesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitesync/go/crypto"
)

// listener collects the events of a device.
type listener struct {
	tb     testing.TB
	events chan Event
	cancel context.CancelFunc
}

// listen returns once events are being collected.
func (d *testDevice) listen() *listener {
	d.tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{tb: d.tb, events: make(chan Event, 1000), cancel: cancel}
	events := d.syncer.Events(ctx)
	go func() {
		defer close(l.events)
		for event := range events {
			l.events <- event
		}
	}()
	d.tb.Cleanup(cancel)
	return l
}

func (d *testDevice) readers() int {
	d.syncer.events.mu.Lock()
	defer d.syncer.events.mu.Unlock()
	return len(d.syncer.events.readers)
}

// next returns the next event, which must be of this kind.
func (l *listener) next(kind EventKind) Event {
	l.tb.Helper()
	select {
	case event, open := <-l.events:
		if !open || event.Kind != kind || event.Time.IsZero() {
			l.tb.Fatalf("event %v (%v), want %v", event, open, kind)
		}
		return event
	case <-time.After(20 * time.Second):
		l.tb.Fatalf("no event, want %v", kind)
		panic("unreachable")
	}
}

// none checks that no event was sent that next has not returned: events are
// put into the queue before Sync returns, and come in order, so the next one
// must be that of the marker.
func (l *listener) none(d *testDevice) {
	l.tb.Helper()
	d.syncer.events.send(Event{Kind: EventKind(99)})
	l.next(EventKind(99))
}

func TestEventsTellWhatHappens(t *testing.T) {
	t.Parallel()
	const schema = itemSchema + "; CREATE TABLE Other (id TEXT PRIMARY KEY NOT NULL, v)"
	a, b := newPair(t, schema)
	la, lb := a.listen(), b.listen()
	a.exec("INSERT INTO item VALUES ('x', 'y', 1), ('z', 'y', 1)")
	a.exec("INSERT INTO other VALUES ('x', 'y')")
	settle(a, b)
	if e := la.next(EventPublished); e.Rows != 3 {
		t.Errorf("published %+v, want 3 rows", e)
	}
	if e := lb.next(EventApplied); e.Rows != 3 || e.Device != a.id() || !slices.Equal(e.Tables, []string{"Other", "item"}) {
		t.Errorf("applied %+v, want 3 rows of a in both tables", e)
	}
	la.none(a)
	lb.none(b)
	settle(a, b)
	la.none(a)
	lb.none(b)

	a.exec("UPDATE item SET name = 'a' WHERE id = 'x'")
	tick()
	b.exec("UPDATE item SET name = 'b' WHERE id = 'x'")
	a.sync()
	la.next(EventPublished)
	b.sync()
	lb.next(EventPublished)
	if e := lb.next(EventConflict); e.Count != 1 || e.Device != a.id() {
		t.Errorf("conflict %+v, want one with a", e)
	}
	a.sync()
	if e := la.next(EventApplied); e.Rows != 1 || !slices.Equal(e.Tables, []string{"item"}) {
		t.Errorf("applied %+v", e)
	}
	if e := la.next(EventConflict); e.Count != 1 || e.Device != b.id() {
		t.Errorf("conflict %+v", e)
	}

	c := newTestDevice(t, schema)
	c.join(a.folder, a.invite())
	a.sync()
	if e := la.next(EventMember); e.Device != c.id() {
		t.Errorf("member %+v, want c", e)
	}
	la.none(a)
	lb.none(b)
}

func TestProblemsAreAnnouncedOnceAndSolved(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	l := a.listen()
	must(t, os.Rename(a.folder, a.folder+".away"))
	for range 3 {
		err := a.trySync()
		if status := a.syncer.Status(); status.State != StateFailing || status.Err == nil || !errors.Is(err, status.Err) {
			t.Errorf("status %+v after %v", status, err)
		}
	}
	if e := l.next(EventProblem); !errors.Is(e.Err, ErrFolder) {
		t.Errorf("problem %v", e.Err)
	}
	l.none(a) // the same problem again is no news
	must(t, os.Rename(a.folder+".away", a.folder))
	a.sync()
	l.next(EventSolved)
	l.none(a)
	if status := a.syncer.Status(); status.State != StateIdle || status.Err != nil || len(status.Problems) != 0 {
		t.Errorf("status %+v", status)
	}

	// A temporary file has another name at each pass: it is one problem all the same.
	for _, name := range []string{"0123456789abcdef", "fedcba9876543210"} {
		a.syncer.report([]error{fault("publish", fmt.Errorf("open .~sqs-%s.tmp: no space left on device", name), "")})
	}
	l.next(EventProblem)
	settle(a, b)
	l.next(EventSolved)
	l.none(a)

	// Another problem beside the first is news, and it is not over before both are.
	must(t, os.WriteFile(filepath.Join(a.folder, "roster", strings.Repeat("0", 64)), nil, 0o600))
	if err := a.trySync(); err == nil {
		t.Error("no error")
	}
	l.next(EventProblem)
	must(t, os.Rename(b.directory(), b.directory()+".away"))
	must(t, os.Symlink("nowhere", b.directory()))
	b.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	wantText(t, b.trySync(), "not a plain file")
	must(t, os.Remove(b.directory()))
	must(t, os.Rename(b.directory()+".away", b.directory()))
	must(t, os.Remove(filepath.Join(a.folder, "roster", strings.Repeat("0", 64))))
	settle(b, a)
	l.next(EventApplied)
	l.next(EventSolved)
	l.none(a)
}

func TestASlowReaderLearnsHowManyEventsItMissed(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	const sent = maxQueued + 50
	events := a.syncer.Events(context.Background())
	a.syncer.events.send(Event{Kind: EventSolved})
	read := 0
	for event := range events {
		// While the first event is looked at, all others are sent.
		switch read++; read {
		case 1:
			for i := range sent {
				a.syncer.events.send(Event{Kind: EventPublished, Rows: i + 1})
			}
		case 2:
			if event.Missed != sent-maxQueued || event.Rows != sent-maxQueued+1 {
				t.Errorf("missed %d, then event %d; want %d missed", event.Missed, event.Rows, sent-maxQueued)
			}
		default:
			if event.Missed != 0 {
				t.Errorf("event %d: missed %d", read, event.Missed)
			}
		}
		if read == 1+maxQueued {
			if event.Rows != sent {
				t.Errorf("the last event is number %d, want %d", event.Rows, sent)
			}
			break
		}
	}
	if n := a.readers(); n != 0 {
		t.Errorf("%d readers are left after the loop", n)
	}
}

func TestEventsEnd(t *testing.T) {
	t.Parallel()
	a, _ := newPair(t, itemSchema)
	byContext, byClose := a.listen(), a.listen()
	byContext.cancel()
	if _, open := <-byContext.events; open {
		t.Error("an event after the context was canceled")
	}
	a.close()
	if event, open := <-byClose.events; open {
		t.Errorf("event %v although nothing happened", event)
	}
}

func TestStatusIsACopy(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema+"; CREATE TABLE nokey (v)")
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	a.sync()
	must(t, os.Truncate(a.lastSegment(), 10))
	b.trySync()
	status := b.syncer.Status()
	status.Problems[0], status.Unsynced[0] = nil, Unsynced{}
	if again := b.syncer.Status(); again.Problems[0] == nil || again.Unsynced[0].Table == "" || again.Behind != 1 {
		t.Errorf("status %+v", again)
	}
	if !b.syncer.Status().LastPublished.IsZero() || a.syncer.Status().LastPublished.IsZero() {
		t.Error("LastPublished is wrong")
	}
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Nothing that is secret or private may be found anywhere but in the databases
// and the KeyStore: not in logs, errors, events or the folder.
func TestCanaries(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	const (
		row, key, blob = "CANARYROW", "CANARYKEY", "CANARYBLOB"
		table, column  = "canarytable", "canarycolumn"
		name           = "CANARYDEVICE"
	)
	const schema = "CREATE TABLE " + table + " (id TEXT PRIMARY KEY NOT NULL, " + column + " TEXT UNIQUE, n INTEGER CHECK (n < 100)); CREATE TABLE nokey (v)"
	log := &lockedBuffer{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var said []string // errors, events, anything printed
	say := func(values ...any) {
		for _, v := range values {
			said = append(said, fmt.Sprint(v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v))
		}
	}
	a, b := newTestDevice(t, schema), newTestDevice(t, schema)
	a.options.Logger, b.options.Logger = logger, logger
	a.options.DeviceName, b.options.DeviceName = name, name
	a.create(t.TempDir())
	a.exec("INSERT INTO "+table+" VALUES (?, ?, 1)", key+"0", row)
	a.sync()
	invite, err := a.syncer.Invite(ctx, nil)
	must(t, err)
	say(invite)
	slog.New(slog.NewJSONHandler(log, nil)).Info("invited", "invite", invite)
	spare, err := a.syncer.Invite(ctx, nil)
	must(t, err)
	b.exec("INSERT INTO "+table+" VALUES (?, ?, 1)", key+"1", row) // claims a's unique value
	_, err = Join(ctx, b.db, a.folder, invite.Code, &b.options)
	say(err)
	b.options.Existing = MergeExisting
	_, err = Join(ctx, b.db, a.folder, crypto.NewCode(crypto.InviteCode).Text(), &b.options)
	say(err)
	b.join(a.folder, invite.Code)
	var events sync.WaitGroup
	var mu sync.Mutex
	var heard []Event
	for _, d := range []*testDevice{a, b} {
		l := d.listen()
		events.Go(func() {
			for event := range l.events {
				mu.Lock()
				heard = append(heard, event)
				mu.Unlock()
			}
		})
	}
	settle(a, b)
	a.exec("UPDATE "+table+" SET "+column+" = ? WHERE id = ?", row+"a", key+"0")
	b.exec("UPDATE "+table+" SET "+column+" = ? WHERE id = ?", row+"b", key+"0")
	a.exec("INSERT INTO "+table+" VALUES (?, ?, 1)", key+"2", []byte(blob))
	b.exec("DROP TABLE " + table + "; CREATE TABLE " + table + " (id TEXT PRIMARY KEY NOT NULL, " + column + " INTEGER NOT NULL) STRICT")
	settle(a, b)
	for _, d := range []*testDevice{a, b} {
		say(d.syncer.Status())
		for h, err := range d.syncer.Held(ctx) {
			must(t, err)
			say(h.Reason)
		}
		say(d.syncer.Resolve(ctx, 12345, TakeLoser))
	}
	for _, damage := range []func(){
		func() { must(t, os.Truncate(a.lastSegment(), 200)) },
		func() { must(t, os.WriteFile(a.lastSegment(), []byte(row), 0o600)) },
		func() { must(t, os.Rename(a.folder, a.folder+".away")) },
	} {
		a.exec("INSERT INTO "+table+" VALUES (?, ?, 2)", fmt.Sprint(key, time.Now().UnixNano()), fmt.Sprint(row, time.Now().UnixNano()))
		say(a.trySync())
		damage()
		say(a.trySync(), b.trySync(), b.syncer.Status())
	}
	must(t, os.Rename(a.folder+".away", a.folder))
	a.exec("CREATE TRIGGER guard BEFORE INSERT ON " + table + " WHEN NEW.n = 3 BEGIN SELECT RAISE(ABORT, '" + row + " refused'); END")
	say(a.trySync())
	say(a.syncer.keys.entry(), *a.syncer.keys.entry(), a.syncer.keys.newest(), *a.syncer.keys.entry().Device)
	seeds := make([][]byte, 0, 2)
	for _, d := range []*testDevice{a, b} {
		secret, err := d.options.Keys.Load(ctx, d.id().String())
		must(t, err)
		start := bytes.IndexByte(secret, '\n') + 1
		seeds = append(seeds, secret[start:start+32])
	}
	a.syncer.Close()
	b.syncer.Close()
	a.syncer, b.syncer = nil, nil
	events.Wait()
	for _, event := range heard {
		say(event)
	}
	if len(heard) < 5 || len(log.String()) < 100 {
		t.Fatalf("%d events and %d bytes of log: too little to find anything in", len(heard), len(log.String()))
	}

	places := map[string]string{"log": log.String(), "errors and events": strings.Join(said, "\n")}
	must(t, filepath.WalkDir(a.folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		places["name "+path] = entry.Name()
		if entry.Type().IsRegular() {
			data, err := os.ReadFile(path)
			places["file "+path] = string(data)
			return err
		}
		return nil
	}))
	codes := []string{invite.Code, spare.Code, strings.ReplaceAll(spare.Code, "-", ""), "AGE-SECRET-KEY"}
	for place, text := range places {
		inFolder := strings.HasPrefix(place, "file ") || strings.HasPrefix(place, "name ")
		secrets := append([]string{row, key, blob}, codes...)
		if inFolder { // names of tables are for the log; the folder's host learns none
			secrets = append(secrets, table, column, name)
		}
		for _, seed := range seeds {
			secrets = append(secrets, string(seed), fmt.Sprintf("%x", seed))
		}
		for _, secret := range secrets {
			// The one file that was made to hold it does not count.
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) && text != row {
				t.Errorf("%s shows %q", place, secret)
			}
		}
	}
}
