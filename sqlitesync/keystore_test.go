package sqlitesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqlitesync/go/crypto"
)

func TestFileKeys(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "a", "b")
	keys := FileKeys(dir)
	_, err := keys.Load(ctx, "0123")
	wantIs(t, err, fs.ErrNotExist)
	must(t, keys.Save(ctx, "0123", []byte("first")))
	must(t, keys.Save(ctx, "0123", []byte("second")))
	must(t, keys.Save(ctx, "ffff", []byte("other")))
	got, err := keys.Load(ctx, "0123")
	must(t, err)
	if string(got) != "second" {
		t.Errorf("loaded %q", got)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("the directory holds %v, want two entries and no temporary file", entries)
	}
	for _, id := range []string{"", "../0123", "AB", "x", "01/23", ".", "0123.key", "01\x00"} {
		if err := keys.Save(ctx, id, nil); err == nil {
			t.Errorf("saved under %q", id)
		}
		if _, err := keys.Load(ctx, id); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Load of %q: %v", id, err)
		}
	}
}

func TestKeyFilesAreForTheUserAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "keys")
	keys := FileKeys(dir)
	must(t, keys.Save(ctx, "0123", []byte("secret")))
	path := filepath.Join(dir, "0123.key")
	for name, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		info, err := os.Stat(name)
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o666, 0o601, 0o610, 0o777} {
		must(t, os.Chmod(path, mode))
		data, err := keys.Load(ctx, "0123")
		wantText(t, err, "others", path)
		if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Hint, "chmod 600 "+path) {
			t.Errorf("error %v does not say what to do", err)
		}
		if data != nil {
			t.Errorf("mode %o: the secret was returned all the same", mode)
		}
	}
	must(t, os.Chmod(path, 0o400))
	if _, err := keys.Load(ctx, "0123"); err != nil {
		t.Errorf("a file that may only be read: %v", err)
	}
	for _, mode := range []fs.FileMode{0o701, 0o710, 0o720, 0o740, 0o750, 0o755, 0o775, 0o777} {
		must(t, os.Chmod(dir, mode))
		_, loadErr := keys.Load(ctx, "0123")
		for _, err := range []error{loadErr, keys.Save(ctx, "4567", []byte("secret"))} {
			wantText(t, err, "others", dir, fmt.Sprintf("%04o", mode))
			if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Hint, "chmod 700 "+dir) {
				t.Errorf("error %v does not say what to do", err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "4567.key")); err == nil {
		t.Error("a key was saved where others may look")
	}
	must(t, os.Chmod(dir, 0o500))
	if _, err := keys.Load(ctx, "0123"); err != nil {
		t.Errorf("a directory that may only be read: %v", err)
	}
	must(t, os.Chmod(dir, 0o700))
	must(t, keys.Save(ctx, "4567", []byte("secret")))
}

// Open shows the person what the KeyStore says is to be done.
func TestOpenHandsOnWhatToDoAboutKeys(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	a, _ := newPair(t, itemSchema)
	path := filepath.Join(filepath.Dir(a.path), "keys", a.id().String()+".key")
	a.close()
	must(t, os.Chmod(path, 0o644))
	_, err := Open(context.Background(), a.db, a.folder, &a.options)
	if e := (*Error)(nil); !errors.As(err, &e) || !strings.Contains(e.Hint, "chmod 600 "+path) {
		t.Errorf("error %v does not say what to do", err)
	}
	must(t, os.Chmod(path, 0o600))
	a.open()
}

// A process that is killed while it saves leaves a copy of the secrets behind, which the next one removes.
func TestWhatAKilledProcessLeftOfKeysIsRemoved(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "keys [of it")
	keys := FileKeys(dir)
	must(t, keys.Save(ctx, "ab", []byte("first")))
	old := time.Now().Add(-2 * abandonedTime)
	want := []string{".abc.0123", ".ab.4567", ".other", "ab.key"}
	for name, written := range map[string]time.Time{".ab.0123": old, ".ab.4567": time.Now(), ".abc.0123": old, ".other": old} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte("secret"), 0o600))
		must(t, os.Chtimes(path, written, written))
	}
	must(t, os.Chtimes(filepath.Join(dir, "ab.key"), old, old))
	must(t, keys.Save(ctx, "ab", []byte("second")))
	var got []string
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

func TestFileKeysMayBeUsedFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	keys := FileKeys(filepath.Join(t.TempDir(), "keys"))
	must(t, keys.Save(ctx, "ab", bytes.Repeat([]byte{0}, 1000)))
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for range 20 {
				if err := keys.Save(ctx, "ab", bytes.Repeat([]byte{byte(i)}, 1000)); err != nil {
					t.Error(err)
				}
				got, err := keys.Load(ctx, "ab")
				if err != nil || len(got) != 1000 || bytes.Count(got, got[:1]) != 1000 {
					t.Errorf("loaded a mixture (%v)", err)
				}
			}
		})
	}
	wait.Wait()
}

func TestADatabaseWithoutItsKeysIsNoMember(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	settle(a, b)
	id := a.id()
	a.close()
	copied := filepath.Join(t.TempDir(), "copy.db")
	a.exec("VACUUM INTO ?", copied)
	elsewhere, err := OpenDB(copied)
	must(t, err)
	defer elsewhere.Close()

	otherKeys := a.options
	otherKeys.Keys = FileKeys(filepath.Join(t.TempDir(), "keys"))
	_, err = Open(ctx, elsewhere, a.folder, &otherKeys)
	wantIs(t, err, ErrNotMember)
	wantText(t, err, "copied", "Uninstall", "Join", id.Short())

	// Keys of another device, damaged, of a newer version.
	path := filepath.Join(filepath.Dir(a.path), "keys", id.String()+".key")
	genuine, err := os.ReadFile(path)
	must(t, err)
	ofB, err := os.ReadFile(filepath.Join(filepath.Dir(b.path), "keys", b.id().String()+".key"))
	must(t, err)
	for _, test := range []struct {
		name string
		data []byte
		is   error
		says string
	}{
		{"of another device", ofB, ErrNotMember, "another device"},
		{"cut off", genuine[:len(genuine)-1], crypto.ErrDamaged, "load keys"},
		{"empty", nil, crypto.ErrDamaged, "load keys"},
		{"of a newer version", bytes.Replace(genuine, []byte("keys 1\n"), []byte("keys 2\n"), 1), ErrFormat, "load keys"},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, os.WriteFile(path, test.data, 0o600))
			_, err := Open(ctx, a.db, a.folder, &a.options)
			wantIs(t, err, test.is)
			wantText(t, err, test.says)
		})
	}
	must(t, os.WriteFile(path, genuine, 0o600))
	a.open()
	a.sync()

	// What the error advises works.
	must(t, Uninstall(ctx, elsewhere))
	otherKeys.Existing = MergeExisting
	s, err := Join(ctx, elsewhere, a.folder, a.invite(), &otherKeys)
	must(t, err)
	must(t, s.Sync(ctx))
	must(t, s.Close())
}

// brokenKeys fails to save while it is told to.
type brokenKeys struct {
	KeyStore
	broken bool
}

func (k *brokenKeys) Save(ctx context.Context, id string, secret []byte) error {
	if k.broken {
		return errors.New("the key ring is locked")
	}
	return k.KeyStore.Save(ctx, id, secret)
}

// What is about to be published is recorded in the KeyStore first: without that,
// a restored backup would go unnoticed.
func TestNothingIsPublishedThatTheKeyStoreDoesNotKnow(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	keys := &brokenKeys{KeyStore: a.options.Keys}
	a.options.Keys = keys
	a.reopen()
	keys.broken = true
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	for range 3 {
		wantText(t, a.trySync(), "locked")
		a.problem()
		if n := len(a.segments()); n != 0 {
			t.Fatalf("%d segments were published", n)
		}
	}
	keys.broken = false
	settle(a, b)
	a.wantHealthy()
	wantSame(t, []*testDevice{a, b})
	secret, err := keys.Load(context.Background(), a.id().String())
	must(t, err)
	entry, err := crypto.ParseKeyEntry(secret)
	must(t, err)
	if entry.Batch != 1 {
		t.Errorf("the KeyStore knows batch %d, want 1", entry.Batch)
	}
}

// The machine is the same, its keys are gone. What the device had published stays that of its old id; what was still to go
// out, sealed or not, goes out under the new one.
func TestKeysThatAreLost(t *testing.T) {
	t.Parallel()
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprint("log written anew=", anew), func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t, itemSchema)
			clock := newTestClock(a, b)
			a.writeBatches(8, func(i int) string {
				return fmt.Sprintf("INSERT INTO item VALUES ('%d', 'x', %d) ON CONFLICT DO UPDATE SET n = excluded.n", i%4, i)
			})
			a.exec("DELETE FROM item WHERE id = '3'")
			settle(a, b)
			if anew {
				a.compactNext()
				quietDown(clock, a, b)
			}
			a.exec("INSERT INTO item VALUES ('sealed', 'of a', 1)")
			must(t, a.syncer.prepare(t.Context()))
			a.exec("UPDATE item SET name = 'noted' WHERE id = '1'")
			old := a.id()
			a.close()
			must(t, os.Remove(filepath.Join(filepath.Dir(a.path), "keys", old.String()+".key")))
			_, err := Open(t.Context(), a.db, a.folder, &a.options)
			wantIs(t, err, ErrNotMember)
			must(t, Uninstall(t.Context(), a.db))
			a.options.Existing = MergeExisting
			a.join(b.folder, b.invite())
			settle(a, b)
			must(t, b.syncer.Revoke(t.Context(), old))
			late := newTestDevice(t, itemSchema)
			late.join(b.folder, b.invite())
			settle(a, b, late)
			wantSame(t, []*testDevice{a, b, late})
			late.wantValue("0x4,1noted5,2x6,sealedof a1", "SELECT group_concat(id || name || n) FROM (SELECT * FROM item ORDER BY id)")
			wantQuiet(t, a, b, late)
		})
	}
}

// Who entered, or left, is told when its record is written down: nobody reads that again because the epochs that it brings could
// not be saved.
func TestMembersAreToldOfThoughTheKeyStoreFails(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	keys := &brokenKeys{KeyStore: b.options.Keys}
	b.options.Keys = keys
	b.reopen()
	events := b.syncer.events.subscribe()
	a.revoke(c) // begins an epoch
	keys.broken = true
	wantText(t, b.trySync(), "locked")
	keys.broken = false
	b.sync()
	var told []DeviceID
	for event, ok := events.take(); ok; event, ok = events.take() {
		if event.Kind == EventMember {
			told = append(told, event.Device)
		}
	}
	if !slices.Equal(told, []DeviceID{c.id()}) {
		t.Errorf("told of %v, want of %s once", told, c.id())
	}
	a.exec("INSERT INTO item VALUES ('1', 'of the new epoch', 1)")
	settle(a, b)
	b.wantValue("1", "SELECT count(*) FROM item")
}
