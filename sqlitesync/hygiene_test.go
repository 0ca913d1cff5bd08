package sqlitesync

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// Words that stand in rows, names and secrets. A passphrase is looked for by the
// test of examples/passphrase.
const (
	canaryRow    = "canaryrow"
	canaryTable  = "canarytable"
	canaryColumn = "canarycolumn"
	canaryDevice = "canarydevice"
)

const canarySchema = `
CREATE TABLE canarytable (id TEXT PRIMARY KEY NOT NULL, canarycolumn TEXT UNIQUE, data BLOB, n INTEGER CHECK (n < 100));
CREATE TABLE canarytablechild (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES canarytable (id) ON DELETE RESTRICT);
CREATE TABLE canarytablelocal (canarycolumn);
CREATE TABLE canarytablebroken (id TEXT PRIMARY KEY NOT NULL, canarycolumn)`

// said gathers all that is said in logs, errors, events and reports.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// note keeps values in every form in which a program may print them.
func (s *said) note(values ...any) {
	log := slog.New(slog.NewJSONHandler(s, nil))
	for _, v := range values {
		fmt.Fprintf(s, "%v\n%+v\n%#v\n%q\n", v, v, v, v)
		log.Info("value", "v", v)
		if err, ok := v.(error); ok {
			for e := err; e != nil; e = errors.Unwrap(e) {
				fmt.Fprintf(s, "%v\n%+v\n%#v\n%s\n", e, e, e, e.Error())
			}
			if known := (*Error)(nil); errors.As(err, &known) {
				fmt.Fprintf(s, "%s\n%+v\n", known.Hint, *known)
			}
		}
	}
}

// look notes what a device reports.
func (s *said) look(d *testDevice) {
	status := d.syncer.Status()
	s.note(status, status.Err)
	for _, problem := range status.Problems {
		s.note(problem)
	}
	s.note(d.syncer, d.syncer.identity, d.syncer.keys, d.syncer.keys.entry(), d.syncer.options.Keys)
	devices, err := d.syncer.Devices(context.Background())
	for _, device := range devices {
		device.Name = "" // which is what Devices is for
		s.note(device, device.Err)
	}
	s.note(err)
	for held, err := range d.syncer.Held(context.Background()) {
		s.note(held.Reason, err)
	}
}

// forms returns the forms in which a secret may stand somewhere.
func forms(secret []byte) map[string]string {
	f := map[string]string{
		"as it is": string(secret), "in hexadecimal": hex.EncodeToString(secret),
		"in upper-case hexadecimal": strings.ToUpper(hex.EncodeToString(secret)),
		"as decimals":               strings.Trim(fmt.Sprint(secret), "[]"),
	}
	if len(secret) >= 16 { // as arguments of functions in a stack: five bytes of an array, or a word
		f["as bytes of a stack"] = fmt.Sprintf("%#x, %#x, %#x, %#x, %#x", secret[0], secret[1], secret[2], secret[3], secret[4])
		f["as a word of a stack"] = fmt.Sprintf("%#x", binary.LittleEndian.Uint64(secret))
	}
	for shift := range 3 { // inside of something longer, base64 has three forms
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		encoded = encoded[4 : len(encoded)-4]
		f[fmt.Sprint("in base64, shifted by ", shift)] = encoded
		f[fmt.Sprint("in base64 for URLs, shifted by ", shift)] = strings.NewReplacer("+", "-", "/", "_").Replace(encoded)
	}
	return f
}

// bits returns the bytes that digits of five bits say, from one bit on.
func bits(digits, alphabet string, from int) (data []byte) {
	var value, count uint
	for _, digit := range digits {
		value, count = value<<5|uint(strings.IndexRune(alphabet, digit)), count+5
		if from > 0 {
			count -= uint(from)
			value &= 1<<count - 1
			from = 0
		}
		for ; count >= 8; count -= 8 {
			data = append(data, byte(value>>(count-8)))
		}
		value &= 1<<count - 1
	}
	return data
}

// secretsOf returns the secrets of a device's key entry: the seed that it signs
// with, and those of all identities, with their text.
func secretsOf(tb testing.TB, d *testDevice) (secrets [][]byte) {
	tb.Helper()
	entry, err := d.options.Keys.Load(context.Background(), d.id().String())
	must(tb, err)
	secrets = append(secrets, d.seed().Seed())
	for _, identity := range regexp.MustCompile(`AGE-SECRET-KEY-PQ-1[0-9A-Z]{58}`).FindAllString(string(entry), -1) {
		seed := bits(strings.ToLower(identity[19:][:52]), "qpzry9x8gf2tvdw0s3jn54khce6mua7l", 0)
		secrets = append(secrets, []byte(identity), []byte(strings.ToLower(identity)), seed)
	}
	return secrets
}

// codeSecrets returns a code as people write it, and the secret in it.
func codeSecrets(code string) [][]byte {
	var digits string
	for group := range strings.SplitSeq(code, "-") {
		digits += group[:4]
	}
	plain := strings.ReplaceAll(code, "-", "")
	return [][]byte{[]byte(code), []byte(plain), []byte(strings.ToLower(code)), bits(digits, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 4)[:16]}
}

// canarySpace makes a space of three devices, and returns the codes that they
// entered with, and their events.
func canarySpace(t *testing.T, all *said, logs *said) (devices []*testDevice, codes []string, events []*eventReader) {
	t.Helper()
	for i := range 3 {
		d := newTestDevice(t, canarySchema)
		d.options.DeviceName = fmt.Sprint(canaryDevice, i)
		d.options.Logger = slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
		if i == 0 {
			d.exec("INSERT INTO canarytable VALUES ('canaryrow before', 'canaryrow baseline', x'00', 1)")
			d.create(t.TempDir())
		} else {
			invite, err := devices[0].syncer.Invite(context.Background(), nil)
			must(t, err)
			all.note(invite, &invite)
			codes = append(codes, invite.Code)
			d.join(devices[0].folder, invite.Code)
		}
		devices = append(devices, d)
		events = append(events, d.syncer.events.subscribe())
	}
	settle(devices...)
	return devices, codes, events
}

// Nothing that is secret shows where it does not belong: words of rows and names
// in the folder, those of rows in anything that is said, keys and codes anywhere.
func TestNothingSecretShowsWhereItDoesNotBelong(t *testing.T) {
	temporary := t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP", "SQLITE_TMPDIR"} {
		t.Setenv(name, temporary)
	}
	t.Run("scenario", func(t *testing.T) { hygieneScenario(t, temporary) })
}

func hygieneScenario(t *testing.T, temporary string) {
	all, logs := new(said), new(said)
	devices, codes, events := canarySpace(t, all, logs)
	a, b := devices[0], devices[1]
	sharedFolder := a.folder
	var secrets [][]byte
	for _, d := range devices {
		secrets = append(secrets, secretsOf(t, d)...)
	}
	for _, write := range []func(*testing.T, *said, []*testDevice){writeAndConflict, holdRows, failLocally, panicMidway, plantHostileFiles, losePlaces} {
		write(t, all, devices)
		for _, d := range devices {
			all.look(d)
		}
	}
	codes = append(codes, misuseCodes(t, all, a)...)
	codes = append(codes, decide(t, all, a)...)
	secrets = append(secrets, secretsOf(t, a)...) // of the epochs that began since
	for _, code := range codes {
		secrets = append(secrets, codeSecrets(code)...)
	}
	settled := true
	for _, d := range devices {
		all.look(d)
		settled = settled && d.value("SELECT count(*) FROM canarytable") != "0"
	}
	if !settled || len(b.conflicts()) == 0 && len(a.conflicts()) == 0 {
		t.Fatal("the scenario did not come to what it is for")
	}
	for _, d := range devices {
		all.note(d.syncer.Close())
		d.syncer = nil
	}
	seen := 0
	for _, reader := range events {
		for event, ok := reader.take(); ok; event, ok = reader.take() {
			all.note(event, event.Err)
			seen++
		}
	}
	if seen < 20 {
		t.Errorf("%d events only", seen)
	}
	lookForCanaries(t, all, logs, sharedFolder, temporary, devices, secrets)
}

// lookForCanaries looks through everything. What each place may hold differs.
func lookForCanaries(t *testing.T, all, logs *said, folder, temporary string, devices []*testDevice, secrets [][]byte) {
	places := map[string][]byte{"what was said": all.text.Bytes(), "the log": logs.text.Bytes()}
	for place, text := range places {
		lookFor(t, place, text, canaryRow)
		if len(text) < 1000 {
			t.Errorf("%s has %d bytes only", place, len(text))
		}
	}
	lookFor(t, "the log", logs.text.Bytes(), canaryDevice)
	files := 0
	read := func(dir string, words ...string) {
		must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || filepath.Base(filepath.Dir(path)) == "keys" {
				return err
			}
			data, err := os.ReadFile(path)
			places[path] = data
			files++
			for _, word := range words {
				lookFor(t, path, append(data, path...), word)
			}
			return err
		}))
	}
	read(folder, canaryRow, canaryTable, canaryColumn, canaryDevice)
	for _, d := range devices {
		read(filepath.Dir(d.path)) // database, WAL, index of it
	}
	// The test's own directories lie in the temporary one, too.
	left, err := os.ReadDir(temporary)
	must(t, err)
	for _, entry := range left {
		if !strings.HasPrefix(entry.Name(), "Test") {
			t.Errorf("%s was left in the temporary directory", entry.Name())
		}
	}
	if files < 20 {
		t.Errorf("%d files only", files)
	}
	// The search finds what it is for, where it belongs.
	database := places[devices[0].path]
	if database = append(database, places[devices[0].path+"-wal"]...); !bytes.Contains(database, []byte(canaryRow)) {
		t.Error("the database holds no row")
	}
	entry, err := devices[0].options.Keys.Load(context.Background(), filepath.Base(keyFile(t, devices[0])))
	must(t, err)
	for _, secret := range secrets[:2] {
		if !bytes.Contains(entry, secret) {
			t.Error("the key entry holds no secret")
		}
	}
	for _, secret := range secrets {
		for form, text := range forms(secret) {
			for place, data := range places {
				if bytes.Contains(data, []byte(text)) {
					t.Errorf("%s holds a secret, %s: %.6s…", place, form, text)
				}
			}
		}
	}
}

// lookFor fails if text holds a word, whatever the case.
func lookFor(t *testing.T, place string, text []byte, word string) {
	t.Helper()
	lower := bytes.ToLower(text)
	for form, pattern := range forms([]byte(word)) {
		if strings.Contains(form, "base64") {
			continue // too short to be told from chance
		}
		if at := bytes.Index(lower, []byte(strings.ToLower(pattern))); at >= 0 {
			t.Errorf("%s holds %q, %s: …%s…", place, word, form, text[max(0, at-150):min(len(text), at+80)])
		}
	}
}

// keyFile returns the path of a device's key file, without its suffix.
func keyFile(t *testing.T, d *testDevice) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(d.path), "keys", "*.key"))
	must(t, err)
	if len(paths) != 1 {
		t.Fatalf("key files %q", paths)
	}
	return strings.TrimSuffix(paths[0], ".key")
}

func writeAndConflict(t *testing.T, all *said, devices []*testDevice) {
	ctx := context.Background()
	a, b := devices[0], devices[1]
	for i, d := range devices {
		d.exec("INSERT INTO canarytable VALUES (?, ?, CAST(? AS BLOB), ?)",
			fmt.Sprint("canaryrow key ", i), fmt.Sprint("canaryrow text ", i), strings.Repeat("canaryrow blob ", 100), i)
		d.exec("INSERT INTO canarytablechild VALUES (?, ?)", fmt.Sprint("canaryrow child ", i), fmt.Sprint("canaryrow key ", i))
		d.exec("INSERT INTO canarytablelocal VALUES ('canaryrow local')")
		must(t, d.syncer.export(ctx))
	}
	settle(devices...)
	for i, d := range devices {
		d.exec("UPDATE canarytable SET canarycolumn = ? WHERE id = 'canaryrow before'", fmt.Sprint("canaryrow edit ", i))
		d.exec("INSERT INTO canarytable VALUES ('canaryrow same key', ?, NULL, 1)", fmt.Sprint("canaryrow collision ", i))
		must(t, d.syncer.export(ctx))
	}
	settle(devices...)
	all.note(a.syncer.Resolve(ctx, 99, TakeLoser), a.syncer.Resolve(ctx, 1, nil))
	for _, d := range []*testDevice{a, b} {
		for _, c := range d.conflicts() {
			all.note(d.syncer.Resolve(ctx, c.ID, TakeValues(map[string]any{"nosuch": "canaryrow"})))
			all.note(d.syncer.Resolve(ctx, c.ID, TakeValues(map[string]any{"n": 1000})))
			all.note(d.syncer.Resolve(ctx, c.ID, TakeValues(map[string]any{"n": struct{ s string }{"canaryrow"}})))
			all.note(d.syncer.Resolve(ctx, c.ID, BringBackAs("canaryrow", "canaryrow")))
			all.note(d.syncer.Resolve(ctx, c.ID, BringBackAs("canaryrow key 0")))
		}
	}
}

func holdRows(t *testing.T, _ *said, devices []*testDevice) {
	ctx := context.Background()
	a, b, c := devices[0], devices[1], devices[2]
	a.exec("INSERT INTO canarytable VALUES ('canaryrow u1', 'canaryrow unique', NULL, 1)")
	b.exec("INSERT INTO canarytable VALUES ('canaryrow u2', 'canaryrow unique', NULL, 1)")
	c.exec("CREATE TRIGGER strict BEFORE INSERT ON canarytable BEGIN SELECT RAISE(ABORT, 'canarytrigger ' || NEW.canarycolumn); END")
	c.exec("CREATE TRIGGER broken AFTER INSERT ON canarytablebroken BEGIN INSERT INTO canarytablelocal VALUES (nosuchfunction(NEW.canarycolumn)); END")
	c.exec("CREATE TRIGGER raising AFTER INSERT ON canarytablechild BEGIN INSERT INTO canarytablelocal SELECT RAISE(ABORT, 'canarytrigger ' || NEW.id); END")
	a.exec("INSERT INTO canarytablebroken VALUES ('canaryrow broken', 'canaryrow broken')")
	a.exec("INSERT INTO canarytable VALUES ('canaryrow parent', 'canaryrow parent', NULL, 1)")
	a.exec("CREATE TABLE canarytablelater (id TEXT PRIMARY KEY NOT NULL, canarycolumn TEXT)")
	a.exec("INSERT INTO canarytablelater VALUES ('canaryrow later', 'canaryrow later')")
	a.exec("ALTER TABLE canarytable ADD COLUMN canarycolumnlater TEXT")
	a.exec("UPDATE canarytable SET canarycolumnlater = 'canaryrow later', n = 99")
	settle(a, b)
	b.exec("DELETE FROM canarytable WHERE id = 'canaryrow parent'")
	a.exec("INSERT INTO canarytablechild VALUES ('canaryrow orphan', 'canaryrow parent')")
	for range 2 {
		for _, d := range devices {
			_ = d.syncer.Sync(ctx) // c's triggers may fail it; that is to be looked at
		}
	}
	if len(a.held())+len(b.held())+len(c.held()) == 0 {
		t.Error("no row is held")
	}
}

func failLocally(t *testing.T, all *said, devices []*testDevice) {
	ctx := context.Background()
	a := devices[0]
	all.note(a.syncer.Migrate(ctx, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "INSERT INTO canarytable (id, n) VALUES ('canaryrow migrated', 1000)")
		return err
	}))
	_, err := Open(ctx, a.db, a.folder, &a.options)
	all.note(err)
	_, err = Create(ctx, a.db, a.folder, &a.options)
	all.note(err)
	stranger := newTestDevice(t, canarySchema)
	stranger.exec("INSERT INTO canarytable VALUES ('canaryrow x', 'canaryrow x', NULL, 1)")
	stranger.options.Tables = []string{"canarytable", "nosuch"}
	_, err = Create(ctx, stranger.db, t.TempDir(), &stranger.options)
	all.note(err)
	stranger.options.Tables = nil
	_, err = Join(ctx, stranger.db, a.folder, a.invite(), &stranger.options)
	all.note(err)
	wantIs(t, err, ErrNotEmpty)

	keys := &brokenKeys{KeyStore: a.options.Keys, broken: true}
	a.options.Keys = keys
	a.reopen()
	a.exec("UPDATE canarytable SET n = 3 WHERE id = 'canaryrow before'")
	all.note(a.trySync())
	keys.broken = false
	a.options.Keys = keys.KeyStore
	must(t, a.syncer.Sync(ctx))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	all.note(a.syncer.Sync(cancelled))
}

// panickyKeys panics where a program can end while sync works, with all that it would print.
type panickyKeys struct {
	KeyStore
	print func([]byte) (int, error) // not what it prints into: the store is printed, too
}

func (k panickyKeys) Save(context.Context, string, []byte) error {
	stacks := make([]byte, 1<<20)
	_, _ = k.print(stacks[:runtime.Stack(stacks, true)])
	panic("the key ring is broken")
}

// panicMidway lets programs panic inside of what this package calls. Who recovers goes on.
func panicMidway(t *testing.T, all *said, devices []*testDevice) {
	ctx := context.Background()
	a := devices[0]
	attempt := func(fn func() error) {
		t.Helper()
		defer func() {
			ended := recover()
			if ended == nil {
				t.Error("nothing has panicked")
			}
			all.note(ended)
			_, _ = all.Write(debug.Stack())
		}()
		all.note(fn())
	}
	store := a.options.Keys
	a.options.Keys = panickyKeys{store, all.Write}
	a.reopen()
	a.exec("UPDATE canarytable SET n = 6 WHERE id = 'canaryrow before'")
	attempt(func() error { return a.syncer.Sync(ctx) })
	invite, err := a.syncer.Invite(ctx, nil)
	must(t, err)
	attempt(func() error { return a.syncer.Withdraw(ctx, invite.ID) })
	a.syncer.keys.store, a.options.Keys = store, store
	attempt(func() error {
		return a.syncer.Migrate(ctx, func(ctx context.Context, db *sql.DB) error {
			if _, err := db.ExecContext(ctx, "UPDATE canarytable SET n = 7 WHERE id = 'canaryrow before'"); err != nil {
				t.Error(err)
			}
			panic("the migration is broken")
		})
	})
	must(t, a.syncer.Sync(ctx))
	settle(devices...)
	if !bytes.Contains(all.text.Bytes(), []byte("panickyKeys")) {
		t.Error("no stack was noted")
	}
}

func plantHostileFiles(t *testing.T, all *said, devices []*testDevice) {
	a, b := devices[0], devices[1]
	path := a.lastSegment()
	data, err := os.ReadFile(path)
	must(t, err)
	genuine, err := crypto.ParseSegment(data)
	must(t, err)
	a.exec("UPDATE canarytable SET n = 4 WHERE id = 'canaryrow before'")
	must(t, a.syncer.export(context.Background()))
	path = a.lastSegment()
	if data, err = os.ReadFile(path); err == nil {
		genuine, err = crypto.ParseSegment(data)
	}
	must(t, err)
	author := a.id()
	body := slicesOf([]byte{0, 1}, author[:], []byte{1, 0, 0, 0, 0, 1, 1, 9}, []byte("canaryrow"), []byte{1, 9}, []byte("canaryrow"))
	packed := append([]byte{0, 0, 0, 0, byte(len(body))}, body...)
	for _, junk := range [][]byte{
		[]byte("canaryrow"), data[:100], sealAs(t, a, genuine.Header(), packed), sealAs(t, a, genuine.Header(), []byte("canaryrow")),
		payloadOf(a, data, []byte("canaryrow")),
	} {
		must(t, os.WriteFile(path, junk, 0o600))
		all.note(b.trySync())
		all.look(b)
	}
	must(t, os.WriteFile(path, data, 0o600))

	headPath := filepath.Join(a.directory(), "head")
	head, err := os.ReadFile(headPath)
	must(t, err)
	header := crypto.HeadHeader{Space: a.syncer.identity.space, Counter: 1 << 40}
	for _, content := range []string{"canaryrow", `{"seen": {"canaryrow": "canaryrow"}}`, `{"time": "canaryrow"}`, `{"canaryrow`} {
		junk, err := crypto.SealHead(header, []byte(content), a.syncer.keys.newest(), a.syncer.keys.entry().Device)
		must(t, err)
		must(t, os.WriteFile(headPath, junk, 0o600))
		delete(b.syncer.clocks, a.id())
		all.note(b.trySync())
		all.look(b)
	}
	must(t, os.WriteFile(headPath, head, 0o600))
	for name, content := range map[string]string{"sqlitesync.json": `{"format":"canaryrow"}`, "roster/" + strings.Repeat("1", 64): "canaryrow"} {
		planted := filepath.Join(a.folder, filepath.FromSlash(name))
		before, missing := os.ReadFile(planted)
		must(t, os.WriteFile(planted, []byte(content), 0o600))
		all.note(b.trySync())
		all.look(b)
		if missing != nil {
			must(t, os.Remove(planted))
		} else {
			must(t, os.WriteFile(planted, before, 0o600))
		}
	}
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// losePlaces takes the folder, the keys and the newest state away, one by one.
func losePlaces(t *testing.T, all *said, devices []*testDevice) {
	ctx := context.Background()
	a := devices[0]
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	a.exec("UPDATE canarytable SET n = 5 WHERE id = 'canaryrow before'")
	all.note(a.trySync())
	all.look(a)
	must(t, os.Rename(away, a.folder))
	all.note(a.trySync())

	copied := filepath.Join(t.TempDir(), "copy.db")
	a.exec("VACUUM INTO ?", copied)
	elsewhere, err := OpenDB(copied)
	must(t, err)
	defer elsewhere.Close()
	options := a.options
	options.Keys = FileKeys(filepath.Join(t.TempDir(), "keys"))
	_, err = Open(ctx, elsewhere, a.folder, &options)
	all.note(err, Uninstall(ctx, elsewhere))
	options.Existing = ReplaceExisting
	s, err := Join(ctx, elsewhere, a.folder, a.invite(), &options)
	must(t, err)
	all.note(s.Sync(ctx), s.Close())
}

// misuseCodes returns codes that were tried in wrong ways.
func misuseCodes(t *testing.T, all *said, a *testDevice) (codes []string) {
	ctx := context.Background()
	codes = append(codes, crypto.NewCode(crypto.InviteCode).Text(), crypto.NewCode(crypto.RecoveryCode).Text(), a.invite())
	for _, code := range codes {
		for _, tried := range []string{code[:len(code)-1], code + "canaryrow", strings.Replace(code, "-", "U", 1), strings.ToLower(code)} {
			d := newTestDevice(t, canarySchema)
			s, err := Join(ctx, d.db, t.TempDir(), tried, &d.options)
			all.note(s == nil, err)
			wantIs(t, err, ErrCode)
		}
	}
	return codes
}

// decide makes decisions about members, and returns the codes that it made and used.
func decide(t *testing.T, all *said, a *testDevice) (codes []string) {
	ctx := context.Background()
	for range 2 { // the second one replaces the first
		code, err := a.syncer.Recovery(ctx)
		must(t, err)
		codes = append(codes, code)
	}
	d := newTestDevice(t, canarySchema)
	d.options.DeviceName, d.options.Logger = canaryDevice, a.options.Logger
	d.options.Existing = ReplaceExisting
	_, err := Join(ctx, d.db, a.folder, codes[0], &d.options)
	all.note(err)
	wantIs(t, err, ErrCode)
	d.join(a.folder, codes[1])
	invite, err := a.syncer.Invite(ctx, &InviteOptions{Role: RoleReader})
	must(t, err)
	codes = append(codes, invite.Code)
	all.note(invite, a.trySync(), a.syncer.Withdraw(ctx, invite.ID))
	all.note(a.syncer.SetRole(ctx, d.id(), RoleWriter), a.syncer.Revoke(ctx, d.id()))
	d.exec("INSERT INTO canarytable VALUES ('canaryrow revoked', 'canaryrow', x'00', 1)")
	err = d.trySync()
	all.note(err)
	wantIs(t, err, ErrNotMember)
	all.look(d)
	return codes
}
