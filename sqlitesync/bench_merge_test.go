package sqlitesync

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

const (
	mergedRows  = 20_000 // of the tables in which updates are merged
	mergedBatch = 1000   // of them in a segment, and in a transaction of the plain partner
	retitleNote = "UPDATE note SET title = ?, updated = ? WHERE id = ?"
)

// retitled returns arguments that give each of the rows another title.
func retitled(rows [][]any, title string) [][]any {
	args := make([][]any, len(rows))
	for i, row := range rows {
		args[i] = []any{fmt.Sprintf("%s: %.30s", title, row[2]), row[6].(int64) + 1, row[0]}
	}
	return args
}

// benchFilledPair makes two devices that both have the rows.
func benchFilledPair(b *testing.B, rows [][]any) (a, z *testDevice) {
	b.Helper()
	a, z, _ = benchPair(b)
	inTransactions(b, a.db, mergedBatch, insertNote, rows)
	must(b, a.syncer.Sync(b.Context()))
	must(b, z.syncer.Sync(b.Context()))
	must(b, a.syncer.Sync(b.Context()))
	return a, z
}

// publishUpdates updates rows at a device and publishes a segment for each batch, without reading what others wrote.
func publishUpdates(b *testing.B, d *testDevice, args [][]any) {
	b.Helper()
	for part := range slices.Chunk(args, mergedBatch) {
		inTransactions(b, d.db, mergedBatch, retitleNote, part)
		must(b, d.syncer.export(b.Context()))
	}
}

// BenchmarkMergeUpdates compares merging updates of all rows, segments of 1,000
// rows, with the same updates in plain transactions of 1,000.
func BenchmarkMergeUpdates(b *testing.B) {
	benchmarkMerge(b, 0, func(a, _ *testDevice, rows [][]any) { publishUpdates(b, a, retitled(rows, "of a")) })
}

// BenchmarkMergeConflicts is BenchmarkMergeUpdates where half of the rows were
// edited on the merging device as well: one quarter of them before, so that they
// are overruled and kept, and one quarter after, so that what arrives is kept.
func BenchmarkMergeConflicts(b *testing.B) {
	benchmarkMerge(b, mergedRows/2, func(a, z *testDevice, rows [][]any) {
		publishUpdates(b, z, retitled(rows[:len(rows)/4], "of z, before"))
		tick()
		publishUpdates(b, a, retitled(rows, "of a"))
		tick()
		publishUpdates(b, z, retitled(rows[len(rows)/4:len(rows)/2], "of z, after"))
	})
}

func benchmarkMerge(b *testing.B, conflicts int, edit func(a, z *testDevice, rows [][]any)) {
	rows := notes(mergedRows, 1)
	compare(b, mergedRows, func(int) time.Duration {
		plain := benchApp(b, false)
		inTransactions(b, plain, mergedBatch, insertNote, rows)
		return inTransactions(b, plain, mergedBatch, retitleNote, retitled(rows, "of a"))
	}, func(int) time.Duration {
		a, z := benchFilledPair(b, rows)
		edit(a, z, rows)
		start := time.Now()
		must(b, z.syncer.Sync(b.Context()))
		took := time.Since(start)
		if found := z.syncer.Status().Conflicts; found != min(conflicts, keepConflicts) {
			b.Fatalf("%d conflicts, want %d", found, conflicts)
		}
		return took
	})
}

// bootstrapRows is below the million of DESIGN.md so that the benchmark takes
// seconds; BENCHMARKS.md has the command line for the million.
var bootstrapRows = flag.Int("bootstrap.rows", 20_000, "rows of the space that BenchmarkBootstrap joins")

// BenchmarkBootstrap compares joining a space of many rows, until all of them
// show, with the plain insert of the rows, and reports by how much the memory of
// the process rose above what it was before (Linux).
func BenchmarkBootstrap(b *testing.B) {
	source, _ := filledSpace(b, *bootstrapRows)
	var peaks []float64
	compare(b, *bootstrapRows, func(int) time.Duration {
		took := time.Duration(0)
		plain := benchApp(b, false)
		for first := 0; first < *bootstrapRows; first += 10_000 {
			part := notesAfter(first, min(10_000, *bootstrapRows-first), uint64(first))
			took += inTransactions(b, plain, mergedBatch, insertNote, part)
		}
		return took
	}, func(int) time.Duration {
		z, code := newTestDevice(b, noteSchema), source.invite()
		before := memory(b, "VmRSS:", true)
		start := time.Now()
		z.join(source.folder, code)
		must(b, z.syncer.Sync(b.Context()))
		took := time.Since(start)
		peaks = append(peaks, memory(b, "VmHWM:", false)-before)
		z.wantValue(fmt.Sprint(*bootstrapRows), "SELECT count(*) FROM note")
		return took
	})
	b.ReportMetric(slices.Max(peaks), "MiB")
	if peak := slices.Max(peaks); peak > maxMemory {
		b.Errorf("it took %.0f MiB", peak)
	}
}

// maxMemory is how many MiB taking in the logs of others may take, however many rows and segments there are.
const maxMemory = 200

// memory returns a figure of this process in MiB, 0 where the system does not
// tell. Fresh gives back what is free before, and begins to measure the peak.
func memory(b *testing.B, name string, fresh bool) float64 {
	b.Helper()
	if fresh {
		debug.FreeOSMemory()
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // may not be allowed; then the peak is that of the whole run
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if value, found := bytes.CutPrefix(line, []byte(name)); found {
			var kib float64
			_, err := fmt.Sscan(string(value), &kib)
			must(b, err)
			return kib / 1024
		}
	}
	return 0
}
