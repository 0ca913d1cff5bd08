package sqlitesync

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A device keeps its own log short: it writes runs of its segments anew as one
// range each, without the changes that newer ones overrule. In this order:
//
//	plan      which runs
//	rewrite   segments of a run -> range in the outbox       one transaction
//	announce  that the range goes out                        one durable transaction, which makes the one before it durable too
//	publish   outbox -> folder                               durable: the system calls of folder's publish
//	replace   when a later scan has found the range          one transaction: found, and the run is noted as replaced
//	sweep     after a time of grace, if the range stands     for each file of the run: unlink(file), a transaction that forgets it
//
// What is written anew comes out of the segments themselves, and only what the
// database knows to be overruled is left out: what it has forgotten (a table that
// was dropped here, or renamed) goes on standing in the log for others. A crash
// between any two steps leaves both the run and the range, or the run alone.
//
// Readers that have come half through a run read the range, and are none the
// wiser: merging what was merged changes nothing.

const (
	// maxLive is how many segments may stand before runs of them are written anew;
	// a folder of many small files is slow in every sync client.
	maxLive = 48
	// slack is how many changes others may overrule in the shortest log. If they were more, the log of each device that people use
	// one after another would be as large as what is of use.
	slack = 50
	// maxRuns and maxRunRows bound what one pass rewrites, so that it does not hold up
	// the next: a hundred thousand rows take a second or two. Many more of them could
	// not be one range, whose changes are in memory.
	maxRuns    = 1
	maxRunRows = 1 << 17
	// minRange and maxRange are the sizes, in bytes, below which segments are all
	// alike, and to which ranges grow.
	minRange = 4 << 10
	maxRange = 16 << 20
	// graceTime is how long the segments of a run stand beside the range, for
	// devices that have listed the directory and read it now.
	graceTime = time.Hour
	// maxReplaced is how many segments may stand so. Devices that all write and
	// wake each other publish ten times a second, and sync clients are slow with
	// tens of thousands of files. Those that go early have stood for leastGrace.
	maxReplaced = 256
	leastGrace  = time.Minute
)

// compaction remembers, between passes, how the log was when it was last looked at.
type compaction struct {
	segments int // that were left
	rows     int // in them
}

// grown reports whether the log, as it is now, has enough to be looked at again; others have overruled so many changes of it since.
func (c compaction) grown(now compaction, overruled int) bool {
	if now.segments > max(maxLive, c.segments+maxLive/2) || now.rows > 2*c.rows+1000 {
		return true
	}
	// What others have written has overruled so much of the log, and what this device has written since can have.
	return overruled > slack && now.rows-c.rows+overruled > now.rows/2
}

// compact writes runs of this device's log anew if it has grown enough since
// the last time, or others have overruled enough of it. What it made is to be published.
func (s *Syncer) compact(ctx context.Context, f *folder.Folder) error {
	var now compaction // of what can be written anew: the rest is the next pass's
	var pending bool   // what was made last is not through yet
	err := s.handle.conn.Get(ctx, fmt.Sprintf(`SELECT count(*) FILTER (WHERE state = %[1]d), coalesce(sum(rows) FILTER (WHERE state = %[1]d), 0),
		coalesce(max(state <> %[1]d AND substr(name, 27, 4) > '0000'), 0) FROM sqlitesync_segments WHERE replaced IS NULL`, segmentFound), nil, &now.segments, &now.rows, &pending)
	if err != nil || pending {
		return err
	}
	last := &s.compaction
	unread := !s.unread.IsZero() && s.environment.Since(s.unread) >= headInterval // to weigh the log takes a while
	if !last.grown(now, s.overruled) && !unread && (!s.environment.Compact || now == *last) {
		return nil
	}
	live, err := s.ownSegments(ctx, "replaced IS NULL")
	if err != nil {
		return err
	}
	weights, err := s.db.Weigh(ctx, s.self())
	if err != nil {
		return err
	}
	*last, s.overruled, s.unread = now, 0, time.Time{}
	rewritten := 0
	for _, run := range plan(weigh(live, weights)) {
		if rewritten == maxRuns {
			*last = compaction{} // the next pass goes on
			break
		}
		before := *last
		if err := s.rewrite(ctx, f, run); err != nil {
			*last = compaction{} // the next pass tries again, whether the log has grown or not
			return err
		}
		if *last != before {
			rewritten++
		}
	}
	return nil
}

// A unit is what is written anew as a whole: a segment, or the segments that
// share large values in pieces.
type unit struct {
	segments []ownSegment
	rows     int
	size     int // in bytes
	baseline int // how many rows are of a baseline
	live     int // an estimate of how many rows count
}

func (u *unit) first() uint64 { return u.segments[0].name.First }
func (u *unit) last() uint64  { return u.segments[len(u.segments)-1].name.Last }

// shares reports whether the unit has values in pieces.
func (u *unit) shares() bool { return u.segments[0].unit > 0 }

// sparse reports whether a third of the unit, or more, is of no use any more.
func (u *unit) sparse() bool { return 3*u.live < 2*u.rows || u.rows == 0 }

// use estimates the bytes of what is of use.
func (u *unit) use() int { return int(int64(u.size) * int64(u.live) / int64(max(u.rows, 1))) }

// found reports whether all of it stood in the folder at the last look.
func (u *unit) found() bool {
	return !slices.ContainsFunc(u.segments, func(own ownSegment) bool { return own.state != segmentFound })
}

// weigh makes units of segments, and estimates how many of their rows count, by the
// newest changes of rows. Of a baseline nobody knows which segment has which rows.
func weigh(segments []ownSegment, weights map[uint64]int) []unit {
	var units []unit
	baseline := 0
	for _, own := range segments {
		if n := len(units); n == 0 || own.unit == 0 || own.unit != units[n-1].segments[0].unit {
			units = append(units, unit{})
		}
		u := &units[len(units)-1]
		u.segments = append(u.segments, own)
		u.rows, u.size, u.baseline, u.live = u.rows+own.rows, u.size+own.size, u.baseline+own.baseline, u.live+own.combined
		baseline += own.baseline
	}
	for batch, n := range weights {
		i, _ := slices.BinarySearchFunc(units, batch, func(u unit, batch uint64) int { return cmp.Compare(u.last(), batch) })
		if i < len(units) && units[i].first() <= batch {
			units[i].live += n
		}
	}
	for i := range units {
		u := &units[i]
		u.live += int(int64(u.baseline) * int64(min(weights[0], baseline)) / int64(max(baseline, 1)))
		u.live = min(u.live, u.rows)
	}
	return units
}

// plan returns the runs of units to be written anew, the newest first. From the
// newest unit on, a run takes in older ones that are at most four times as large as
// what it has, or sparse. So the sizes of what is left grow by at least that
// factor, there are few, and a row is not written anew more often than there
// are sizes: the logarithmic method (Bentley and Saxe, "Decomposable searching
// problems I: static-to-dynamic transformation", 1980), as log-structured stores
// use it.
func plan(units []unit) (runs [][]unit) {
	var run []unit
	size, rows := 0, 0
	end := func() {
		if len(run) > 1 || len(run) == 1 && run[0].sparse() {
			slices.Reverse(run)
			runs = append(runs, run)
		}
		run, size, rows = nil, 0, 0
	}
	for _, u := range slices.Backward(units) {
		if !u.found() || u.shares() && u.live > 0 {
			end() // pieces are left alone while one of their values counts
			continue
		}
		gap := len(run) > 0 && run[len(run)-1].first() != u.last()+1
		large := len(run) > 0 && u.use() > 4*max(size, minRange) && !u.sparse()
		if gap || large || size+u.use() > maxRange || rows+u.rows > maxRunRows {
			end()
		}
		run = append(run, u)
		size, rows = size+u.use(), rows+u.rows
	}
	end()
	return runs
}
