package sqlitesync

import (
	"errors"
	"fmt"
	"path"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The order in which a file is read is that of FORMAT.md, chapter 4: nothing of
// it is used before all of it was verified.

// peekNamed reads the beginning of a file whose name says that it is a segment.
func (s *Syncer) peekNamed(f *folder.Folder, r *reading, name folder.SegmentName) (*crypto.Segment, error) {
	start, size, err := f.PeekSegment(r.device.String(), name, maxSegment)
	if err != nil {
		return nil, err
	}
	peeked, err := s.peek(r, start, size)
	if err != nil {
		return nil, err
	}
	if header := peeked.Header(); header.First != name.First || header.Last != name.Last || header.Generation != name.Generation {
		return nil, fmt.Errorf("%w: it is another segment under this name", crypto.ErrDamaged)
	}
	return peeked, nil
}

// peekAccepted is openNamed where only the header is asked for: of what a device that
// may write has written, its number tells that it is accepted, and not its content.
func (s *Syncer) peekAccepted(f *folder.Folder, r *reading, name folder.SegmentName) (*crypto.Segment, error) {
	if r.log.Writes && name.First > r.log.From {
		return s.peekNamed(f, r, name)
	}
	return s.openNamed(f, r, name)
}

// openNamed reads a file whose name says that it is a segment.
func (s *Syncer) openNamed(f *folder.Folder, r *reading, name folder.SegmentName) (*crypto.Segment, error) {
	peeked, err := s.peekNamed(f, r, name)
	if err != nil {
		return nil, err
	}
	data, err := f.ReadSegment(r.device.String(), name, maxSegment)
	if err != nil {
		return nil, err
	}
	file, err := s.verify(r, data)
	if err == nil && file.Header() != peeked.Header() {
		err = fmt.Errorf("%w: it changed while it was read", crypto.ErrDamaged)
	}
	return file, err
}

// maxStrays is how many copies of one segment are read in search of a whole one.
const maxStrays = 16

// findStray looks for the segment that holds a batch among the files of other
// names: sync clients rename files and directories that they take to be in
// conflict. It returns nil if there is none.
func (s *Syncer) findStray(f *folder.Folder, r *reading, batch uint64) (*crypto.Segment, error) {
	if !r.strays {
		return nil, nil
	}
	names, err := f.Strays(r.device.String())
	if err != nil {
		return nil, err
	}
	tried := 0
	for _, name := range names {
		if whole, is := folder.ParseSegmentName(path.Base(name)); is && (batch < whole.First || whole.Last < batch) {
			continue // a copy of a directory can stand for good: each pass would open all of its files
		}
		start, size, err := f.PeekStray(name, maxSegment)
		if err != nil {
			continue
		}
		if peeked, err := s.peek(r, start, size); err != nil || !holds(peeked.Header(), batch) {
			continue
		}
		if tried++; tried > maxStrays {
			break
		}
		data, err := f.ReadStray(name, maxSegment)
		if err != nil {
			continue
		}
		if file, err := s.verify(r, data); err == nil && holds(file.Header(), batch) {
			s.log.Info("read a segment under another name", "device", r.device, "batch", batch, "path", name)
			return file, nil
		}
	}
	r.strays = false // nothing more to be found in this pass
	return nil, nil
}

func holds(header crypto.SegmentHeader, batch uint64) bool {
	return header.First <= batch && batch <= header.Last
}

// peek makes sure, from the beginning of a file, that it has the size and
// header of a segment that the device signed.
func (s *Syncer) peek(r *reading, start []byte, size int64) (*crypto.Segment, error) {
	peeked, err := crypto.PeekSegment(start, size, r.log.Keys.SigningKey())
	if err != nil {
		return nil, formatError(err)
	}
	return peeked, s.checkPlace(r, peeked.Header())
}

// errCut: whoever has the device's keys wrote this when it might not write.
var errCut = errors.New("it comes from a device that may not write, or not any more")

// verify makes sure that a file is a segment that the device signed, and that
// the roster lets it write.
func (s *Syncer) verify(r *reading, data []byte) (*crypto.Segment, error) {
	file, err := crypto.ParseSegment(data)
	if err != nil {
		return nil, formatError(err)
	}
	if err := s.checkPlace(r, file.Header()); err != nil {
		return nil, err
	}
	if err := file.Verify(r.log.Keys.SigningKey()); err != nil {
		return nil, err
	}
	if header := file.Header(); !r.log.Accepts(&header, file.Hash(), r.vouched) {
		return nil, errCut
	}
	return file, nil
}

// checkPlace makes sure that a segment says that it belongs where it is read.
func (s *Syncer) checkPlace(r *reading, header crypto.SegmentHeader) error {
	switch {
	case header.Space != s.identity.space:
		return fmt.Errorf("%w: it belongs to another space", crypto.ErrSignature)
	case header.Device != r.device:
		return fmt.Errorf("%w: it belongs to another device", crypto.ErrSignature)
	}
	return nil
}

// errDiscontinued: a segment that is whole is of another log than what was read.
var errDiscontinued = fmt.Errorf("%w: it does not continue the log that was read so far", crypto.ErrDamaged)

// decode opens a verified segment that must continue the log at tail if it
// begins with the batch. The tails inside a compacted range nobody knows any
// more: a reader that has come so far takes the whole, which changes nothing of
// what it has.
func (s *Syncer) decode(file *crypto.Segment, batch uint64, tail crypto.Tail) (*segment.Segment, error) {
	header := file.Header()
	if !holds(header, batch) || header.First == batch && header.Prev != tail {
		return nil, errDiscontinued
	}
	epoch, err := s.epoch(header.Epoch)
	if err != nil {
		return nil, err
	}
	packed, err := file.Open(epoch, maxPacked)
	if err != nil {
		return nil, err
	}
	body, err := segment.Unpack(packed)
	if err != nil {
		return nil, err
	}
	return segment.Decode(body, changelog.DeviceID(header.Device), header.First, header.Last)
}
