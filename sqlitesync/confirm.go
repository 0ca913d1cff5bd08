package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// recognizes reports whether the folder holds this device's own directory and
// a record that it knows, and so is its space's whatever the marker says.
func (s *Syncer) recognizes(f *folder.Folder) bool {
	listing, err := f.List(s.identity.device.String())
	if err != nil || len(listing.Segments) == 0 && !listing.Head {
		return false
	}
	names, err := f.Records()
	return err == nil && slices.ContainsFunc(names, func(name string) bool { return s.records[name] != nil })
}

// confirm looks at this device's own directory, and first of all at what others have read of it, before anything is published
// in it: what an earlier pass has published is done with if it stands there
// whole, and goes out again if it does not stand there.
func (s *Syncer) confirm(ctx context.Context, f *folder.Folder, p *problems) error {
	if err := s.lookAhead(ctx, f); err != nil {
		return err
	}
	listing, err := f.List(s.identity.device.String())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.publishFault(err, 0)
	}
	name, err := s.strange(ctx, f, listing)
	if err != nil {
		return err
	}
	if name != nil {
		return s.publishFault(fmt.Errorf("%w: this database has not made %s", folder.ErrTwin, name), name.Last)
	}
	if err := s.lookAtCopies(ctx, f, listing); err != nil {
		return err
	}
	spoilt, err := s.headSpoilt(ctx, f)
	if err != nil {
		return err
	}
	if !listing.Head || spoilt {
		if err := save(ctx, s.handle.conn, "head", ""); err != nil {
			return err
		}
	}
	if err := s.adopt(ctx, f, listing); err != nil {
		return err
	}
	standing := make(map[folder.SegmentName]bool, len(listing.Segments))
	for _, name := range listing.Segments {
		standing[name] = true
	}
	return s.look(ctx, f, standing, p)
}

// headSpoilt reports whether this device's head is not what it has published last,
// so that it is to be written anew. It looks once in a while only: nothing but
// people, and devices that enter, wait for a head.
func (s *Syncer) headSpoilt(ctx context.Context, f *folder.Folder) (bool, error) {
	if s.environment.Since(s.headLooked) < headInterval {
		return false, nil
	}
	s.headLooked = s.environment.Beat()
	counter, err := loadNumber(ctx, s.handle.conn, "head_counter")
	standing, failed := s.standingCounter(f)
	return err == nil && standing < counter && !errors.Is(failed, folder.ErrSlow), err
}

// strange returns the name of a batch that this device has signed and this
// database does not know, nil if there is none. Files of such names that it has
// not signed are junk.
func (s *Syncer) strange(ctx context.Context, f *folder.Folder, listing folder.Listing) (*folder.SegmentName, error) {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return nil, err
	}
	for _, name := range listing.Segments {
		if name.Last <= position {
			continue
		}
		if _, err := s.openNamed(f, s.ownReading(), name); err == nil {
			return &name, nil
		}
	}
	return nil, nil
}

// errCopied: two copies of a database have published under one name. A sync client renames one of the files then.
var errCopied = fmt.Errorf("%w", folder.ErrTwin)

// lookAtCopies looks, when files were renamed and once in a while, whether these or those that stand in their place are of a copy of this database
// that goes on as the same device. Before anything is merged: whoever has read such a file seems to have seen what this database has made.
func (s *Syncer) lookAtCopies(ctx context.Context, f *folder.Folder, listing folder.Listing) error {
	same := slices.Equal(listing.Foreign, s.copies) && s.environment.Since(s.copiesLooked) < headInterval // a file may not be here whole yet
	if same || len(listing.Foreign) == 0 || s.hasSuccessor(s.identity.device) {
		return nil
	}
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	made, err := s.ownSegments(ctx, "true")
	if err != nil {
		return err
	}
	tails := make(map[uint64]crypto.Tail, len(made))
	for _, own := range made {
		tails[own.name.Last] = own.tail
	}
	files := s.ownStrays(f, listing)
	for _, name := range listing.Segments {
		if file, err := s.peekNamed(f, s.ownReading(), name); err == nil {
			files = append(files, file)
		}
	}
	for _, file := range files {
		last := file.Header().Last
		if tail, known := tails[last]; known && tail != file.Tail() || last > position {
			return s.publishFault(fmt.Errorf("%w: this database has not made a file that holds batch %d", errCopied, last), last)
		}
	}
	s.copies, s.copiesLooked = listing.Foreign, s.environment.Beat()
	return nil
}

// maxOwnStrays is how many files under other names in its directory a device looks at.
const maxOwnStrays = 100

// ownStrays returns what the beginnings of files under other names say that this device has signed, of a few.
func (s *Syncer) ownStrays(f *folder.Folder, listing folder.Listing) (found []*crypto.Segment) {
	if len(listing.Foreign) == 0 {
		return nil
	}
	names, err := f.Strays(s.identity.device.String())
	if err != nil {
		return nil // nothing waits for it
	}
	for _, name := range names[:min(len(names), maxOwnStrays)] {
		start, size, err := f.PeekStray(name, maxSegment)
		if err != nil {
			continue
		}
		if peeked, err := s.peek(s.ownReading(), start, size); err == nil {
			found = append(found, peeked)
		}
	}
	return found
}

// look compares what was published with what stands in the folder. A segment
// whose bytes are still here is done with if it stands there whole, and goes out
// again if it does not stand there.
func (s *Syncer) look(ctx context.Context, f *folder.Folder, standing map[folder.SegmentName]bool, p *problems) error {
	all, err := s.ownSegments(ctx, "replaced IS NULL")
	if err != nil {
		return err
	}
	live := slices.DeleteFunc(slices.Clone(all), func(own ownSegment) bool { return own.state == segmentPending })
	if err := s.lookForSpoilt(f, live, standing); err != nil {
		return err
	}
	var vanished []ownSegment
	for _, own := range live {
		switch {
		case own.state == segmentFound && (!standing[own.name] || s.spoilt[own.name]):
			vanished = append(vanished, own)
		case own.state == segmentFound && own.vanished != 0:
			err = s.noteBack(ctx, own.name)
		case own.state == segmentFound:
		case !standing[own.name]: // it was there and is gone
			err = s.setState(ctx, own.name, segmentPending)
		default:
			err = s.found(ctx, f, own, p)
		}
		if err != nil {
			return err
		}
	}
	if err := s.lookForTwin(f, live, standing); err != nil {
		return err
	}
	vanished = slices.DeleteFunc(vanished, func(own ownSegment) bool { // what a range has taken the place of by now, or is about to, nobody misses
		return slices.ContainsFunc(all, func(other ownSegment) bool { return other.covers(own.name) })
	})
	return s.checkVanished(ctx, vanished, p)
}

// lookForTwin looks, once in a while, whether the file of another copy of this database stands in the place of one that an earlier
// pass has found: a sync client that was given two of one name keeps one. It costs reading one header, that of the newest, or of
// all if a copy is known to have gone on as another device.
func (s *Syncer) lookForTwin(f *folder.Folder, live []ownSegment, standing map[folder.SegmentName]bool) error {
	self := s.identity.device
	if len(live) == 0 || !s.lookAgain(self) {
		return nil
	}
	if !s.hasSuccessor(self) {
		live = live[len(live)-1:]
	}
	for _, own := range live {
		if !standing[own.name] {
			continue
		}
		if peeked, err := s.peekNamed(f, s.ownReading(), own.name); err == nil && peeked.Tail() != own.tail {
			return s.madeOtherwise(own.name)
		}
	}
	return nil
}

// madeOtherwise says that a file of this device's is of another copy of this database.
func (s *Syncer) madeOtherwise(name folder.SegmentName) error {
	return s.publishFault(fmt.Errorf("%w: this database has made %s otherwise", folder.ErrTwin, name), name.Last)
}

// lookForSpoilt notes which files are not as long any more as they were found, once in
// a while: it costs a system call for each. Whoever has not read them can't.
func (s *Syncer) lookForSpoilt(f *folder.Folder, live []ownSegment, standing map[folder.SegmentName]bool) error {
	if s.environment.Since(s.sizesLooked) < headInterval {
		return nil
	}
	s.sizesLooked = s.environment.Beat()
	s.spoilt = make(map[folder.SegmentName]bool)
	for _, own := range live {
		if own.state != segmentFound || !standing[own.name] {
			continue
		}
		if !s.shrunk(f, &own) {
			continue
		}
		if s.forked(f, &own) {
			return s.madeOtherwise(own.name)
		}
		s.spoilt[own.name] = true
	}
	return nil
}

// shrunk reports whether a file of this device's is not as long as it was found, or is
// no plain file any more. One that can't be looked at is not known to be.
func (s *Syncer) shrunk(f *folder.Folder, own *ownSegment) bool {
	size, err := f.SegmentSize(s.identity.device.String(), own.name)
	return errors.Is(err, folder.ErrNotRegular) || err == nil && size != int64(own.size)
}

// found reads a published file once more. If it is what was published, its bytes
// are not kept any more, and what it has taken the place of is needed no longer.
func (s *Syncer) found(ctx context.Context, f *folder.Folder, own ownSegment, p *problems) error {
	if _, err := s.readOwn(f, &own); err != nil {
		if s.forked(f, &own) {
			return s.madeOtherwise(own.name)
		}
		e := &Error{Op: "check published segment", Device: s.identity.device, Batch: own.name.Last,
			Path: "devices/" + s.identity.device.String() + "/" + own.name.String(), Err: err, Hint: hint(err)}
		if errors.Is(err, crypto.ErrDamaged) || errors.Is(err, folder.ErrTooLarge) || errors.Is(err, folder.ErrNotRegular) {
			e.Hint = "Another program has damaged the file. Remove it: its content is kept, and the next pass writes it again."
		}
		p.add(e)
		return nil
	}
	return s.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		if err := s.setState(ctx, own.name, segmentFound); err != nil || own.name.Generation == 0 {
			return err
		}
		return s.replace(ctx, own.name)
	})
}
