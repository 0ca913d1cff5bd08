package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"path"
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
	p.add(passedOver(f))
	all, err := s.readings(ctx, f, p)
	s.listed.Store(fingerprint(all, s.identity.device))
	for _, r := range all {
		if r.device != s.identity.device {
			s.lookForFork(f, r)
			readings = append(readings, r)
		}
	}
	return readings, err
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprint returns a number that is another one whenever other segments stand
// in the directories that are watched: those of the devices that write, but not in.
func fingerprint(readings []*reading, in DeviceID) uint64 {
	var h maphash.Hash
	h.SetSeed(fingerprintSeed)
	for _, r := range readings {
		if r.device != in && r.log.Writes {
			maphash.WriteComparable(&h, r.device)
			for _, name := range r.names {
				maphash.WriteComparable(&h, name)
			}
		}
	}
	return h.Sum64()
}

// errCrowded: not all copies of a directory are looked through.
var errCrowded = errors.New("there are too many copies of the folder's directories, and not all are read")

// passedOver tells of copies of directories that are not looked through: what only they hold is missing here.
func passedOver(f *folder.Folder) error {
	passed, err := f.PassedOver()
	if err != nil || len(passed) == 0 {
		return nil //nolint:nilerr // who lists the directories tells of it
	}
	return &Error{Op: "list devices", Path: passed[0], Err: fmt.Errorf("%w: %d %s passed over", errCrowded, len(passed), are(len(passed))),
		Hint: "A sync client has made them, or somebody has filled the folder. Move what only a copy holds into the directory of the same name without the addition, and remove the copy."}
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
	positions, err := s.db.Positions(ctx)
	if err != nil {
		return nil, err
	}
	merged := make(map[changelog.DeviceID]changelog.LogPosition, len(positions))
	for _, log := range positions {
		merged[log.Device] = log
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
					Hint: "Its files are left alone. If the device has just joined, its record is still on its way; " +
						"if Status().Refused lists its record, that has no effect: invite the device once more, and remove this directory; if nobody knows it, someone wrote into the folder."})
			}
			continue
		}
		position := merged[changelog.DeviceID(id)]
		r := &reading{
			device: id, log: log, vouched: position.Batch,
			known: position.Batch, position: position.Batch, tail: position.Tail, names: listing.Segments, strays: len(listing.Foreign) > 0 || lookalikes[text],
		}
		if absent {
			r.copied = strayNames(f, id)
		}
		s.skipRefused(f, r)
		readings = append(readings, r)
	}
	s.addVouched(ctx, f, readings)
	return readings, nil
}

// strayNames returns the names of segments that files of a log have in copies of directories. What can't be listed is told of when
// it is read.
func strayNames(f *folder.Folder, device DeviceID) []folder.SegmentName {
	strays, err := f.Strays(device.String())
	if err != nil {
		return nil
	}
	found := make(map[folder.SegmentName]bool) // of several copies
	for _, stray := range strays {
		if name, is := folder.ParseSegmentName(path.Base(stray)); is {
			found[name] = true
		}
	}
	return slices.Collect(maps.Keys(found))
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
	} else if file == nil && r.position >= r.log.Last {
		r.absent = r.log.From + 1 // only it says what it continues
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
