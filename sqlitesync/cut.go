package sqlitesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// maxCutFiles is how many files a record can list.
const maxCutFiles = 512

// cuts says how far this device has read another one, for the records that end
// its writing: the number, and the files that readers would take, in the order
// in which they would. One record can't list more than some, so there may be
// several cuts; there is at least one. It reports whether files are missing among them.
func (s *Syncer) cuts(ctx context.Context, f *folder.Folder, id DeviceID) (cuts []crypto.Cut, gap bool, err error) {
	last, _, err := s.db.Position(ctx, changelog.DeviceID(id))
	if err != nil {
		return nil, false, err
	}
	listing, err := f.List(id.String())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, &Error{Op: "list", Device: id, Err: fmt.Errorf("%w: %w", ErrFolder, err), Hint: hint(err)}
	}
	log, _ := s.roster.Log(id)
	r := &reading{device: id, log: log, vouched: last, names: listing.Segments}
	files, gap := s.liveFiles(ctx, f, r, last)
	// What they have just taken the place of stands beside them: others may have got only that.
	replaced, _ := s.liveFiles(ctx, f, r, last)
	if err := ctx.Err(); err != nil { // then some are missing
		return nil, false, err
	}
	files = append(files, replaced...)
	slices.SortFunc(files, func(a, b crypto.FileHash) int { return bytes.Compare(a[:], b[:]) })
	if len(files) == 0 {
		return []crypto.Cut{{Device: id, Last: last}}, gap, nil
	}
	for chunk := range slices.Chunk(files, maxCutFiles) {
		cuts = append(cuts, crypto.Cut{Device: id, Last: last, Files: chunk})
	}
	return cuts, gap, nil
}

// liveFiles returns the hashes of the files that make up a log as far as a batch,
// and takes them from those that are left of the reading. It reports whether some are
// missing. When ctx ends, it does.
func (s *Syncer) liveFiles(ctx context.Context, f *folder.Folder, r *reading, last uint64) (files []crypto.FileHash, gap bool) {
	left := slices.Clone(r.names)
	for position, tail := uint64(0), (crypto.Tail{}); position < last && ctx.Err() == nil; {
		file := s.liveFile(f, r, position, tail, s.openNamed)
		if file == nil { // it is missing, or damaged: what comes after it is listed all the same
			position, tail, gap = nextFirst(r.names, position), crypto.Tail{}, true
			continue
		}
		header := file.Header()
		left = slices.DeleteFunc(left, func(name folder.SegmentName) bool {
			return name == folder.SegmentName{First: header.First, Last: header.Last, Generation: header.Generation}
		})
		if position, tail = header.Last, file.Tail(); position <= last {
			files = append(files, file.Hash())
		}
	}
	r.names = left
	return files, gap
}

// skipReader says how far a device has written its log while it was a reader, and
// nobody read it.
func (s *Syncer) skipReader(f *folder.Folder, member crypto.Member, cut *crypto.Cut) error {
	listing, err := f.List(member.ID.String())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: "list", Device: member.ID, Err: fmt.Errorf("%w: %w", ErrFolder, err), Hint: hint(err)}
	}
	r := &reading{device: member.ID, log: crypto.Log{Keys: member.Keys, Writes: true}}
	for _, name := range listing.Segments {
		if _, err := s.openNamed(f, r, name); err == nil {
			cut.Last = max(cut.Last, name.Last)
		}
	}
	return nil
}

// liveFile returns the file that continues a log after position, or nil, of those that
// open takes. A zero tail means that what comes before is not known.
func (s *Syncer) liveFile(f *folder.Folder, r *reading, position uint64, tail crypto.Tail,
	open func(*folder.Folder, *reading, folder.SegmentName) (*crypto.Segment, error),
) *crypto.Segment {
	for _, name := range following(r.names, position) {
		file, err := open(f, r, name)
		if err != nil || file.Header().First == position+1 && tail != (crypto.Tail{}) && file.Header().Prev != tail {
			continue
		}
		return file
	}
	return nil
}

// nextFirst returns what comes before the next file after a gap.
func nextFirst(names []folder.SegmentName, position uint64) uint64 {
	next := uint64(math.MaxUint64)
	for _, name := range names {
		if name.First > position+1 {
			next = min(next, name.First-1)
		}
	}
	return next
}
