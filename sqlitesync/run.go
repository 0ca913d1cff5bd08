package sqlitesync

import (
	"context"
	"fmt"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
)

// A run is batches that others apply together, in one transaction, because each but
// the last is continued in the next. A reader has all of it in memory.

// runSize is how much a run says.
type runSize struct {
	changes int
	bytes   int64 // of keys and values, and of pieces of these: more than a 32-bit int can count
}

var (
	// maxRun ends a run at the next page. The log does not say where a transaction
	// ends, so all that stands in it is kept together up to here, and a single statement
	// up to maxStatement.
	maxRun       = runSize{50_000, 50_000 << 10}
	maxStatement = runSize{8_000_000, 512 << 20}
	// maxReadRun is what readers refuse: more than any device writes, whose last page
	// can be of a row that is as large as rows can be.
	maxReadRun = runSize{10_000_000, 2 << 30}
)

// add counts what a segment says.
func (r *runSize) add(part *segment.Segment) {
	r.changes += len(part.Changes)
	for i := range part.Changes {
		r.bytes += int64(part.Changes[i].Size())
	}
	for i := range part.Pieces {
		r.bytes += int64(len(part.Pieces[i].Bytes))
	}
}

func (r *runSize) below(limit runSize) bool {
	return r.changes < limit.changes && r.bytes < limit.bytes
}

// continueRun marks the last of the segments of a page as continued if the next
// page belongs to the same run, and remembers how long the run is. The number
// is that of a batch that ends the run if nothing came of the page.
func (s *Syncer) continueRun(ctx context.Context, segments []*segment.Segment, page changelog.LogPage, number uint64) ([]*segment.Segment, error) {
	text, err := load(ctx, s.handle.conn, "run")
	if err != nil {
		return nil, err
	}
	var run runSize
	if text != "" {
		if _, err := fmt.Sscan(text, &run.changes, &run.bytes); err != nil {
			return nil, fmt.Errorf("setting run: %w", err)
		}
	}
	continued := page.More && (run.below(maxRun) || !page.Cut && run.below(maxStatement))
	if len(segments) == 0 && run != (runSize{}) && !continued {
		segments = []*segment.Segment{{Author: s.self(), First: number, Last: number, Batches: []segment.Batch{{Number: number}}}}
	}
	if n := len(segments); n > 0 {
		segments[n-1].Batches[0].Continued = continued
	}
	for _, part := range segments {
		run.add(part)
	}
	if !continued {
		run = runSize{}
	}
	return segments, save(ctx, s.handle.conn, "run", fmt.Sprint(run.changes, " ", run.bytes))
}
