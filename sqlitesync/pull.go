package sqlitesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

const (
	// maxSegment is FORMAT.md's limit for a segment file.
	maxSegment = 66 << 20
	// maxPacked bounds what decrypting a segment may produce.
	maxPacked = 65 << 20
	// maxValue bounds what is put together from pieces.
	maxValue = 1 << 30
	// causalWait is how long a batch waits for the batches that its author had
	// seen. Merging commutes, so waiting only spares people half a picture.
	causalWait = time.Minute

	hintDamaged = "The file is damaged, or has not been downloaded completely. It is tried again at every pass; if it stays so, restore it from the file-sync service's history."
)

// reading is how far the log of another device has been read in this pass.
type reading struct {
	device   DeviceID
	key      []byte // to verify its signature with
	position uint64
	tail     crypto.Tail
	names    []folder.SegmentName
	strays   bool               // files under other names have not been looked through
	next     []*segment.Segment // the next batches, to be applied together
	tailNext crypto.Tail
	last     uint64
}

// waits remembers since when a device's next batch has been waiting for others.
type waits map[DeviceID]Waiting

// pull merges what stands in the folder, of every device as far as its log
// reaches without a gap. What is wrong with one device's files does not keep
// others from being read.
//
// It reports whether all that the folder holds of other members was merged.
func (s *Syncer) pull(ctx context.Context, f *folder.Folder, p *problems) (complete bool, err error) {
	s.pulling = time.Now()
	readings, err := s.list(ctx, f, p)
	if err != nil {
		return false, err
	}
	waiting := make(waits)
	for progress := true; progress; {
		progress = false
		clear(waiting)
		for _, r := range readings {
			for {
				applied, err := s.advance(ctx, f, r, waiting, p)
				if err != nil {
					return false, err
				}
				if !applied {
					break
				}
				progress = true
			}
		}
	}
	s.waiting = waiting
	behind := 0
	for _, r := range readings {
		for _, name := range r.names {
			if name.Last > r.position {
				behind++
			}
		}
	}
	held, err := merge.CountHeld(ctx, s.handle.conn)
	s.state.update(func(st *Status) {
		st.Behind, st.Held = behind, held
		st.Waiting = slices.SortedFunc(maps.Values(waiting), func(a, b Waiting) int {
			return cmp.Compare(a.For.String(), b.For.String())
		})
	})
	return behind == 0 && len(waiting) == 0, err
}

// list lists the directories of all members. Nothing is read yet.
func (s *Syncer) list(ctx context.Context, f *folder.Folder, p *problems) ([]*reading, error) {
	ids, err := f.Devices()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{Op: "list devices", Hint: hint(err), Err: fmt.Errorf("%w: %w", ErrFolder, err)}
	}
	if s.seen, err = s.db.Seen(ctx); err != nil {
		return nil, err
	}
	var readings []*reading
	for _, text := range ids {
		id, err := crypto.ParseDeviceID(text)
		if err != nil {
			continue
		}
		listing, err := f.List(text)
		if err != nil {
			p.add(&Error{Op: "list", Device: id, Path: "devices/" + text, Err: err, Hint: hint(err)})
			continue
		}
		if id == s.identity.device {
			if err := s.forget(ctx, listing); err != nil {
				return nil, err
			}
			continue
		}
		member, ok := s.roster.Member(id)
		if !ok || member.Role == crypto.Reader {
			if len(listing.Segments) > 0 {
				p.add(&Error{Op: "read segments", Device: id, Path: "devices/" + text, Err: ErrNotMember,
					Hint: "Its files are left alone. If the device has just joined, its record is still on its way; if nobody knows it, someone wrote into the folder."})
			}
			continue
		}
		position, tail, err := s.db.Position(ctx, changelog.DeviceID(id))
		if err != nil {
			return nil, err
		}
		readings = append(readings, &reading{
			device: id, key: member.Keys.SigningKey(),
			position: position, tail: crypto.Tail(tail), names: listing.Segments, strays: true,
		})
	}
	return readings, nil
}

// advance applies the next batch of a device, with those that it is continued
// in, if they are there and not before their time.
func (s *Syncer) advance(ctx context.Context, f *folder.Folder, r *reading, waiting waits, p *problems) (bool, error) {
	if r.next == nil {
		missing, err := s.readNext(f, r)
		if err != nil {
			p.add(err)
			return false, nil
		}
		if missing > 0 {
			s.wait(waiting, Waiting{Device: r.device, Batch: missing, For: r.device})
			return false, nil
		}
		if r.next == nil {
			return false, nil
		}
	}
	witness := true
	if blocked := s.uncovered(r); blocked != nil {
		if since := s.wait(waiting, *blocked); time.Since(since) < causalWait {
			return false, nil
		}
		delete(waiting, r.device)
		witness = false
	}
	next := r.next
	r.next = nil
	if err := s.apply(ctx, r, next, witness); err != nil {
		var damaged *Error
		if errors.As(err, &damaged) {
			p.add(damaged)
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// wait notes what a device waits for, and returns since when it does.
func (s *Syncer) wait(waiting waits, w Waiting) time.Time {
	w.Since = time.Now()
	if before, ok := s.waiting[w.For]; ok && before.Device == w.Device && before.Batch == w.Batch {
		w.Since = before.Since
	}
	waiting[w.For] = w
	return w.Since
}

// uncovered returns a batch that the author of the next batch had seen and
// this device has not.
func (s *Syncer) uncovered(r *reading) *Waiting {
	if r.next[0].First != r.next[0].Last {
		return nil // a compacted range waits for nobody: two of them could wait for each other
	}
	for device, batch := range r.next[0].Batches[0].Seen {
		if device == s.self() {
			continue // of course we have our own
		}
		if _, member := s.roster.Member(DeviceID(device)); !member {
			continue
		}
		if s.seen[device] < batch {
			return &Waiting{Device: DeviceID(device), Batch: batch, For: r.device}
		}
	}
	return nil
}

// readNext reads the segments that come next in the log of a device, until the
// one that is not continued. It returns the number of a batch that is missing
// although later ones are there, or 0.
func (s *Syncer) readNext(f *folder.Folder, r *reading) (missing uint64, fault *Error) {
	var segments []*segment.Segment
	position, tail := r.position, r.tail
	for {
		name, found := following(r.names, position)
		var file *crypto.Segment
		var err error
		if found {
			file, err = s.openNamed(f, r, name)
		} else if file, err = s.findStray(f, r, position+1); file == nil && err == nil {
			if segments != nil || slices.ContainsFunc(r.names, func(n folder.SegmentName) bool { return n.First > position+1 }) {
				return position + 1, nil
			}
			return 0, nil
		}
		var decoded *segment.Segment
		if err == nil {
			decoded, err = s.decode(file, tail)
		}
		if err != nil {
			hint := hintDamaged
			if errors.Is(err, ErrFormat) {
				hint = "Update the app: the file was written by a newer version."
			}
			return 0, &Error{Op: "read segment", Device: r.device, Batch: position + 1,
				Path: "devices/" + r.device.String() + "/" + name.String(), Err: err, Hint: hint}
		}
		segments = append(segments, decoded)
		position, tail = decoded.Last, file.Tail()
		if last := len(decoded.Batches) - 1; !decoded.Batches[last].Continued || decoded.Batches[last].Number != decoded.Last {
			break
		}
	}
	r.next, r.last, r.tailNext = segments, position, tail
	return 0, nil
}

// following returns the file that goes on after position: of those that begin
// there the one of the highest generation.
func following(names []folder.SegmentName, position uint64) (best folder.SegmentName, found bool) {
	for _, name := range names {
		if name.First == position+1 && (!found || name.Generation > best.Generation) {
			best, found = name, true
		}
	}
	return best, found
}

// The order in which a file is read is that of FORMAT.md, chapter 4: nothing of
// it is used before all of it was verified.

// openNamed reads a file whose name says that it is a segment.
func (s *Syncer) openNamed(f *folder.Folder, r *reading, name folder.SegmentName) (*crypto.Segment, error) {
	data, err := f.ReadSegment(r.device.String(), name, maxSegment)
	if err != nil {
		return nil, err
	}
	file, err := s.verify(r, data)
	if err != nil {
		return nil, err
	}
	if h := file.Header(); h.First != name.First || h.Last != name.Last || h.Generation != name.Generation {
		return nil, fmt.Errorf("%w: it is another segment under this name", crypto.ErrDamaged)
	}
	return file, nil
}

// findStray looks for the segment that begins with a batch among the files of
// other names: sync clients rename files and directories that they take to be
// in conflict. It returns nil if there is none.
func (s *Syncer) findStray(f *folder.Folder, r *reading, first uint64) (*crypto.Segment, error) {
	if !r.strays {
		return nil, nil
	}
	names, err := f.Strays(r.device.String())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := f.ReadStray(name, maxSegment)
		if err != nil {
			continue
		}
		if file, err := s.verify(r, data); err == nil && file.Header().First == first {
			s.log.Info("read a segment under another name", "device", r.device, "batch", first, "path", name)
			return file, nil
		}
	}
	r.strays = false // nothing more to be found in this pass
	return nil, nil
}

// verify makes sure that a file is a segment that the device signed.
func (s *Syncer) verify(r *reading, data []byte) (*crypto.Segment, error) {
	file, err := crypto.ParseSegment(data)
	if err != nil {
		return nil, formatError(err)
	}
	switch header := file.Header(); {
	case header.Space != s.identity.space:
		return nil, fmt.Errorf("%w: it belongs to another space", crypto.ErrSignature)
	case header.Device != r.device:
		return nil, fmt.Errorf("%w: it belongs to another device", crypto.ErrSignature)
	}
	return file, file.Verify(r.key)
}

// decode opens a verified segment that must continue the log at tail.
func (s *Syncer) decode(file *crypto.Segment, tail crypto.Tail) (*segment.Segment, error) {
	header := file.Header()
	if header.Prev != tail {
		return nil, fmt.Errorf("%w: it does not continue the log that was read so far", crypto.ErrDamaged)
	}
	epoch := s.keys.entry.Epoch(header.Epoch)
	if epoch == nil {
		return nil, fmt.Errorf("%w: its epoch is not known here", crypto.ErrWrongKey)
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

// apply merges the segments of one group of batches in one transaction, after
// the local edits that were made without knowledge of them.
func (s *Syncer) apply(ctx context.Context, r *reading, segments []*segment.Segment, witness bool) error {
	started := time.Now()
	joiner := segment.NewJoiner(maxValue)
	err := s.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		s.outcomes = nil
		if err := s.fold(ctx); err != nil {
			return err
		}
		for _, part := range segments {
			if err := joiner.Join(part); err != nil {
				return &Error{Op: "read segment", Device: r.device, Batch: part.First, Err: err, Hint: hintDamaged}
			}
			batch := &changelog.Batch{Device: part.Author, Number: part.Last, Seen: part.Batches[0].Seen, Changes: part.Changes}
			result, err := merge.Apply(ctx, s.db, batch, witness && part.First == part.Last)
			if err != nil {
				return err
			}
			s.merged(r.device, result)
		}
		return s.db.SetPosition(ctx, changelog.DeviceID(r.device), r.last, r.tailNext)
	})
	if err != nil {
		return err
	}
	r.position, r.tail = r.last, r.tailNext
	s.seen[changelog.DeviceID(r.device)] = r.last
	s.announce()
	s.state.update(func(st *Status) { st.LastApplied = time.Now() })
	s.log.Debug("merged", "device", r.device, "batch", r.position)
	giveWay(ctx, started, time.Since(s.pulling))
	return nil
}

// giveWay leaves the write lock to others for a fifth of the time, once a pass
// has been merging for a second: a writer that waits for the lock only looks
// now and then, and would run into its timeout beside an engine that takes the
// lock again at once.
func giveWay(ctx context.Context, started time.Time, merging time.Duration) {
	if merging < time.Second {
		return
	}
	select {
	case <-time.After(time.Since(started) / 4):
	case <-ctx.Done():
	}
}

// outcome is what a merge changed, to be announced after the commit.
type outcome struct {
	device DeviceID
	result merge.Result
}

func (s *Syncer) merged(device DeviceID, result merge.Result) {
	s.outcomes = append(s.outcomes, outcome{device, result})
}

// announce turns the outcomes of a transaction that was committed into events.
func (s *Syncer) announce() {
	for _, o := range s.outcomes {
		rows := 0
		for _, n := range o.result.Rows {
			rows += n
		}
		if rows > 0 {
			s.events.send(Event{Kind: EventApplied, Device: o.device, Rows: rows, Tables: slices.Sorted(maps.Keys(o.result.Rows))})
		}
		if o.result.Conflicts > 0 {
			s.events.send(Event{Kind: EventConflict, Device: o.device, Count: o.result.Conflicts})
		}
	}
	s.outcomes = nil
}
