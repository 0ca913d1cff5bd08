package sqlitesync

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
)

// A range names each batch that has changes, and the format knows a limit: what does not go into one stays two.
func TestRangesOfVeryManyBatches(t *testing.T) {
	t.Parallel()
	a := newTestDevice(t, itemSchema)
	a.create(t.TempDir())
	a.exec("INSERT INTO item VALUES ('1', 'x', 1)")
	a.sync()
	s, ctx := a.syncer, t.Context()
	const each = segment.MaxBatches/2 + 1
	var run []unit
	for n := range uint64(2) {
		r := compactedRange{first: n*each + 1, last: (n + 1) * each, prev: crypto.Tail{byte(n)}, tail: crypto.Tail{byte(n + 1)}}
		for batch := r.first; batch <= r.last; batch++ {
			stamp := changelog.Stamp{Time: int64(batch), Device: s.self(), Batch: batch}
			r.batches = append(r.batches, segment.Batch{Number: batch})
			r.changes = append(r.changes, changelog.Change{Shape: s.db.Table("item").Put, Key: changelog.Key{fmt.Sprintf("row %d", batch)},
				Values: []changelog.Value{int64(1), "x"}, Stamp: stamp, Birth: stamp})
		}
		own, err := s.sealRange(&r, ownSegment{})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(a.directory(), own.name.String()), own.sealed, 0o600))
		hash := sha256.Sum256(own.sealed)
		own.hash, own.state = hash[:], segmentFound
		run = append(run, unit{segments: []ownSegment{*own}, rows: each, live: each})
	}
	f, err := s.openFolder()
	must(t, err)
	defer f.Close()
	must(t, s.rewrite(ctx, f, run))
	a.wantValue("0", "SELECT count(*) FROM sqlitesync_segments WHERE name GLOB '*-0002.seg'")
}
