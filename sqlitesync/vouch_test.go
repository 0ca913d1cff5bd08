package sqlitesync

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// writeHead puts a head into the directory of a device.
func (d *testDevice) writeHead(counter uint64, content string, signer *testDevice) {
	d.tb.Helper()
	header := crypto.HeadHeader{Space: d.syncer.identity.space, Counter: counter}
	data, err := crypto.SealHead(header, []byte(content), d.syncer.keys.newest(), signer.syncer.keys.entry().Device)
	must(d.tb, err)
	must(d.tb, os.WriteFile(filepath.Join(d.directory(), "head"), data, 0o600))
}

// TestSchedule13HeadsAreSignedSealedAndCounted: what a head says moves nothing unless
// its device has signed it, last, and may write. None keeps anybody from segments.
func TestSchedule13HeadsAreSignedSealedAndCounted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	r := newReader(t, a, itemSchema)
	devices = append(devices, r)
	settle(devices...)
	c.exec("INSERT INTO item VALUES ('1', 'before', 1)")
	settle(devices...)
	// The accomplices of c say that they have what it writes after its revocation.
	c.own()
	a.revoke(c)
	settle(a, b, r)
	c.exec("INSERT INTO item VALUES ('2', 'after', 1)")
	c.sync()
	deliver(t, c.folder, a.folder, "devices/"+c.id().String()+"/*.seg")
	says := fmt.Sprintf(`{"seen": {%q: 2}}`, c.id())
	counter, err := loadNumber(ctx, b.syncer.handle.conn, "head_counter")
	must(t, err)
	old, err := os.ReadFile(filepath.Join(b.directory(), "head"))
	must(t, err)
	for _, test := range []struct {
		name string
		do   func()
	}{
		{"a reader", func() { r.writeHead(1000, says, r) }},
		{"the revoked device in the name of a member", func() { b.writeHead(counter+1, says, c) }},
		{"the revoked device itself", func() { c.folder = a.folder; c.writeHead(1000, says, c) }},
	} {
		test.do()
		_ = a.trySync()
		a.wantValue("1", "SELECT count(*) FROM item")
		if !a.refused(c) {
			t.Errorf("%s vouches", test.name)
		}
	}

	// No head, a damaged one or an older one keeps anybody from the segments.
	for i, head := range [][]byte{nil, []byte("x"), old} {
		path := filepath.Join(b.directory(), "head")
		if head == nil {
			must(t, os.Remove(path))
		} else {
			must(t, os.WriteFile(path, head, 0o600))
		}
		b.exec("INSERT INTO item VALUES (?, 'of b', 1)", fmt.Sprint("b", i))
		must(t, b.syncer.prepare(ctx))
		f, err := b.syncer.openFolder()
		must(t, err)
		must(t, b.syncer.publish(ctx, f))
		must(t, f.Close())
		_ = a.trySync()
		a.wantValue(fmt.Sprint(i+1), "SELECT count(*) FROM item WHERE name = 'of b'")
	}

	// A member that may write is believed.
	b.writeHead(counter+10, says, b)
	_ = a.trySync()
	a.wantValue("1", "SELECT count(*) FROM item WHERE name = 'after'")
}
