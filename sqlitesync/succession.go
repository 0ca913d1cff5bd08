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

// A database can be copied to another machine, restored from a backup, or cloned
// with all that is around it. Two that go on as one device would give one batch
// number to two contents. So the one that notices takes new keys, which its old
// ones admit, reads its old directory like that of a peer, and sends what of its
// own the folder does not have once more, under its new id:
//
//	merge     outbox -> rows                            what is known already changes nothing
//	keys      KeyStore: the new device                  nothing refers to it yet
//	database  succeed record, identity, batches         one durable transaction
//	folder    record, segments                          from the database, as always
//
// It is noticed by
//
//   - the KeyStore, which names the newest batch that was published: the database
//     knows less of its own, or has given that number to another content since;
//   - the machine, which is not the one that the keys were made on;
//   - the folder, in which stands what these keys have signed and this database
//     has not made;
//   - the heads of others, which have read more of it than it has published.

// What says that a database is a copy, for people: Found of the event.
const (
	foundMachine = "its keys were made on another machine"
	foundBehind  = "its keys name a batch that it does not have"
	foundOther   = "its keys name other content of a batch that it has"
	foundFolder  = "the folder has a batch, signed with its keys, that it has not made"
	foundAhead   = "another device has read a batch of it that it does not have"
)

// isCopy returns what of the keys says that this database is a copy, "" if nothing does: they were made
// on another machine, or know of batches of its own that it does not, or knows as
// others: what is edited in a copy gets numbers before it becomes another device, and
// that can fail, or the process end.
func (s *Syncer) isCopy(ctx context.Context) (found string, err error) {
	published := s.keys.entry()
	position, _, err := s.db.Position(ctx, s.self())
	switch {
	case err != nil:
		return "", err
	case s.keys.elsewhere():
		return foundMachine, nil
	case position < published.Batch:
		return foundBehind, nil
	}
	made, err := s.ownSegments(ctx, "substr(name, 14, 12) = "+fmt.Sprintf("'%012x'", published.Batch))
	if slices.ContainsFunc(made, func(own ownSegment) bool { return own.tail != published.Tail }) {
		found = foundOther
	}
	return found, err
}

// succeed makes this database the next device of the space after the one that it
// has been. f is the folder, nil if it is not there, found what says that it has to. The caller
// loads all anew that depends on who this is.
func (s *Syncer) succeed(ctx context.Context, f *folder.Folder, found string) (err error) {
	if err := s.checkMembership(); errors.Is(err, ErrNotMember) {
		return err // it was revoked since the copy was made
	}
	if err := s.mergeOutbox(ctx); err != nil {
		return err
	}
	old := s.identity.device
	if s.heir == nil { // else it could not be written down who that is, and its keys stand in the KeyStore
		if s.heir, err = crypto.NewDeviceKeys(); err != nil {
			return err
		}
	}
	device := s.heir
	record, err := s.roster.NewSucceed(s.keys.entry().Device, device, s.now())
	if err != nil {
		return err
	}
	if _, err := s.rosterWith(record); err != nil {
		return err
	}
	common, tail, unsent, err := s.common(ctx, f)
	if err != nil {
		return err
	}
	// Nobody hands the new device what stands in the past of its record: that was handed to its former keys, which may not have taken it.
	epochs, err := s.roster.OpenEpochs(s.keys.entry().Device, s.keys.entry().Epochs)
	if err != nil {
		s.log.Warn("an epoch in the roster can't be opened", "err", err)
	}
	keys, err := newKeyring(ctx, s.options.Keys, &crypto.KeyEntry{Device: device, Space: s.identity.space, Epochs: epochs})
	if err != nil {
		return err
	}
	formerKeys, formerIdentity, formerSelf := s.keys, s.identity, s.db.Self
	s.keys, s.identity.device, s.db.Self = keys, device.ID(), changelog.DeviceID(device.ID())
	err = s.transactAs(ctx, changelog.Durable, func() error {
		for _, step := range []func() error{
			func() error { return s.remember(ctx, record) },
			func() error { return s.identity.save(ctx, s.handle.conn) },
			func() error { return s.forgetOwn(ctx) },
			func() error { return s.noteAhead(ctx, found) },
			func() error { return s.relayAgain(ctx, 0) },
			func() error { return s.db.SetPositionBack(ctx, changelog.DeviceID(old), common, tail) },
			func() error { return s.fold(ctx) }, // or Live would take what was edited since for what was published
			func() error { return s.sendAgain(ctx, changelog.DeviceID(old), unsent) },
			func() error { return save(ctx, s.handle.conn, formerSetting, old.String()+" "+found) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.keys, s.identity, s.db.Self = formerKeys, formerIdentity, formerSelf
		return err
	}
	s.know(record)
	s.succeeds, s.heir = "", nil
	s.told, s.headOwn, s.vanished, s.spoilt, s.altered, s.compaction, s.tidied = told{}, 0, false, nil, nil, compaction{}, false
	s.tellSucceeded(old, found)
	return s.takeRoster(ctx)
}

// succeedAtOnce is succeed before a pass begins. The records that
// stand in the folder are read before, if it is there: epochs that were handed to
// this device since the copy was made are for its old keys.
func (s *Syncer) succeedAtOnce(ctx context.Context, found string) error {
	f, err := s.openFolder()
	if err == nil {
		defer f.Close()
		var p problems
		if s.checkFolder(ctx, f, &p) != nil || s.exchangeRecords(ctx, f, &p) != nil {
			f = nil // the passes tell of it
		}
	}
	// The next device would be a reader after one that was made a writer since, whatever records say that come later.
	if member, ok := s.roster.Member(s.identity.device); ok && member.Role == crypto.Reader && s.madeWriter() {
		return fault("read records", errMadeWriter, "Connect the folder, or let the file-sync service download all of it: what the app writes until then is kept, "+
			"and goes out when the record is there. If that is lost, an admin has to make the device a writer once more.")
	}
	return s.succeed(ctx, f, found)
}

// errMadeWriter: a copy of a reader's database has to wait for a record.
var errMadeWriter = fmt.Errorf("%w: the record is not here that made this device a writer: its database was copied, or restored from a backup, of when it only read, "+
	"and its keys say that it has written since", ErrFolder)

// common returns the newest batch of this device that the folder and the database
// have in common, as far as can be seen, the tail after it, and the batches that
// come after it here.
func (s *Syncer) common(ctx context.Context, f *folder.Folder) (batch uint64, tail crypto.Tail, unsent []ownSegment, err error) {
	all, err := s.ownSegments(ctx, "replaced IS NULL")
	if err != nil {
		return 0, tail, nil, err
	}
	segments := slices.DeleteFunc(slices.Clone(all), func(own ownSegment) bool { // a range that was to take the place of others
		return own.state == segmentPending && slices.ContainsFunc(all, func(other ownSegment) bool {
			return other.name != own.name && own.name.First <= other.name.First && other.name.Last <= own.name.Last
		})
	})
	// What is pending before one that is out is made again: who has read the later one knows it.
	stand := len(segments)
	for f == nil && stand > 0 && segments[stand-1].state == segmentPending {
		stand--
	}
	if f != nil {
		if stand, err = s.stand(f, segments); err != nil {
			return 0, tail, nil, err
		}
	}
	// A transaction of which only a part is out nobody can show: it goes out again whole.
	for stand > 0 && segments[stand-1].continued {
		stand--
	}
	if stand > 0 {
		batch, tail = segments[stand-1].name.Last, segments[stand-1].tail
	}
	if len(segments) == 0 {
		position, stored, err := s.db.Position(ctx, s.self())
		return position, crypto.Tail(stored), nil, err
	}
	return batch, tail, segments[stand:], nil
}

// stand returns how many of the segments the folder has, itself or in a range that
// ends where one of them does: tails commit to all that is before. What it does not
// have can be in a range of another branch, and is taken for lost.
func (s *Syncer) stand(f *folder.Folder, segments []ownSegment) (int, error) {
	listing, err := f.List(s.identity.device.String())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	shared := s.shared(f, listing, segments)
	for i, own := range slices.Backward(segments[:shared]) {
		for _, name := range listing.Segments {
			if name.Last != own.name.Last {
				continue
			}
			if file, err := s.openNamed(f, s.ownReading(), name); err == nil && file.Tail() == own.tail {
				return i + 1, nil
			}
		}
	}
	return 0, nil
}

// shared returns how many of the segments another branch of the log can have in common with this one: those up to where a file
// of it continues this one. All, if there is no such file. What stands here may be about to be replaced by the file of that name
// of the other branch, so it counts for nothing; and where none of its files says where it begins, all may be.
func (s *Syncer) shared(f *folder.Folder, listing folder.Listing, segments []ownSegment) int {
	after := map[crypto.Tail]int{{}: 0} // how many segments make the log that has this tail
	known := make(map[uint64]crypto.Tail)
	newest := uint64(0)
	for i, own := range segments {
		after[own.tail], known[own.name.Last], newest = i+1, own.tail, own.name.Last
	}
	other, begins := false, -1
	note := func(file *crypto.Segment) {
		other = true
		if n, continues := after[file.Header().Prev]; continues && (begins < 0 || n < begins) {
			begins = n
		}
	}
	for _, file := range s.ownStrays(f, listing) {
		if tail, made := known[file.Header().Last]; made && file.Tail() != tail || file.Header().Last > newest {
			note(file)
		}
	}
	for _, name := range listing.Segments {
		tail, made := known[name.Last]
		if !made && name.Last <= newest {
			continue // inside a range of this branch
		}
		file, err := s.openNamed(f, s.ownReading(), name)
		if err == nil && !(made && file.Tail() == tail) {
			note(file)
		}
	}
	if !other {
		return len(segments)
	}
	return max(0, begins)
}

// forked reports whether, in the place of a segment, another one stands in the
// folder that these keys have signed, and that is no other form of the same log.
func (s *Syncer) forked(f *folder.Folder, own *ownSegment) bool {
	file, err := s.openNamed(f, s.ownReading(), own.name)
	return err == nil && file.Tail() != own.tail
}

// branches reports whether the folder has a segment that these keys have signed, and
// that ends with a batch which this database has made otherwise. The name of its own
// may be another one, if one of the two was written anew.
func (s *Syncer) branches(ctx context.Context, f *folder.Folder, listing folder.Listing) (bool, error) {
	made, err := s.ownSegments(ctx, "true")
	if err != nil {
		return false, err
	}
	for i := range made {
		for _, name := range listing.Segments {
			other := made[i]
			if other.name = name; name.Last == made[i].name.Last && s.forked(f, &other) {
				return true, nil
			}
		}
	}
	return false, nil
}

// twin makes this database another device if err says that somebody else
// publishes with its keys, and that is so: a file in the way can be junk.
func (s *Syncer) twin(ctx context.Context, f *folder.Folder, err error) error {
	switch {
	case errors.Is(err, errHeadAhead):
		return s.succeedAhead(ctx, f, err)
	case errors.Is(err, errCopied):
		return s.succeedFor(ctx, f, foundFolder)
	case !errors.Is(err, folder.ErrTwin):
		return err
	}
	listing, failed := f.List(s.identity.device.String())
	if failed != nil {
		return err
	}
	strange, failed := s.strange(ctx, f, listing)
	if failed != nil {
		return failed
	}
	branches, failed := s.branches(ctx, f, listing)
	if failed != nil {
		return failed
	}
	if strange == nil && !branches {
		return err
	}
	return s.succeedFor(ctx, f, foundFolder)
}

// succeedFor is succeed in a pass, which begins again.
func (s *Syncer) succeedFor(ctx context.Context, f *folder.Folder, found string) error {
	if err := s.succeed(ctx, f, found); err != nil {
		return err
	}
	return errSucceeded
}

// ownReading is for files of this device's own directory.
func (s *Syncer) ownReading() *reading {
	return &reading{device: s.identity.device, log: crypto.Log{Keys: s.keys.entry().Device.Public(), Writes: true}}
}

// forgetOwn forgets what the database knows of its own log. It writes.
func (s *Syncer) forgetOwn(ctx context.Context) error {
	for _, statement := range []string{
		"DELETE FROM sqlitesync_segments",
		"DELETE FROM sqlitesync_settings WHERE name IN ('head', 'head_counter', 'run', 'told', 'announced', 'baseline_lost', 'relay_lost', 'unmet', 'remade')",
	} {
		if _, err := s.handle.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// errSucceeded: this database goes on as another device, and the pass begins again.
var errSucceeded = errors.New("the database goes on as another device")
