package sqlitesync

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
)

// scaleSegments is below the 50,000 of BENCHMARKS.md, which take minutes.
var scaleSegments = flag.Int("scale.segments", 500, "segments of one row that BenchmarkManySegments takes in")

// BenchmarkManySegments measures how long a device takes for a log of many segments of one row each, as of another that has
// written for a long time without writing its log anew, and by how much the memory of the process rises (Linux).
func BenchmarkManySegments(b *testing.B) {
	var perSegment, peaks []float64
	for b.Loop() {
		a, z, _ := benchPair(b)
		writeLog(b, a, *scaleSegments)
		before := memory(b, "VmRSS:", true)
		start := time.Now()
		must(b, z.syncer.Sync(b.Context()))
		perSegment = append(perSegment, milliseconds(time.Since(start))/float64(*scaleSegments))
		peaks = append(peaks, memory(b, "VmHWM:", false)-before)
		z.wantValue(fmt.Sprint(*scaleSegments), "SELECT count(*) FROM note")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(perSegment), "ms/segment")
	b.ReportMetric(slices.Max(peaks), "MiB")
	if peak := slices.Max(peaks); peak > maxMemory {
		b.Errorf("it took %.0f MiB", peak)
	}
}

// writeLog puts n segments of a device into the folder, each with a row of its own, without writing them through its
// database, which would take much longer.
func writeLog(b *testing.B, d *testDevice, n int) {
	b.Helper()
	inTransactions(b, d.db, 1, insertNote, notes(1, 1))
	must(b, d.syncer.Sync(b.Context()))
	s := d.syncer
	f, err := s.openFolder()
	must(b, err)
	defer f.Close()
	own := s.ownReading()
	first, err := s.openNamed(f, own, original(1))
	must(b, err)
	model, err := s.decode(first, 1, crypto.Tail{})
	must(b, err)
	tail, at := first.Tail(), model.Changes[0].Stamp.Time
	for batch := uint64(2); batch <= uint64(n); batch++ {
		change := model.Changes[0]
		change.Key = changelog.Key{fmt.Sprintf("note %d", batch)}
		change.Stamp = changelog.Stamp{Time: at + int64(batch), Device: s.self(), Batch: batch}
		change.Birth = change.Stamp
		body, err := segment.Encode(&segment.Segment{
			Author: s.self(), First: batch, Last: batch, Batches: []segment.Batch{{Number: batch}}, Changes: []changelog.Change{change},
		})
		must(b, err)
		packed, err := segment.Pack(body)
		must(b, err)
		header := crypto.SegmentHeader{Space: s.identity.space, Device: s.identity.device, First: batch, Last: batch, Prev: tail}
		var sealed []byte
		sealed, tail, err = crypto.SealSegment(header, packed, s.keys.newest(), s.keys.entry().Device)
		must(b, err)
		must(b, os.WriteFile(filepath.Join(d.directory(), original(batch).String()), sealed, 0o600))
	}
}
