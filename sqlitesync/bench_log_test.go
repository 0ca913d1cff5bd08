package sqlitesync

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var compactRows = flag.Int("compact.rows", 20_000, "rows of the space in BenchmarkCompaction")

// maxRewritten is how many MiB it may take to write a log anew, however long it is.
const maxRewritten = 300

// BenchmarkCompaction measures how long it takes to write a log anew of which
// every second row was updated, in the passes that do it, and the memory that it
// takes; and the memory that a newcomer takes to read that log. What it took before, to publish those updates, is not counted.
func BenchmarkCompaction(b *testing.B) {
	for range b.N {
		d, keys := filledSpace(b, *compactRows)
		clock := newTestClock(d)
		quietDown(clock, d)
		b.Logf("%d segments before", len(d.segments()))
		for first := 0; first < len(keys); first += 10_000 {
			_, err := d.db.Exec("UPDATE note SET title = title || '.' WHERE id >= ? AND id <= ? AND rowid % 2 = 0", keys[first], keys[min(first+9999, len(keys)-1)])
			must(b, err)
			must(b, d.syncer.export(b.Context()))
		}
		d.compactNext()
		before := memory(b, "VmRSS:", true)
		var all, longest time.Duration
		for range 12 {
			start := time.Now()
			d.sync()
			took := time.Since(start)
			b.Logf("pass %v, %d segments", took, len(d.segments()))
			all, longest = all+took, max(longest, took)
		}
		b.ReportMetric(all.Seconds(), "s")
		b.ReportMetric(longest.Seconds(), "s-of-a-pass")
		peak := memory(b, "VmHWM:", false) - before
		b.ReportMetric(peak, "MiB")
		if peak > maxRewritten {
			b.Errorf("it took %.0f MiB", peak)
		}
		z, code := newTestDevice(b, noteSchema), d.invite()
		before = memory(b, "VmRSS:", true)
		z.join(d.folder, code)
		z.sync()
		read := memory(b, "VmHWM:", false) - before
		b.ReportMetric(read, "newcomer-MiB")
		if read > maxMemory {
			b.Errorf("a newcomer took %.0f MiB", read)
		}
		z.wantValue(fmt.Sprint(*compactRows), "SELECT count(*) FROM note")
		start := time.Now()
		_, err := d.syncer.db.Weigh(b.Context(), d.syncer.self())
		must(b, err)
		b.ReportMetric(time.Since(start).Seconds()*1000, "weigh-ms")
	}
}
