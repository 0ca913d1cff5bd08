package sqlitesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// pairing is a space of two, a code, a device that joins with it, and a host who
// has full control of the folder, a space of its own, and no code.
type pairing struct {
	t             *testing.T
	a, b, joiner  *testDevice
	host          *testDevice // of the host's own space
	code          string
	older         string // a copy of the folder before the code was made
	genuine       string // a copy of the folder with the invite
	during, after func() // what the host does while Join runs, and when it is over
}

// copyTree makes to hold what from holds. Who has to open goes on with it.
func copyTree(tb testing.TB, from, to string) {
	tb.Helper()
	must(tb, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(to)
	must(tb, err)
	for _, entry := range entries {
		must(tb, os.RemoveAll(filepath.Join(to, entry.Name())))
	}
	must(tb, os.CopyFS(to, os.DirFS(from)))
}

// meddlesome is a KeyStore whose Save lets the host act: Join has read the
// folder by then, and has not written into it.
type meddlesome struct {
	KeyStore
	act func()
}

func (k meddlesome) Save(ctx context.Context, id string, secret []byte) error {
	k.act()
	return k.KeyStore.Save(ctx, id, secret)
}

func newPairing(t *testing.T) *pairing {
	t.Helper()
	p := &pairing{t: t, older: filepath.Join(t.TempDir(), "older"), genuine: filepath.Join(t.TempDir(), "genuine"), during: func() {}}
	p.a, p.b = newPair(t, itemSchema)
	p.a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
	settle(p.a, p.b)
	p.host = newTestDevice(t, itemSchema)
	p.host.create(t.TempDir())
	p.host.exec("INSERT INTO item VALUES ('host', 'of the host', 1)")
	p.host.sync()
	copyTree(t, p.a.folder, p.older)
	p.code = p.a.invite()
	copyTree(t, p.a.folder, p.genuine)
	p.joiner = newTestDevice(t, itemSchema)
	p.joiner.options.Keys = meddlesome{p.joiner.options.Keys, func() { p.during() }}
	return p
}

func (p *pairing) path(elements ...string) string {
	return filepath.Join(append([]string{p.a.folder}, elements...)...)
}

// inviteFile returns the path of the one invite file of a folder.
func inviteFile(tb testing.TB, dir string) string {
	tb.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "invites", "*.age"))
	must(tb, err)
	if len(paths) != 1 {
		tb.Fatalf("invites %q, want one", paths)
	}
	return paths[0]
}

func (p *pairing) write(path string, data []byte) {
	p.t.Helper()
	must(p.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(p.t, os.WriteFile(path, data, 0o600))
}

func (p *pairing) read(path string) []byte {
	p.t.Helper()
	data, err := os.ReadFile(path)
	must(p.t, err)
	return data
}

// check joins, and makes sure that it ends in one of two ways: the joiner is
// nowhere, and nothing of it has changed; or it is in the space of the code.
// The host is in neither way in.
func (p *pairing) check() (joined bool) {
	p.t.Helper()
	var err error
	p.joiner.folder = p.a.folder
	p.joiner.syncer, err = Join(context.Background(), p.joiner.db, p.a.folder, p.code, &p.joiner.options)
	if p.after != nil {
		p.after()
	}
	if err != nil {
		p.joiner.syncer = nil
		if !errors.Is(err, ErrCode) && !errors.Is(err, ErrFolder) && !errors.Is(err, ErrFormat) {
			p.t.Errorf("error %v", err)
		}
		for group := range strings.SplitSeq(p.code, "-") {
			if strings.Contains(err.Error(), group) {
				p.t.Errorf("error %q shows a part of the code", err)
			}
		}
	} else if p.joiner.syncer.identity.space != p.a.syncer.identity.space {
		p.t.Fatal("the joiner is in another space")
	}
	if set := p.joiner.value("SELECT count(*) > 0 FROM sqlite_schema WHERE name LIKE 'sqlitesync%'"); err != nil && set != "0" && !errors.Is(err, ErrFolder) {
		p.t.Error("a Join that was refused has left tables behind")
	}
	p.joiner.wantValue("0", "SELECT count(*) FROM item WHERE id = 'host'")
	p.a.trySync()
	p.b.trySync()
	for _, d := range []*testDevice{p.a, p.b} {
		d.wantValue("0", "SELECT count(*) FROM item WHERE id = 'host'")
		for _, member := range d.syncer.roster.Members() {
			if member.ID != p.a.id() && member.ID != p.b.id() && (err != nil || member.ID != p.joiner.id()) {
				p.t.Errorf("%s is a member", member.ID.Short())
			}
		}
	}
	return err == nil
}

// restore puts back what the host took away or changed, and removes what it
// planted, but for what the devices have published since.
func (p *pairing) restore() {
	p.t.Helper()
	host := tree(p.t, p.host.folder)
	for path, sum := range tree(p.t, p.a.folder) {
		for _, hosts := range host {
			if sum == hosts {
				must(p.t, os.Remove(path))
				break
			}
		}
	}
	for path := range tree(p.t, p.genuine) {
		relative, err := filepath.Rel(p.genuine, path)
		must(p.t, err)
		if filepath.Base(path) != "head" {
			p.write(filepath.Join(p.a.folder, relative), p.read(path))
		}
	}
}

// A host with full control of the folder can keep a device from pairing. It can
// not enter, nor get the device into another space, nor spoil the code for good.
func TestAHostCanOnlyPreventPairing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		act  func(p *pairing)
		fits bool // the joiner enters all the same
	}{
		{"the invite is replaced by one of the host", func(p *pairing) {
			p.host.invite()
			p.write(inviteFile(t, p.a.folder), p.read(inviteFile(t, p.host.folder)))
		}, false},
		{"the invite is replaced by an older one", func(p *pairing) {
			first := p.read(inviteFile(t, p.a.folder))
			must(t, os.Remove(inviteFile(t, p.a.folder)))
			p.code = p.a.invite()
			copyTree(t, p.a.folder, p.genuine)
			p.write(inviteFile(t, p.a.folder), first)
		}, false},
		{"the invite is cut off", func(p *pairing) {
			path := inviteFile(t, p.a.folder)
			p.write(path, p.read(path)[:500])
		}, false},
		{"the invite is a passphrase's", func(p *pairing) { p.write(inviteFile(t, p.a.folder), []byte(scryptBomb)) }, false},
		{"the invite has a long header", func(p *pairing) { p.write(inviteFile(t, p.a.folder), ageHeader(100<<10)) }, false},
		{"the invite is withheld", func(p *pairing) { must(t, os.Remove(inviteFile(t, p.a.folder))) }, false},
		{"the records of the host's space instead", func(p *pairing) {
			copyTree(t, filepath.Join(p.host.folder, "roster"), p.path("roster"))
		}, false},
		{"the host's whole space, with the invite", func(p *pairing) {
			invite := inviteFile(t, p.a.folder)
			data := p.read(invite)
			copyTree(t, p.host.folder, p.a.folder)
			p.write(invite, data)
		}, false},
		{"the host's marker", func(p *pairing) {
			p.write(p.path("sqlitesync.json"), p.read(filepath.Join(p.host.folder, "sqlitesync.json")))
		}, false},
		{"a marker of a newer format", func(p *pairing) { p.write(p.path("sqlitesync.json"), []byte(`{"format":2}`)) }, false},
		{"no marker", func(p *pairing) { must(t, os.Remove(p.path("sqlitesync.json"))) }, true},
		{"the records from before the invite", func(p *pairing) { copyTree(t, filepath.Join(p.older, "roster"), p.path("roster")) }, false},
		{"no records", func(p *pairing) { must(t, os.RemoveAll(p.path("roster"))) }, false},
		{"the host's records too", func(p *pairing) { carry(t, filepath.Join(p.host.folder, "roster"), p.path("roster")) }, true},
		{"the host's devices too", func(p *pairing) { carry(t, filepath.Join(p.host.folder, "devices"), p.path("devices")) }, true},
		{"the host's segments under a's name", func(p *pairing) {
			p.write(filepath.Join(p.a.directory(), segmentName(1)), p.read(p.host.lastSegment()))
		}, true},
		{"no segments", func(p *pairing) { must(t, os.Remove(p.a.lastSegment())) }, true},
		{"the host in the middle of Join: its own records", func(p *pairing) {
			p.during = func() { copyTree(t, filepath.Join(p.host.folder, "roster"), p.path("roster")) }
		}, true},
		{"the host in the middle of Join: its own space", func(p *pairing) {
			p.during = func() { copyTree(t, p.host.folder, p.a.folder) }
		}, true},
		{"the host withholds the joiner's record", func(p *pairing) {
			p.after = func() { copyTree(t, filepath.Join(p.genuine, "roster"), p.path("roster")) }
		}, true},
		{"the host enters with the joiner's record", func(p *pairing) {
			p.after = func() {
				for path := range tree(t, p.path("roster")) {
					data := p.read(path)
					record, err := crypto.ParseRecord(data)
					if err != nil || record.Kind != crypto.KindAdmit || record.Author != p.joiner.id() {
						continue
					}
					must(t, os.Remove(path))
					id := p.host.id()
					joiner := p.joiner.id()
					forged := bytes.Replace(data, joiner[:], id[:], 1)
					public := p.host.syncer.keys.entry().Device.Public().Signing
					was := p.joiner.syncer.keys.entry().Device.Public().Signing
					forged = bytes.Replace(forged, was[:], public[:], 1)
					p.write(p.path("roster", strings.Repeat("0", 64)), forged)
					if record, err := crypto.ParseRecord(forged); err == nil {
						p.write(p.path("roster", record.Hash().String()), forged)
					}
				}
			}
		}, true},
		{"the host writes an invite of its own", func(p *pairing) {
			guess, err := crypto.NewCode(crypto.InviteCode).InviteKeys()
			must(t, err)
			name, file := p.host.recordOf(crypto.KindInvite, p.a.syncer.identity.space, inviteBody(guess))
			p.write(p.path("roster", name), file)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPairing(t)
			test.act(p)
			joined := p.check()
			if joined != test.fits {
				t.Errorf("joined: %v, want %v", joined, test.fits)
			}
			// Once the host lets be, the same code works, if it was not used.
			p.during, p.after = func() {}, nil
			p.restore()
			if !joined && !p.check() {
				t.Fatal("the code does not work any more")
			}
			for range 2 { // what was put back may contradict what was read
				for _, d := range []*testDevice{p.a, p.b, p.joiner} {
					d.trySync()
				}
			}
			p.joiner.exec("INSERT INTO item VALUES ('joiner', 'of the joiner', 1)")
			for range 2 {
				for _, d := range []*testDevice{p.joiner, p.a, p.b} {
					d.trySync()
				}
			}
			devices := []*testDevice{p.a, p.b, p.joiner}
			wantSame(t, devices)
			p.b.wantValue("2", "SELECT count(*) FROM item")
			for _, d := range devices {
				if n := len(d.syncer.roster.Members()); n != 3 {
					t.Errorf("%d members, want 3", n)
				}
			}
			for path := range tree(t, filepath.Join(p.host.folder, "roster")) {
				p.joiner.wantValue("0", "SELECT count(*) FROM sqlitesync_records WHERE hash = ?", filepath.Base(path))
			}
			for path := range tree(t, p.a.folder) {
				if bytes.Contains(bytes.ToUpper(p.read(path)), []byte(p.code)) {
					t.Errorf("%s holds the code", path)
				}
			}
		})
	}
}

// A code with one wrong letter is told before the folder is looked at: nothing
// of what a host has planted there can come into it.
func TestAWrongLetterIsToldBeforeAnythingIsTried(t *testing.T) {
	t.Parallel()
	d := newTestDevice(t, itemSchema)
	code := []byte(crypto.NewCode(crypto.InviteCode).Text())
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	for at, letter := range code {
		if letter == '-' {
			continue
		}
		wrong := slices.Clone(code)
		wrong[at] = alphabet[(strings.IndexByte(alphabet, letter)+1)%len(alphabet)]
		_, err := Join(context.Background(), d.db, filepath.Join(t.TempDir(), "there is none"), string(wrong), &d.options)
		wantIs(t, err, ErrCode)
		wantText(t, err, fmt.Sprintf("group %d", at/6+1))
	}
	_, err := Join(context.Background(), d.db, filepath.Join(t.TempDir(), "there is none"), string(code), &d.options)
	wantIs(t, err, ErrFolder)
}

// Who uses a code that another device has used is void, and everyone is told.
func TestASecondUseOfACodeIsReported(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	code := a.invite()
	elsewhere := t.TempDir()
	copyTree(t, a.folder, elsewhere)
	first, second := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
	first.join(a.folder, code)
	settle(a, b, first)
	b.invite() // the record of an admin that has seen the first use, and it alone
	second.join(elsewhere, code)
	second.close()
	carry(t, elsewhere, a.folder)
	second.open()
	second.folder = a.folder
	for _, d := range []*testDevice{a, b, first} {
		events := d.syncer.events.subscribe()
		d.sync()
		d.sync()
		told := 0
		for event, ok := events.take(); ok; event, ok = events.take() {
			if event.Kind == EventRefused && event.Device == second.id() {
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %d times, want once", told)
		}
		refused := d.syncer.Status().Refused
		if len(refused) != 1 || refused[0].Device != second.id() || !strings.Contains(refused[0].Reason, "has admitted another device") {
			t.Errorf("refused %+v, want %s", refused, second.id().Short())
		}
		if _, member := d.syncer.roster.Member(second.id()); member {
			t.Error("the second use has admitted a device")
		}
		d.reopen()
		d.sync()
		if again := d.syncer.Status().Refused; !slices.Equal(again, refused) {
			t.Errorf("after opening again refused is %+v", again)
		}
	}
}
