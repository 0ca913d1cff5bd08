package sqlitesync

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A device's directory can be lost, and the device with it. Devices that enter
// later would never have its rows. So an admin device relays them: it publishes
// what it holds of the lost one in its own log, under the stamps that the changes
// have. Who has merged them already finds nothing new in them.

const (
	// lostTime is how long files are missed before the most senior admin device
	// relays what was in them; each of the others waits a turn more.
	lostTime  = 7 * 24 * time.Hour
	relayTurn = 24 * time.Hour
	// relayRows is about how many rows one transaction relays.
	relayRows = 5000
)

// lostLog is what is known of a log that the folder does not have as far as it
// was merged here.
type lostLog struct {
	since   time.Time
	relayed uint64 // the newest batch that this device has relayed
}

func (l lostLog) save(ctx context.Context, c *changelog.Conn, device DeviceID) error {
	return save(ctx, c, lostSetting(device), fmt.Sprint(l.since.UnixMilli(), " ", l.relayed))
}

func lostSetting(device DeviceID) string { return "lost " + device.String() }

// loadLost reads what earlier passes have found.
func (s *Syncer) loadLost(ctx context.Context) error {
	if s.lost != nil {
		return nil
	}
	lost := make(map[DeviceID]lostLog)
	rows, err := s.handle.conn.Query(ctx, "SELECT substr(name, 6), value FROM sqlitesync_settings WHERE name GLOB 'lost *'")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return err
		}
		var since int64
		var l lostLog
		device, err := crypto.ParseDeviceID(name)
		if err == nil {
			_, err = fmt.Sscan(text, &since, &l.relayed)
		}
		if err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		l.since = time.UnixMilli(since)
		lost[device] = l
	}
	if err := rows.Err(); err != nil {
		return err
	}
	s.lost = lost
	return nil
}

// lookForLost notes whose log does not stand in the folder as far as it was merged
// here, and since when.
func (s *Syncer) lookForLost(ctx context.Context, f *folder.Folder, readings []*reading) error {
	if err := s.loadLost(ctx); err != nil {
		return err
	}
	missing := make(map[DeviceID]bool)
	for device := range s.seen {
		missing[DeviceID(device)] = true
	}
	for _, r := range readings {
		stands, err := s.stands(ctx, f, r)
		if err != nil {
			return err
		}
		if stands {
			delete(missing, r.device)
		}
	}
	now := s.environment.Now()
	for device := range missing {
		lost, known := s.lost[device]
		if known && !lost.since.After(now) { // else the clock was put back
			continue
		}
		lost.since = now
		if err := lost.save(ctx, s.handle.conn, device); err != nil {
			return err
		}
		s.lost[device] = lost
	}
	for device := range s.lost {
		if missing[device] {
			continue
		}
		if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = ?", lostSetting(device)); err != nil {
			return err
		}
		delete(s.lost, device)
	}
	return nil
}

// stands reports whether a log stands in the folder as far as it was merged here, under
// whatever names. The names of segments tell, if they reach so far and the device goes on
// writing. What they do not reach can stand under other names, or these be junk. A device
// that was revoked may have written its log anew before it knew, and removed the only files
// that are accepted of it; and of one that goes on as another, the files can be of two
// branches. Such files are read, once in a while, and when they look otherwise, as when a
// sync client was not through with them.
func (s *Syncer) stands(ctx context.Context, f *folder.Folder, r *reading) (bool, error) {
	byName := r.log.Writes && !s.hasSuccessor(r.device)
	switch reaches := r.reaches() >= r.known; {
	case reaches && byName:
		return true, nil
	case !reaches && !r.strays:
		return false, nil
	}
	now := s.environment.Now()
	before, known := s.opened[r.device]
	if known && !before.looked.After(now) && now.Sub(before.looked) < relayTurn && (byName || s.looksAs(f, r, &before)) {
		return before.stands, nil
	}
	opened := openedLog{looked: now, roster: s.roster, known: r.known, names: slices.Clone(r.names), sizes: s.sizes(f, r)}
	opened.stands = s.readsOn(ctx, f, r, byName)
	if err := ctx.Err(); err != nil { // then that says nothing
		return false, err
	}
	if s.opened == nil {
		s.opened = make(map[DeviceID]openedLog)
	}
	s.opened[r.device] = opened
	return opened.stands, nil
}

// looksAs reports whether a log that has ended looks as when it was read, and the same
// is to be accepted of it. What stood then is not looked at file by file.
func (s *Syncer) looksAs(f *folder.Folder, r *reading, before *openedLog) bool {
	return before.roster == s.roster && before.known == r.known && slices.Equal(before.names, r.names) &&
		(before.stands || slices.Equal(before.sizes, s.sizes(f, r)))
}

// sizes returns how long the files of a log are, 0 where that can't be told.
func (s *Syncer) sizes(f *folder.Folder, r *reading) []int64 {
	sizes := make([]int64, len(r.names))
	for i, name := range r.names {
		if size, err := f.SegmentSize(r.device.String(), name); err == nil {
			sizes[i] = size
		}
	}
	return sizes
}

// readsOn reports whether files lead to the newest batch that was merged of a log, along
// the branch that was, unless their names tell. What can't be looked for is not known to
// be missing.
func (s *Syncer) readsOn(ctx context.Context, f *folder.Folder, r *reading, byName bool) bool {
	strays := r.strays
	defer func() { r.strays = strays }() // what is not found here says nothing of what comes next
	position, tail := uint64(0), crypto.Tail{}
	for position < r.known && ctx.Err() == nil {
		if next := r.reachesFrom(position); byName && next > position {
			position, tail = next, crypto.Tail{}
			continue
		}
		var file *crypto.Segment
		if !byName {
			file = s.liveFile(f, r, position, tail, s.peekAccepted)
		}
		if file == nil {
			var err error
			if file, err = s.findStray(f, r, position+1); file == nil {
				return err != nil
			}
		}
		position, tail = file.Header().Last, file.Tail()
	}
	return byName || r.again || position > r.known || tail == r.tail
}

// openedLog is what was seen of a log whose files have to be read for it.
type openedLog struct {
	looked time.Time
	stands bool
	roster *crypto.Roster // by which its files were accepted
	known  uint64         // up to which batch it was looked for
	names  []folder.SegmentName
	sizes  []int64
}

// relayAgain forgets what was relayed: it stands in this device's own log, of which a
// part is lost and made again without it. It writes.
func (s *Syncer) relayAgain(ctx context.Context) error {
	if err := s.loadLost(ctx); err != nil {
		return err
	}
	for device, lost := range s.lost {
		lost.relayed = 0
		s.lost[device] = lost
		if err := lost.save(ctx, s.handle.conn, device); err != nil {
			return err
		}
	}
	return nil
}

// relayLost relays what has been lost for long enough. An admin's device relays all
// that it holds of a lost log. Of one that has ended, what comes after the cut stood
// in it for those only who had merged it: each of them relays that.
func (s *Syncer) relayLost(ctx context.Context) error {
	self, member := s.roster.Member(s.identity.device)
	if !member || self.Role == crypto.Reader {
		return nil
	}
	wait := lostTime + time.Duration(s.seniors())*relayTurn
	if err := s.lookForBranches(ctx, wait); err != nil {
		return err
	}
	for _, device := range inOrder(s.lost) {
		lost, seen := s.lost[device], s.seen[changelog.DeviceID(device)]
		if lost.relayed >= seen || s.environment.Now().Sub(lost.since) < wait {
			continue
		}
		first := uint64(0)
		if self.Role != crypto.Admin {
			log, _ := s.roster.Log(device)
			if first = log.Last + 1; log.Writes || !log.Cut || first > seen {
				continue
			}
		}
		if err := s.relay(ctx, device, first); err != nil {
			return err
		}
	}
	return nil
}

// Relay publishes, in this device's log, what it holds of another one whose files
// are lost, so that devices which enter later have it too. Admin devices do so by
// themselves, a week after files of a device have gone from the folder. It is no
// harm to relay what is not lost. What can't be made again here, such as rows of
// tables that were dropped or have lost a column since, is left out. The folder is
// needed by the next pass only. A reader can't: nobody reads its log.
func (s *Syncer) Relay(ctx context.Context, device DeviceID) error {
	return s.turn(ctx, "relay", func(ctx context.Context) error {
		switch {
		case device == s.identity.device:
			return fmt.Errorf("device %s is this one", device.Short())
		case s.broken != nil:
			return s.broken
		case s.reads():
			return fmt.Errorf("%w: this device is a reader", ErrNotAllowed)
		}
		return s.relayAtOnce(ctx, device)
	})
}

// relayAtOnce is relay outside of a pass: the app may have changed its schema since
// the last one.
func (s *Syncer) relayAtOnce(ctx context.Context, device DeviceID) error {
	return alongMigrations(func() error {
		if err := s.prepare(ctx); err != nil {
			return err
		}
		return s.relay(ctx, device, 0)
	})
}

// relay puts the newest changes of a device, from a batch on, into the outbox. Rows of
// a baseline, which are batch 0, name no device: all are published once more.
func (s *Syncer) relay(ctx context.Context, device DeviceID, first uint64) error {
	id := changelog.DeviceID(device)
	if err := s.loadLost(ctx); err != nil {
		return err
	}
	s.log.Info("relaying", "device", device)
	for _, table := range s.db.Tables {
		if table.Incomplete { // nobody would miss what this device has forgotten of it
			s.warn(fmt.Sprintf("table %q was made anew here while files of device %s were missing: it relays of the table's rows what it still has; "+
				"if another device shows more of them, make that one an admin, which relays the rest", table.Name, device.Short()))
		}
	}
	position, _, err := s.db.Position(ctx, id)
	if err != nil {
		return err
	}
	weights, err := s.db.Weigh(ctx, id)
	if err != nil {
		return err
	}
	if err := s.relaySteps(ctx, id, first, position, weights, nil); err != nil {
		return err
	}
	return s.transact(ctx, func() error {
		if first == 0 && weights[0] > 0 {
			if err := s.db.Unpublish(ctx); err != nil {
				return err
			}
		}
		lost, is := s.lost[device]
		if !is {
			return nil
		}
		lost.relayed = position
		s.lost[device] = lost
		return lost.save(ctx, s.handle.conn, device)
	})
}

// relaySteps relays the newest changes of a device in some of its batches, or only
// those that are wanted (nil: all), in steps that let other writers in between.
func (s *Syncer) relaySteps(ctx context.Context, device changelog.DeviceID, first, last uint64, weights map[uint64]int,
	wanted func(*changelog.Change) (bool, error),
) error {
	// Of the numbers that a log can have, those that weigh something: all of them are too many to look at.
	batches := slices.DeleteFunc(slices.Sorted(maps.Keys(weights)), func(batch uint64) bool { return batch < first || batch > last })
	for first <= last {
		end, rows := last, 0
		for ; len(batches) > 0; batches = batches[1:] {
			if rows > 0 && rows+weights[batches[0]] > relayRows {
				end = batches[0] - 1
				break
			}
			rows += weights[batches[0]]
		}
		if err := s.relayBatches(ctx, device, first, end, wanted); err != nil {
			return err
		}
		first = end + 1
	}
	return nil
}

// relayBatches relays what a device has said in some of its batches. One batch
// says one thing of a row: where several changes of a row count, they go into
// batches that follow one another.
func (s *Syncer) relayBatches(ctx context.Context, device changelog.DeviceID, first, last uint64, wanted func(*changelog.Change) (bool, error)) error {
	var layers [][]changelog.Change
	err := s.withoutLock(ctx, func() (err error) {
		altered := func(*changelog.Table, changelog.Key) error { return nil }
		layers, err = merge.Layers(ctx, s.db, device, first, last, false, wanted, altered)
		return err
	})
	if err != nil {
		return err
	}
	began := time.Now()
	for _, layer := range layers {
		for changes := range slices.Chunk(layer, relayRows) {
			started := time.Now()
			if err := s.transact(ctx, func() error { return s.relayChanges(ctx, device, changes) }); err != nil {
				return err
			}
			giveWay(ctx, started, time.Since(began))
		}
	}
	return nil
}

// relayChanges puts changes of a device into the outbox. It writes.
func (s *Syncer) relayChanges(ctx context.Context, device changelog.DeviceID, changes []changelog.Change) error {
	if err := s.fold(ctx); err != nil {
		return err
	}
	if device == s.self() { // no other batch of its own may be named in a log
		return s.sendChangesAgain(ctx, changes)
	}
	return s.enqueueRows(ctx, changes, func([]changelog.Change) error { return nil })
}
