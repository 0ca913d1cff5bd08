//go:build unix

package sqlitesync

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkIdleProcess measures the processor time of a Syncer with nothing to
// do, background work and watcher on, and beside it that of the same process
// without one, both in percent of one core.
//
// PollInterval comes round rarely, so that its pass is mostly not in the
// figure; BenchmarkIdleScan has its cost.
func BenchmarkIdleProcess(b *testing.B) {
	const rest = 2 * time.Second
	d := newTestDevice(b, noteSchema)
	d.create(b.TempDir())
	d.options.Manual = false
	must(b, d.syncer.Close())
	var plain, idle []float64
	for b.Loop() {
		plain = append(plain, coreShare(b, rest))
		var err error
		d.syncer, err = Open(b.Context(), d.db, d.folder, &d.options)
		must(b, err)
		time.Sleep(idleAfter + rest/4) // after a pass it looks more often for a while
		idle = append(idle, coreShare(b, rest))
		must(b, d.syncer.Close())
	}
	b.ReportMetric(median(idle), "%core")
	b.ReportMetric(median(plain), "plain-%core")
	b.ReportMetric(0, "ns/op")
}

// coreShare returns what the process takes of a core in a while, in percent.
func coreShare(b *testing.B, while time.Duration) float64 {
	runtime.GC() // what was done before is not to be swept up meanwhile
	start, before := time.Now(), processorTime(b)
	time.Sleep(while)
	return 100 * (processorTime(b) - before).Seconds() / time.Since(start).Seconds()
}
