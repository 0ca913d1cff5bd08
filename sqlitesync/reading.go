package sqlitesync

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// reading is how far the log of another device has been read in this pass.
type reading struct {
	device   DeviceID
	log      crypto.Log // which of its segments are accepted
	vouched  uint64     // the newest of its batches that others say they have
	known    uint64     // the newest of its batches that stands in the database
	position uint64     // how far this pass has read: from known, or from the start if the log has forked
	tail     crypto.Tail
	names    []folder.SegmentName
	copied   []folder.SegmentName // those in copies of its directory, if it has none itself
	absent   uint64               // what comes next, which is not there, though all up to it is done with
	again    bool                 // it begins at the start once more
	strays   bool                 // there are files under other names that were not looked through
	failed   bool                 // something is wrong with its next batch; the next pass looks again
	refused  bool                 // because it is not accepted from who may not write any more
	ended    bool                 // the device goes on as another one, which says the rest of it again
	branch   string               // what the log looks like, if it is read again because it can be another branch
	next     *group               // what comes after position, nil if it was not read yet
	ahead    chan *group          // what comes after next, while that is being merged
}

// startOver makes a reading begin at the start of the log.
func (r *reading) startOver() {
	r.position, r.tail, r.next, r.again, r.absent = 0, crypto.Tail{}, nil, true, 0
}

// pass notes that a group was read.
func (r *reading) pass(g *group) { r.position, r.tail, r.next = g.last, g.tail, nil }

// reaches returns the newest batch to which the log stands in the folder without
// a gap, by the names of its files.
func (r *reading) reaches() (batch uint64) { return r.reachesFrom(0) }

// reachesFrom returns the newest batch to which the files go on without a gap after
// a batch, by their names.
func (r *reading) reachesFrom(batch uint64) uint64 {
	for _, name := range r.names {
		if name.First <= batch+1 {
			batch = max(batch, name.Last)
		}
	}
	return batch
}

// behind counts the segments that are to be merged, up to a batch.
func (r *reading) behind(end uint64) (n int) {
	for _, names := range [][]folder.SegmentName{r.names, r.copied} {
		for _, name := range names {
			if r.position < name.Last && name.Last <= end {
				n++
			}
		}
	}
	return n
}

// goesOnAfter reports whether there are files that begin after a batch.
func (r *reading) goesOnAfter(batch uint64) bool {
	after := func(name folder.SegmentName) bool { return name.First > batch }
	return slices.ContainsFunc(r.names, after) || slices.ContainsFunc(r.copied, after)
}

// reach returns up to which batch anything can be accepted of the device.
func (r *reading) reach() uint64 {
	if r.log.Writes {
		return crypto.MaxBatch
	}
	return max(r.log.Last, r.vouched)
}

// group is a run of batches that are to be applied together, because each but
// the last is continued in the next; usually it is a single one. Or it is a
// compacted range, which holds no whole batches any more.
type group struct {
	segments []*segment.Segment // none: there is nothing new
	name     folder.SegmentName // of the last of them
	bytes    int64              // of the files
	ranges   []readRange        // those of them that are compacted
	inside   bool               // one of these goes on somewhere inside: nothing tells whether it continues what was read
	last     uint64
	tail     crypto.Tail
	missing  uint64 // a batch that is not there although later ones are, or 0
	fault    *Error
}

// readRange is the file of a compacted range that was read.
type readRange struct {
	name folder.SegmentName
	hash crypto.FileHash
}

// compacted reports whether the group is a compacted range.
func (g *group) compacted() bool { return g.name.Generation > 0 }

// readNext returns the group that comes next in the log of a device.
func (s *Syncer) readNext(f *folder.Folder, r *reading) *group {
	if r.ahead == nil {
		return s.readGroup(f, r, r.position, r.tail)
	}
	next := <-r.ahead
	r.ahead = nil
	return next
}

// readAhead begins to read what comes after a group while that is being
// merged: reading takes the processor, merging mostly SQLite.
func (s *Syncer) readAhead(f *folder.Folder, r *reading, after *group) {
	ahead := make(chan *group, 1)
	r.ahead = ahead
	go func() { ahead <- s.readGroup(f, r, after.last, after.tail) }()
}

// awaitAhead waits for what was read ahead and is not needed: it must not outlive the
// open folder.
func awaitAhead(readings []*reading) {
	for _, r := range readings {
		if r.ahead != nil {
			<-r.ahead
		}
	}
}

// readGroup reads the segments that follow position in the log of a device,
// until one that is not continued.
func (s *Syncer) readGroup(f *folder.Folder, r *reading, position uint64, tail crypto.Tail) *group {
	g := &group{last: position, tail: tail}
	if position+1 < r.absent {
		if r.goesOnAfter(r.absent) {
			g.missing = r.absent
		}
		return g
	}
	for size := (runSize{}); ; {
		names := following(r.names, g.last)
		decoded, file, err := s.readSegment(f, r, names, g.last+1, g.tail)
		if err != nil {
			g.fault = segmentFault(r, g.last+1, names, err)
			return g
		}
		if decoded == nil {
			switch {
			case g.last >= r.reach(): // what comes next would not be accepted: nobody waits for it
				g.segments = nil
			case g.segments != nil || r.goesOnAfter(g.last+1):
				g.missing = g.last + 1
			}
			return g
		}
		g.segments = append(g.segments, decoded)
		header := file.Header()
		g.name = folder.SegmentName{First: header.First, Last: header.Last, Generation: header.Generation}
		if header.Generation > 0 {
			g.ranges = append(g.ranges, readRange{g.name, file.Hash()})
			g.inside = g.inside || header.First <= g.last
		}
		g.bytes += int64(header.PayloadLength)
		g.last, g.tail = decoded.Last, file.Tail()
		if newest := decoded.Batches[len(decoded.Batches)-1]; !newest.Continued || newest.Number != decoded.Last {
			return g
		}
		if size.add(decoded); !size.below(maxReadRun) {
			g.fault = segmentFault(r, g.last, names, fmt.Errorf("%w: more than %d changes or %d GiB are to be applied together",
				segment.ErrTooLarge, maxReadRun.changes, maxReadRun.bytes>>30))
			return g
		}
	}
}

// readSegment reads the segment that holds a batch and goes on from there: the
// first of the files that say so which is what it says, or one under another
// name. It returns nil if there is none.
func (s *Syncer) readSegment(f *folder.Folder, r *reading, names []folder.SegmentName, batch uint64, tail crypto.Tail) (*segment.Segment, *crypto.Segment, error) {
	var failed error
	for _, name := range names {
		file, err := s.openNamed(f, r, name)
		if err == nil {
			var decoded *segment.Segment
			if decoded, err = s.decode(file, batch, tail); err == nil {
				return decoded, file, nil
			}
		}
		failed = errors.Join(failed, err)
	}
	file, err := s.findStray(f, r, batch)
	if file == nil || err != nil {
		return nil, nil, errors.Join(failed, err)
	}
	decoded, err := s.decode(file, batch, tail)
	if err != nil {
		return nil, nil, errors.Join(failed, err)
	}
	return decoded, file, nil
}

func segmentFault(r *reading, batch uint64, names []folder.SegmentName, err error) *Error {
	path := "devices/" + r.device.String()
	if len(names) > 0 {
		path += "/" + names[0].String()
	}
	e := &Error{Op: "read segment", Device: r.device, Batch: batch, Path: path, Err: err, Hint: hintUnread(err)}
	switch {
	case errors.Is(err, ErrFormat):
		e.Hint = "Update the app: the file was written by a newer version."
	case errors.Is(err, errCut):
		e.Hint = "Its content is not used, on no device. Nothing needs to be done; the file can be removed."
	case errors.Is(err, crypto.ErrWrongKey):
		e.Hint = "An admin's device hands out the key when it syncs next. If none has it, make a device that has merged these changes an admin, even for a moment: it has the key. " + hintRecovery
	}
	return e
}

// following returns the files that say that they go on after position, the best
// first: those that begin there, for their batches are whole if they are not
// compacted, and then those of higher generations. A range that was compacted
// while it was being read begins before.
func following(names []folder.SegmentName, position uint64) []folder.SegmentName {
	var found []folder.SegmentName
	for _, name := range names {
		if name.First > position+1 {
			break // as do all that follow
		}
		if position < name.Last {
			found = append(found, name)
		}
	}
	slices.SortStableFunc(found, func(a, b folder.SegmentName) int {
		return cmp.Or(cmp.Compare(b.First, a.First), cmp.Compare(b.Generation, a.Generation))
	})
	return found
}
