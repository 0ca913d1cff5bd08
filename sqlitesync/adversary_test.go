package sqlitesync

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The tests in this file bear the folder, and members, of bad will. What they
// plant must cost time and memory within bounds, be named, and stop nobody.

// Bounds of what a pass over hostile files may cost, FORMAT.md's: 5 s of a processor, of which most take a tenth. By the clock a
// machine that does other things as well takes several times as long.
const (
	maxHostileWork   = 5 * time.Second
	maxHostileTime   = 20 * time.Second
	maxHostileMemory = 256 << 20
)

// bounded runs fn and fails if it takes too long or too much memory. What other
// tests use at the same time counts, so tests that call it are not parallel.
func bounded(t *testing.T, fn func()) {
	t.Helper()
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapAlloc+now.StackInuse))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	started, worked := time.Now(), processorTime(t)
	fn()
	took, work := time.Since(started), processorTime(t)-worked
	close(stop)
	<-stopped
	if limit := maxHostileWork * raceFactor; work > limit {
		t.Errorf("took %v of a processor, more than %v", work, limit)
	}
	if limit := maxHostileTime * raceFactor; took > limit {
		t.Errorf("took %v, more than %v", took, limit)
	}
	if used := int64(peak.Load()) - int64(before.HeapAlloc+before.StackInuse); used > maxHostileMemory && raceFactor == 1 { // the race detector keeps more
		t.Errorf("used %d MiB, more than %d", used>>20, maxHostileMemory>>20)
	}
}

// sealAs makes a segment of a device with the content, that continues nothing.
func sealAs(tb testing.TB, d *testDevice, header crypto.SegmentHeader, content []byte) []byte {
	tb.Helper()
	header.Space = d.syncer.identity.space
	data, _, err := crypto.SealSegment(header, content, d.syncer.keys.newest(), d.syncer.keys.entry().Device)
	must(tb, err)
	return data
}

// seed returns the secret of a device's signing key, as only the device has it.
func (d *testDevice) seed() ed25519.PrivateKey {
	d.tb.Helper()
	secret, err := d.options.Keys.Load(context.Background(), d.id().String())
	must(d.tb, err)
	return ed25519.NewKeyFromSeed(secret[bytes.IndexByte(secret, '\n')+1:][:ed25519.SeedSize])
}

// signed makes a file of any header and payload, signed rightly.
func (d *testDevice) signed(kind string, header, payload []byte) []byte {
	file := fmt.Appendf(nil, "sqlitesync %s 1\n", kind)
	file = binary.BigEndian.AppendUint32(file, uint32(len(header)))
	file = append(file, header...)
	file = append(file, ed25519.Sign(d.seed(), slices.Concat([]byte("sqlitesync/"+kind+"/v1"), header))...)
	return append(file, payload...)
}

// payloadOf makes a segment whose payload is no age file that this package would
// write, measured and signed rightly.
func payloadOf(d *testDevice, genuine []byte, payload []byte) []byte {
	size := binary.BigEndian.Uint32(genuine[bytes.IndexByte(genuine, '\n')+1:])
	header := bytes.Clone(genuine[bytes.IndexByte(genuine, '\n')+1+4:][:size])
	return d.signed("segment", measure(header, payload), payload)
}

// measure makes a header, of a segment or head, say length and hash of a payload.
func measure(header, payload []byte) []byte {
	sum := sha256.Sum256(payload)
	header = header[:len(header)-8-len(sum)]
	header = binary.BigEndian.AppendUint64(header, uint64(len(payload)))
	return append(header, sum[:]...)
}

// scryptBomb is an age file that would take 2^40 steps to open with a passphrase.
const scryptBomb = "age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 40\nuXrbTJxFOEpn2YqCnbZWbuKRnmzHLtE3mLPNAwhyJPQ\n--- uXrbTJxFOEpn2YqCnbZWbuKRnmzHLtE3mLPNAwhyJPQ\n"

// ageHeader is the beginning of an age file with about size bytes of stanzas.
func ageHeader(size int) []byte {
	stanza := "-> other " + strings.Repeat("argument ", 50) + "\n" + strings.Repeat(strings.Repeat("A", 64)+"\n", 6) + "AAAA\n"
	return []byte("age-encryption.org/v1\n" + strings.Repeat(stanza, size/len(stanza)))
}

// manyRecipients is an age file for so many strangers.
func manyRecipients(tb testing.TB, n int) []byte {
	tb.Helper()
	identity, err := age.GenerateHybridIdentity()
	must(tb, err)
	var file bytes.Buffer
	w, err := age.Encrypt(&file, slices.Repeat([]age.Recipient{identity.Recipient()}, n)...)
	must(tb, err)
	must(tb, w.Close())
	return file.Bytes()
}

// zeros is a packed body that says that it is size bytes long and whose frame
// makes frame zero bytes.
func zeros(size uint32, frame int) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		panic(err)
	}
	return encoder.EncodeAll(make([]byte, frame), binary.BigEndian.AppendUint32([]byte{1}, size))
}

// A member of bad will signs what it likes. Each segment costs little to refuse,
// and nothing of other devices.
func TestSegmentsOfBadWillAreRefusedWithinBounds(t *testing.T) {
	g := newTarget(t)
	genuine, err := crypto.ParseSegment(g.data)
	must(t, err)
	seal := func(content []byte) []byte { return sealAs(t, g.a, genuine.Header(), content) }
	stored := func(body ...byte) []byte {
		return seal(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...))
	}
	author := g.a.id()
	many := binary.AppendUvarint(nil, 1<<32)
	devices := slices.Concat([]byte{0, 1}, author[:])
	batches := slices.Concat(devices, []byte{1, 0, 0, 0})
	for _, test := range []struct {
		name string
		data []byte
	}{
		{"inflates to as much as it may say", seal(zeros(64<<20, 64<<20))},
		{"inflates to more than it says", seal(zeros(10, 64<<20))},
		{"inflates to more than a body may have", seal(zeros(64<<20, 256<<20))},
		{"says that it inflates to 4 GiB", seal(zeros(1<<32-1, 1<<20))},
		{"a window of terabytes", seal([]byte{1, 0, 0, 0, 1, 0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0, 0})},
		{"two frames", seal(append(zeros(20, 10), zeros(20, 10)[5:]...))},
		{"stored, and longer than it may be", seal(make([]byte, 64<<20+6))},
		{"2^32 devices", stored(append([]byte{0}, many...)...)},
		{"2^32 batches", stored(append(bytes.Clone(devices), many...)...)},
		{"2^32 entries of a seen vector", stored(slices.Concat(devices, []byte{1, 0, 0}, many)...)},
		{"2^32 pieces", stored(slices.Concat(batches, many)...)},
		{"2^32 shapes", stored(slices.Concat(batches, []byte{0}, many)...)},
		{"2^32 groups", stored(slices.Concat(batches, []byte{0, 0}, many)...)},
		{"a table's name of 2^32 bytes", stored(slices.Concat(batches, []byte{0, 1, 1}, many)...)},
		{"scrypt", payloadOf(g.a, g.data, []byte(scryptBomb))},
		{"an age header of 10 MiB", payloadOf(g.a, g.data, ageHeader(10<<20))},
		{"an age file for 1,000 others", payloadOf(g.a, g.data, manyRecipients(t, 1000))},
		{"not encrypted", payloadOf(g.a, g.data, []byte("plain text instead of age"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			g.t = t
			must(t, os.WriteFile(g.path, test.data, 0o600))
			bounded(t, func() { g.check(nil) })
		})
	}
	g.t = t
	g.heal()
}

// needSparseFiles skips a test where large files of nothing take their room.
func needSparseFiles(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("files are not sparse here unless one asks for it")
	}
}

// Files that are large and cost nothing to make, in numbers.
func TestFloodsOfPlantedFilesAreBorneWithinBounds(t *testing.T) {
	needSparseFiles(t)
	const flood = 300
	sparse := func(path, start string, size int64) {
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(start), 0o600))
		must(t, os.Truncate(path, size))
	}
	const magic = "sqlitesync segment 1\n\x00\x00\x00\xbc"
	for _, test := range []struct {
		name    string
		plant   func(g *target, i int)
		publish bool // a may go on too
		problem bool // the pass has something to report
	}{
		{"under names that come next", func(g *target, i int) {
			sparse(filepath.Join(g.a.directory(), fmt.Sprintf("%012x-%012x-%04x.seg", 4, 4+i, 1)), magic, 66<<20)
		}, true, true},
		{"under names that are not ours", func(g *target, i int) {
			sparse(filepath.Join(g.a.directory(), fmt.Sprint("copy ", i)), magic, 66<<20)
		}, true, false},
		{"in directories that look like a device's", func(g *target, i int) {
			sparse(filepath.Join(g.a.directory()+fmt.Sprint(" (", i, ")"), segmentName(4)), magic, 66<<20)
		}, true, true},
		{"whole segments under names that are not ours", func(g *target, i int) {
			must(t, os.WriteFile(filepath.Join(g.a.directory(), fmt.Sprint("copy ", i)), g.data, 0o600))
		}, true, false},
		{"in the reader's own directory", func(g *target, i int) {
			sparse(filepath.Join(g.b.directory(), segmentName(uint64(1000+i))), magic, 66<<20)
		}, true, false},
		{"of strangers", func(g *target, i int) {
			sparse(filepath.Join(g.b.folder, "devices", fmt.Sprintf("%032x", i), segmentName(1)), magic, 66<<20)
		}, true, true},
		{"as records", func(g *target, i int) {
			sparse(filepath.Join(g.b.folder, "roster", fmt.Sprintf("%064x", i)), "sqlitesync record 1\n\x00\x04\x00\x00", 262144+88)
		}, true, true},
		{"as invites", func(g *target, i int) {
			sparse(filepath.Join(g.b.folder, "invites", fmt.Sprintf("%032x.age", i)), "age", 1<<40)
		}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newTarget(t)
			settle(g.a, g.b, g.c)
			for i := range flood {
				test.plant(g, i)
			}
			g.c.exec("INSERT INTO item VALUES ('c', 'of c', 1)")
			must(t, g.c.syncer.export(context.Background()))
			var err error
			bounded(t, func() { err = g.b.trySync() })
			if (err != nil) != test.problem {
				t.Errorf("error %.200v", err)
			}
			if n := len(g.b.syncer.Status().Problems); n > maxListed+1 {
				t.Errorf("%d problems are listed", n)
			}
			g.b.wantValue("of c", "SELECT name FROM item WHERE id = 'c'")
			g.b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
			g.b.trySync()
			g.c.trySync()
			g.c.wantValue("of b", "SELECT name FROM item WHERE id = 'b'")
		})
	}
}

// Everything that a device reads may be a file of a terabyte.
func TestFilesOfATerabyteAreNotRead(t *testing.T) {
	needSparseFiles(t)
	g := newTarget(t)
	settle(g.a, g.b, g.c)
	junk := strings.Repeat("0", 64)
	for _, name := range []string{
		"sqlitesync.json", "roster/" + junk, "invites/" + junk[:32] + ".age",
		"devices/" + g.a.id().String() + "/head", "devices/" + g.a.id().String() + "/" + segmentName(4),
		"devices/" + g.a.id().String() + "/notes.txt",
	} {
		path := filepath.Join(g.b.folder, filepath.FromSlash(name))
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		must(t, err)
		must(t, file.Truncate(1<<40))
		must(t, file.Close())
	}
	g.c.exec("INSERT INTO item VALUES ('c', 'of c', 1)")
	must(t, g.c.syncer.export(context.Background()))
	delete(g.b.syncer.clocks, g.a.id()) // its head is to be looked at
	var named []string
	bounded(t, func() {
		g.b.trySync()
		devices, err := g.b.syncer.Devices(context.Background())
		must(t, err)
		for _, d := range devices {
			if e := (*Error)(nil); errors.As(d.Err, &e) {
				named = append(named, e.Path)
			}
		}
	})
	for _, problem := range g.b.syncer.Status().Problems {
		if e := (*Error)(nil); errors.As(problem, &e) {
			named = append(named, e.Path)
		}
	}
	slices.Sort(named)
	a := "devices/" + g.a.id().String()
	want := []string{a + "/" + segmentName(4), a + "/head", "roster/" + junk, "sqlitesync.json"}
	if slices.Sort(want); !slices.Equal(named, want) {
		t.Errorf("named %q, want %q", named, want)
	}
	g.b.wantValue("of c", "SELECT name FROM item WHERE id = 'c'")
}

// Heads that a device did not write, or did not write last, or that lie.
func TestFalseHeadsAreNamedAndCostNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	g := newTarget(t)
	settle(g.a, g.b, g.c)
	must(t, saveNumber(t.Context(), g.b.syncer.handle.conn, "ahead", uint64(time.Now().UnixMilli()))) // see TestAFalseHeadMakesAnotherDeviceOnceADay
	path := filepath.Join(g.a.directory(), "head")
	old, err := os.ReadFile(path)
	must(t, err)
	g.a.exec("UPDATE item SET n = 2")
	settle(g.a, g.b, g.c)
	present, err := os.ReadFile(path)
	must(t, err)
	parsed, err := crypto.ParseHead(present)
	must(t, err)
	counter := parsed.Header().Counter
	seal := func(counter uint64, content string, signer *testDevice, change func(*crypto.HeadHeader)) []byte {
		header := crypto.HeadHeader{Space: g.a.syncer.identity.space, Counter: counter}
		if change != nil {
			change(&header)
		}
		data, err := crypto.SealHead(header, []byte(content), g.a.syncer.keys.newest(), signer.syncer.keys.entry().Device)
		must(t, err)
		return data
	}
	raw := func(payload []byte) []byte {
		size := binary.BigEndian.Uint32(present[len("sqlitesync head 1\n"):])
		header := bytes.Clone(present[len("sqlitesync head 1\n")+4:][:size])
		binary.BigEndian.PutUint64(header[32+16:], counter+1)
		return g.a.signed("head", measure(header, payload), payload)
	}
	many := make(map[string]uint64)
	for i := range 20_000 {
		many[fmt.Sprintf("%032x", i)] = 1 << 40
	}
	seen, err := json.Marshal(map[string]any{"seen": many, "segments": []headSegment{{Name: "../../../../etc/passwd", Hash: "x"}}})
	must(t, err)
	for _, test := range []struct {
		name string
		data []byte
		is   error // nil: it says nothing wrong
		told bool  // in Status, not only in Devices
	}{
		{"older", old, errFalseHead, true},
		{"with the counter of another", seal(counter, `{"name":"twin"}`, g.a, nil), errFalseHead, true},
		{"with a forged acknowledgement", seal(counter+1, `{"seen":{"`+g.b.id().String()+`":999}}`, g.a, nil), errFalseHead, true},
		{"signed by another member", seal(counter+1, `{}`, g.c, nil), crypto.ErrSignature, true},
		{"of another space with the same key", seal(counter+1, `{}`, g.a, func(h *crypto.HeadHeader) { h.Space[0] ^= 1 }), crypto.ErrSignature, true},
		{"no JSON", seal(counter+1, "secret row", g.a, nil), crypto.ErrDamaged, false},
		{"nested deeply", seal(counter+1, strings.Repeat(`{"seen":`, 100_000), g.a, nil), crypto.ErrDamaged, false},
		{"negative numbers", seal(counter+1, `{"seen":{"x":-1}}`, g.a, nil), crypto.ErrDamaged, false},
		{"scrypt", raw([]byte(scryptBomb)), crypto.ErrWrongKey, false},
		{"a long age header", raw(ageHeader(1 << 20)[:1<<20]), crypto.ErrDamaged, false},
		{"half a file", present[:len(present)/2], crypto.ErrDamaged, false},
		{"with a name that clears the screen", seal(counter+1, `{"name":"\u001b[2J`+strings.Repeat("é", 1000)+`"}`, g.a, nil), nil, false},
		{"of 20,000 devices, naming files elsewhere", seal(counter+2, string(seen), g.a, nil), nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, os.WriteFile(path, test.data, 0o600))
			delete(g.b.syncer.clocks, g.a.id()) // it is to be looked at
			started := time.Now()
			err := g.b.trySync()
			if took := time.Since(started); took > maxHostileTime*raceFactor {
				t.Errorf("took %v", took)
			}
			if test.told {
				e := g.b.problem()
				wantIs(t, err, test.is)
				if e.Device != g.a.id() || e.Path != "devices/"+g.a.id().String()+"/head" {
					t.Errorf("error names %s, %s", e.Device.Short(), e.Path)
				}
			} else {
				must(t, err)
				g.b.wantHealthy()
			}
			devices, err := g.b.syncer.Devices(ctx)
			must(t, err)
			if got := devices[0].Err; (got == nil) != (test.is == nil) || got != nil && !errors.Is(got, test.is) {
				t.Errorf("Devices says %v, want %v", got, test.is)
			}
			if name := devices[0].Name; len(name) > maxName+2 || strings.ContainsRune(name, '\x1b') {
				t.Errorf("name %q", name)
			}
			if devices[0].Err != nil && strings.Contains(devices[0].Err.Error(), "secret") {
				t.Error("the error quotes from the head")
			}
		})
	}
	// The rows flow, and a new head of the device mends it.
	for range 4 { // the last cases have raised the counter
		must(t, os.Remove(path))
		g.a.sync()
	}
	g.a.exec("UPDATE item SET n = 3")
	settle(g.a, g.b, g.c)
	wantSame(t, []*testDevice{g.a, g.b, g.c})
	g.b.wantValue("3", "SELECT min(n) FROM item")
}

// What two devices have published stands under each other's names.
func TestSwappedFilesAreRefused(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 4)
	a, b, c, d := devices[0], devices[1], devices[2], devices[3]
	a.exec("INSERT INTO item VALUES ('a', 'of a', 1)")
	b.exec("INSERT INTO item VALUES ('b', 'of b', 1)")
	d.exec("INSERT INTO item VALUES ('d', 'of d', 1)")
	for _, x := range []*testDevice{a, b, d} {
		must(t, x.syncer.export(context.Background()))
	}
	swap := func(one, other string) {
		t.Helper()
		must(t, os.Rename(one, one+".swap"))
		must(t, os.Rename(other, one))
		must(t, os.Rename(one+".swap", other))
	}
	records, err := filepath.Glob(filepath.Join(a.folder, "roster", "*"))
	must(t, err)
	swap(a.lastSegment(), b.lastSegment())
	swap(records[0], records[1])
	c.trySync()
	problems := c.syncer.Status().Problems
	for _, problem := range problems {
		wantIs(t, problem, crypto.ErrSignature)
	}
	if len(problems) != 2 {
		t.Errorf("problems %v, want one for each segment", problems)
	}
	c.wantValue("d", "SELECT group_concat(id) FROM item")
	swap(a.lastSegment(), b.lastSegment())
	swap(records[0], records[1])
	settle(devices...)
	wantSame(t, devices)
	c.wantValue("3", "SELECT count(*) FROM item")
}

// recordOf makes a record of any kind and body in a device's name, after all that it knows.
func (d *testDevice) recordOf(kind crypto.Kind, space crypto.SpaceID, body []byte) (name string, file []byte) {
	d.tb.Helper()
	return d.recordAfter(kind, space, body, d.syncer.roster.Heads())
}

// recordAfter is recordOf with other parents, in rising order.
func (d *testDevice) recordAfter(kind crypto.Kind, space crypto.SpaceID, body []byte, heads []crypto.RecordHash) (name string, file []byte) {
	d.tb.Helper()
	header := append([]byte{byte(kind)}, space[:]...)
	header = binary.BigEndian.AppendUint16(header, uint16(len(heads)))
	for _, parent := range heads {
		header = append(header, parent[:]...)
	}
	id := d.id()
	header = slices.Concat(header, id[:], body)
	file = d.signed("record", header, nil)
	sum := sha256.Sum256(slices.Concat([]byte("sqlitesync/record/v1"), header, file[len(file)-ed25519.SignatureSize:]))
	return fmt.Sprintf("%x", sum), file
}

// rogueEpoch is the body of a join record that hands a new key to every member.
func rogueEpoch(tb testing.TB, d *testDevice) []byte {
	tb.Helper()
	epoch, err := crypto.NewEpoch()
	must(tb, err)
	id := epoch.ID()
	members := d.syncer.roster.Members()
	slices.SortFunc(members, func(a, b crypto.Member) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	body := append(make([]byte, 8), 0, 0, 1) // created, recovery unchanged, one epoch
	body = append(body, id[:]...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(members)))
	for _, member := range members {
		body = append(body, member.ID[:]...)
		body = append(binary.BigEndian.AppendUint16(body, 6), "wrapped"[:6]...)
	}
	return body
}

// inviteBody is the body of an invite record as admin for a key.
func inviteBody(keys *crypto.InviteKeys) []byte {
	public := keys.PublicKey()
	body := append(public[:], byte(RoleAdmin))
	body = binary.BigEndian.AppendUint64(body, 1)
	return binary.BigEndian.AppendUint64(body, 1<<40)
}

// Somebody fills the roster with records that nobody knows. A pass reads some of them, and one that counts is found by a later one.
func TestARosterThatIsFilledWithRecords(t *testing.T) {
	long(t)
	t.Parallel()
	a, b := newPair(t, itemSchema)
	stranger, _ := newPair(t, itemSchema)
	body := make([]byte, 250<<10)
	for n := range 50 + maxFresh/len(body) {
		binary.BigEndian.PutUint64(body, uint64(n))
		name, file := stranger.recordOf(9, a.syncer.identity.space, body)
		must(t, os.WriteFile(filepath.Join(a.folder, "roster", name), file, 0o600))
	}
	invite, err := b.syncer.Invite(t.Context(), nil)
	must(t, err)
	knows := func() bool {
		return slices.ContainsFunc(a.syncer.roster.Invites(), func(open crypto.OpenInvite) bool { return open.Record == invite.ID })
	}
	wantText(t, a.trySync(), "MiB of records")
	_ = a.trySync()
	if !knows() {
		t.Error("an invite is not found among planted records")
	}
	c := newTestDevice(t, itemSchema)
	c.folder = a.folder
	c.syncer, err = Join(t.Context(), c.db, c.folder, invite.Code, &c.options)
	must(t, err)
	a.exec("INSERT INTO item VALUES ('x', 'y', 1)")
	for range 3 {
		_ = a.trySync()
		_ = c.trySync()
	}
	c.wantValue("1", "SELECT count(*) FROM item")
}

// A member that is no admin, the same member in another space, and someone who
// is no member, write records. None has an effect, each is named, and what is no
// part of the space's history is not even kept.
func TestRogueRecordsHaveNoEffect(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	invite, err := a.syncer.Invite(ctx, &InviteOptions{Role: RoleWriter})
	must(t, err)
	writer := newTestDevice(t, itemSchema)
	writer.join(a.folder, invite.Code)
	stranger, _ := newPair(t, itemSchema)
	settle(a, b, writer)
	code := crypto.NewCode(crypto.InviteCode)
	keys, err := code.InviteKeys()
	must(t, err)
	space := a.syncer.identity.space
	var elsewhere crypto.SpaceID
	elsewhere[0] = 1
	kept := func() string {
		a.sync()
		return a.value("SELECT count(*) FROM sqlitesync_records")
	}
	members, epochs := len(a.syncer.roster.Members()), len(a.syncer.keys.entry().Epochs)
	epoch := a.syncer.keys.newest().ID()
	for _, test := range []struct {
		name  string
		by    *testDevice
		kind  crypto.Kind
		space crypto.SpaceID
		body  []byte
		keep  bool // it is part of the history, without effect
	}{
		{"an invite by a writer", writer, crypto.KindInvite, space, inviteBody(keys), true},
		{"an epoch by a writer", writer, crypto.KindJoin, space, rogueEpoch(t, writer), true},
		{"an invite by a stranger", stranger, crypto.KindInvite, space, inviteBody(keys), false},
		{"a decision that nobody knows by a writer", writer, 9, space, inviteBody(keys), false},
		{"an epoch by a stranger", stranger, crypto.KindJoin, space, rogueEpoch(t, stranger), false},
		{"an invite by an admin for another space", b, crypto.KindInvite, elsewhere, inviteBody(keys), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := kept()
			name, file := test.by.recordOf(test.kind, test.space, test.body)
			path := filepath.Join(a.folder, "roster", name)
			must(t, os.WriteFile(path, file, 0o600))
			after := kept()
			if test.keep != (before != after) {
				t.Errorf("%s records are kept, before it were %s", after, before)
			}
			a.wantHealthy()
			named := slices.ContainsFunc(a.syncer.Status().Refused, func(r Refused) bool {
				return r.Path == "roster/"+name && r.Device == test.by.id() && r.Reason != ""
			})
			waits := slices.ContainsFunc(a.syncer.roster.Waiting(), func(hash crypto.RecordHash) bool { return hash.String() == name })
			if !named && !waits && test.by != stranger { // the past of a stranger's record is not here
				t.Errorf("Status names %+v, want %s", a.syncer.Status().Refused, name)
			}
			if n := len(a.syncer.roster.Members()); n != members {
				t.Errorf("%d members, want %d", n, members)
			}
			if a.syncer.keys.newest().ID() != epoch || len(a.syncer.keys.entry().Epochs) != epochs {
				t.Error("another epoch")
			}
			if !test.keep { // who does not keep it does not put it back either
				must(t, os.Remove(path))
				settle(a, b, writer)
				if _, err := os.Stat(path); err == nil {
					t.Error("the record was published again")
				}
			}
		})
	}
	// Nobody enters by the rogue invites.
	d := newTestDevice(t, itemSchema)
	_, err = Join(ctx, d.db, a.folder, code.Text(), &d.options)
	wantIs(t, err, ErrCode)
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	settle(a, b, writer)
	wantSame(t, []*testDevice{a, b, writer})
}

// When a roster is as long as it can get, what a device can't add to it must not
// be written down either: it could not be opened again.
func TestAFullRosterIsReadOn(t *testing.T) {
	long(t)
	t.Parallel()
	ctx := context.Background()
	a, b := newPair(t, itemSchema)
	invite, err := a.syncer.Invite(ctx, nil)
	must(t, err)
	settle(a, b)
	space := a.syncer.identity.space
	keys, err := crypto.NewCode(crypto.InviteCode).InviteKeys()
	must(t, err)
	body := inviteBody(keys)
	must(t, a.syncer.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		for i := len(a.syncer.records); i < 8192; i++ {
			binary.BigEndian.PutUint64(body[len(body)-16:], uint64(i))
			name, file := b.recordOf(crypto.KindInvite, space, body)
			if _, err := a.syncer.handle.conn.Exec(ctx, "INSERT INTO sqlitesync_records (hash, data) VALUES (?, ?)", name, file); err != nil {
				return err
			}
		}
		return nil
	}))
	withdraw, err := a.syncer.roster.NewWithdraw(a.syncer.keys.entry().Device, invite.ID, a.syncer.now())
	must(t, err)
	a.reopen()
	f, err := a.syncer.openFolder()
	must(t, err)
	defer f.Close()
	wantIs(t, a.syncer.enact(ctx, f, withdraw), crypto.ErrTooLarge)
	a.reopen()
}

// A member that is no admin fills the roster with records that merge branches, as
// many as a roster may have. They have no effect, and a pass is not held up.
func TestManyMergedRecordsOfAWriterAreReadInTime(t *testing.T) {
	long(t)
	a, b := newPair(t, itemSchema)
	writer := newTestDevice(t, itemSchema)
	invite, err := a.syncer.Invite(t.Context(), &InviteOptions{Role: RoleWriter})
	must(t, err)
	writer.join(a.folder, invite.Code)
	settle(a, b, writer)
	keys, err := crypto.NewCode(crypto.InviteCode).InviteKeys()
	must(t, err)
	body := inviteBody(keys)
	parents := writer.syncer.roster.Heads()
	for i := len(a.syncer.records); i < 8192; i++ {
		binary.BigEndian.PutUint64(body[len(body)-16:], uint64(i))
		name, file := writer.recordAfter(crypto.KindInvite, a.syncer.identity.space, body, parents)
		must(t, os.WriteFile(filepath.Join(a.folder, "roster", name), file, 0o600))
		var hash crypto.RecordHash
		_, err := hex.Decode(hash[:], []byte(name))
		must(t, err)
		parents = append(parents, hash)
		parents = slices.Clone(parents[max(0, len(parents)-2):])
		slices.SortFunc(parents, func(a, b crypto.RecordHash) int { return bytes.Compare(a[:], b[:]) })
	}
	a.crowded, b.crowded = true, true
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	for range 2 {
		bounded(t, func() { _ = a.trySync() })
		bounded(t, func() { _ = b.trySync() })
	}
	b.wantValue("of a", "SELECT name FROM item WHERE id = 'x'")
}

// A file that somebody has planted under the name of a device's next segment is
// no twin of the device, and once it is gone the device goes on.
func TestAFilePlantedForTheNextSegmentIsNoTwin(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	a.exec("INSERT INTO item VALUES ('x', 'first', 1)")
	settle(a, b)
	planted := filepath.Join(a.directory(), segmentName(2))
	for _, junk := range [][]byte{[]byte("junk"), nil} {
		must(t, os.WriteFile(planted, junk, 0o600))
		a.exec("UPDATE item SET n = n + 1")
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint(len(junk)))
		b.trySync()
		err := a.trySync()
		e := a.problem()
		if errors.Is(err, folder.ErrTwin) || e.Batch != 2 || !strings.HasSuffix(e.Path, segmentName(2)) || !strings.Contains(e.Hint, "Remove") {
			t.Errorf("error %v, hint %q", e, e.Hint)
		}
		a.wantValue("of b", "SELECT name FROM item WHERE id = ?", fmt.Sprint(len(junk)))
	}
	must(t, os.Remove(planted))
	settle(a, b)
	a.wantHealthy()
	wantSame(t, []*testDevice{a, b})
}

// A segment of this device's under the name of a range that it has not made is junk: it does not pass for that of a copy of the
// database, which would keep everything from being published.
func TestAnOwnSegmentUnderTheNameOfARange(t *testing.T) {
	t.Parallel()
	a, b := newPair(t, itemSchema)
	for id := range 3 {
		a.exec("INSERT INTO item VALUES (?, 'of a', 1)", id)
		a.sync()
	}
	data, err := os.ReadFile(a.lastSegment())
	must(t, err)
	must(t, os.WriteFile(filepath.Join(a.directory(), folder.SegmentName{First: 1, Last: 2, Generation: 1}.String()), data, 0o600))
	a.exec("INSERT INTO item VALUES ('x', 'of a', 1)")
	before := a.id()
	settle(a, b)
	if a.id() != before {
		t.Error("it goes on as another device")
	}
	b.wantValue("4", "SELECT count(*) FROM item")
}
