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

// errStranger: a directory in the folder belongs to nobody who may write.
var errStranger = errors.New("the device is not known as one that may write")

// list lists the directories of all other devices. Nothing is read yet.
func (s *Syncer) list(ctx context.Context, f *folder.Folder, p *problems) (readings []*reading, err error) {
	if s.seen, err = s.db.Seen(ctx); err != nil {
		return nil, err
	}
	all, err := s.readings(ctx, f, p)
	for _, r := range all {
		if r.device != s.identity.device {
			s.lookForFork(f, r)
			readings = append(readings, r)
		}
	}
	return readings, err
}

// readings lists the directories of all devices that may write or once might,
// its own too.
func (s *Syncer) readings(ctx context.Context, f *folder.Folder, p *problems) ([]*reading, error) {
	ids, err := f.Devices()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{Op: "list devices", Hint: hint(err), Err: fmt.Errorf("%w: %w", ErrFolder, err)}
	}
	lookalikes, err := f.Lookalikes()
	if err != nil {
		return nil, &Error{Op: "list devices", Hint: hint(err), Err: fmt.Errorf("%w: %w", ErrFolder, err)}
	}
	for text := range lookalikes { // a sync client may have renamed the directory as a whole
		id, err := crypto.ParseDeviceID(text)
		if _, known := s.roster.Log(id); err == nil && known && !slices.Contains(ids, text) {
			ids = append(ids, text)
		}
	}
	there := slices.Clone(ids)
	for _, member := range s.roster.Members() { // something else than a directory may stand there
		if text := member.ID.String(); member.ID != s.identity.device && !slices.Contains(ids, text) {
			ids = append(ids, text)
		}
	}
	slices.Sort(ids)
	var readings []*reading
	listings, failed := f.ListAll(ids)
	for i, text := range ids {
		id, err := crypto.ParseDeviceID(text)
		if err != nil {
			continue
		}
		listing, absent := listings[i], errors.Is(failed[i], fs.ErrNotExist)
		if absent && !slices.Contains(there, text) {
			continue
		}
		if err := failed[i]; err != nil && !(lookalikes[text] && absent) {
			p.add(&Error{Op: "list", Device: id, Path: "devices/" + text, Err: fmt.Errorf("%w: %w", ErrFolder, err), Hint: hint(err)})
			continue
		}
		log, known := s.roster.Log(id)
		if !known || !log.Writes && !log.Cut {
			if len(listing.Segments) > 0 {
				p.add(&Error{Op: "read segments", Device: id, Path: "devices/" + text, Err: errStranger,
					Hint: "Its files are left alone. If the device has just joined, its record is still on its way; if nobody knows it, someone wrote into the folder."})
			}
			continue
		}
		position, tail, err := s.db.Position(ctx, changelog.DeviceID(id))
		if err != nil {
			return nil, err
		}
		r := &reading{
			device: id, log: log, vouched: position,
			known: position, position: position, tail: crypto.Tail(tail), names: listing.Segments, strays: len(listing.Foreign) > 0 || lookalikes[text],
		}
		s.skipRefused(f, r)
		readings = append(readings, r)
	}
	s.addVouched(ctx, f, readings)
	return readings, nil
}

// skipRefused goes on after what a device has written while it was a reader. Its
// first batch after that need not continue what was read.
func (s *Syncer) skipRefused(f *folder.Folder, r *reading) {
	if !r.log.Writes || r.position >= r.log.From {
		return
	}
	if file := s.liveFile(f, r, r.position, r.tail, s.peekAccepted); file != nil {
		return // it is from before
	}
	if file := s.liveFile(f, r, r.log.From, crypto.Tail{}, s.peekAccepted); file != nil && file.Header().First == r.log.From+1 {
		r.position, r.tail = r.log.From, file.Header().Prev
	}
}

// addVouched finds out how far other members have merged the logs of devices
// that may write no more: nobody has to take back what it merged before it knew.
// Heads of readers are not asked: a reader must not be able to let a revoked
// device write. A head that can't be read is asked again at the next pass.
func (s *Syncer) addVouched(ctx context.Context, f *folder.Folder, readings []*reading) {
	open := slices.DeleteFunc(slices.Clone(readings), func(r *reading) bool {
		return r.log.Writes || !slices.ContainsFunc(r.names, func(name folder.SegmentName) bool { return name.Last > r.reach() })
	})
	if len(open) == 0 {
		return
	}
	for _, member := range s.roster.Members() {
		if member.ID == s.identity.device || member.Role == crypto.Reader {
			continue
		}
		content, err := s.readHead(ctx, f, member)
		if err != nil {
			s.log.Debug("head not read", "device", member.ID, "err", err)
			continue
		}
		for _, r := range open {
			r.vouched = max(r.vouched, content.Seen[r.device.String()])
		}
	}
}
