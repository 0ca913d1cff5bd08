package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
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
	// relayLooks is about how often all that is known of rows is read for one log, in steps that have at most relayBytes of
	// values in memory, unless a single batch has more.
	relayLooks = 64
	relayBytes = 32 << 20
)

// relayAgain forgets what was relayed: it stands in this device's own log, of which a
// part is lost and made again without it, for the lost'th time. It writes.
func (s *Syncer) relayAgain(ctx context.Context, lost int) error {
	if err := s.countRelayLost(ctx, lost); err != nil {
		return err
	}
	if unmet, err := load(ctx, s.handle.conn, "unmet"); err != nil {
		return err
	} else if unmet != "" { // what stood in no log stands in none again
		if err := s.readAllAgain(ctx); err != nil {
			return err
		}
	}
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

// countRelayLost notes how often was lost what is about to be relayed once more: its segments count as made again so many
// times, or who deletes them again and again would have them made for ever. It writes.
func (s *Syncer) countRelayLost(ctx context.Context, lost int) error {
	before, err := loadNumber(ctx, s.handle.conn, "relay_lost")
	if err != nil || int(before) >= lost {
		return err
	}
	return saveNumber(ctx, s.handle.conn, "relay_lost", uint64(lost))
}

// endRelayAgain notes that what was lost is relayed: what is relayed later is nothing that was lost.
func (s *Syncer) endRelayAgain(ctx context.Context) error {
	lost, err := loadNumber(ctx, s.handle.conn, "relay_lost")
	if err != nil || lost == 0 {
		return err
	}
	_, err = s.handle.conn.Exec(ctx, `DELETE FROM sqlitesync_settings WHERE name = 'relay_lost'
		AND NOT EXISTS (SELECT 1 FROM sqlitesync_settings WHERE name = 'read again')`)
	return err
}

// relayWait is how long this device leaves a lost log to who has it, and to the admin
// devices before it.
func (s *Syncer) relayWait() time.Duration {
	return lostTime + time.Duration(s.seniors())*relayTurn
}

// relaySoon notes that a log is lost and its time to be relayed has come: the next pass
// does it unless the log stands then. It writes.
func (s *Syncer) relaySoon(ctx context.Context, device DeviceID) error {
	if err := s.loadLost(ctx); err != nil {
		return err
	}
	lost := s.lost[device]
	lost.since = s.environment.Now().Add(-s.relayWait())
	s.lost[device] = lost
	return lost.save(ctx, s.handle.conn, device)
}

// relayLost relays what has been lost for long enough. An admin's device relays all
// that it holds of a lost log. Of one that has ended, what comes after the cut stood
// in it for those only who had merged it: each of them relays that. The log of a
// device whose admission does not count any more stands for nobody, whatever files
// there are: who has merged it relays it at once.
func (s *Syncer) relayLost(ctx context.Context) error {
	self, member := s.roster.Member(s.identity.device)
	if !member || self.Role == crypto.Reader {
		return nil
	}
	wait := s.relayWait()
	if err := s.lookForBranches(ctx, wait); err != nil {
		return err
	}
	for _, device := range inOrder(s.lost) {
		lost, seen := s.lost[device], s.seen[changelog.DeviceID(device)]
		log, counts := s.roster.Log(device)
		if lost.relayed >= seen || counts && s.environment.Now().Sub(lost.since) < wait {
			continue
		}
		first := uint64(0)
		if counts && self.Role != crypto.Admin {
			if first = log.Last + 1; log.Writes || !log.Cut || first > seen {
				continue
			}
		}
		if err := s.relay(ctx, device, first); err != nil {
			return err
		}
	}
	if self.Role == crypto.Admin {
		if err := s.lookForCarried(ctx); err != nil {
			return err
		}
	}
	return s.endRelayAgain(ctx)
}

// lookForCarried lets all logs be read again when a log is given up: what it had relayed of others, which may have been lost
// before this device entered, stands in none then.
func (s *Syncer) lookForCarried(ctx context.Context) error {
	for _, device := range inOrder(s.lost) {
		lost := s.lost[device]
		if lost.carried || !s.givenUp(device) {
			continue
		}
		lost.carried = true
		err := s.transact(ctx, func() error {
			if err := s.readAllAgain(ctx); err != nil {
				return err
			}
			return lost.save(ctx, s.handle.conn, device)
		})
		if err != nil {
			return err
		}
		s.lost[device] = lost
	}
	return nil
}

// Relay publishes, in this device's log, what it holds of another one whose files
// are lost, so that devices which enter later have it too. Admin devices do so by
// themselves, a week after files of a device have gone from the folder. It is no
// harm to relay what is not lost. What can't be made again here, such as rows of
// tables that were dropped since, is left out; what has lost a column is told
// without it. The folder is needed by the next pass only. A reader can't: nobody
// reads its log.
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
		if first == 0 {
			if err := s.unpublish(ctx); err != nil {
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
	wanted func(changelog.Digest) (bool, error),
) error {
	// Of the numbers that a log can have, those that weigh something: all of them are too many to look at.
	batches := slices.DeleteFunc(slices.Sorted(maps.Keys(weights)), func(batch uint64) bool { return batch < first || batch > last })
	total := 0
	for _, batch := range batches {
		total += weights[batch]
	}
	most := max(relayRows, total/relayLooks)
	for step := most; first <= last; {
		n, end := upTo(step, batches, weights), last
		if n < len(batches) {
			end = batches[n] - 1
		}
		size := relayBytes
		if n <= 1 {
			size = math.MaxInt
		}
		err := s.relayBatches(ctx, device, first, end, size, wanted)
		if errors.Is(err, merge.ErrTooMuch) {
			step /= 2
			continue
		}
		if err != nil {
			return err
		}
		batches, first = batches[n:], end+1
		step = min(most, step+step/4+1) // large rows can be few: then small steps would be too many looks
	}
	return nil
}

// upTo returns how many of the batches have that many rows at most: the first in any case.
func upTo(most int, batches []uint64, weights map[uint64]int) (n int) {
	rows := 0
	for n < len(batches) && (n == 0 || rows+weights[batches[n]] <= most) {
		rows += weights[batches[n]]
		n++
	}
	return n
}

// relayBatches relays what a device has said in some of its batches. One batch
// says one thing of a row: where several changes of a row count, they go into
// batches that follow one another. Rows that have lost a column since, it tells as
// they are, like those that a migration has made. If they have more bytes than size
// the error is merge.ErrTooMuch, and nothing was done.
func (s *Syncer) relayBatches(ctx context.Context, device changelog.DeviceID, first, last uint64, size int, wanted func(changelog.Digest) (bool, error)) error {
	change := func(c *changelog.Change) (bool, error) { return wanted(c.Digest()) }
	if wanted == nil {
		change = nil
	}
	var layers [][]changelog.Change
	lacking := make(map[*changelog.Table][]changelog.Key)
	err := s.withoutLock(ctx, func() (err error) {
		clear(lacking)
		altered := func(table *changelog.Table, key changelog.Key) error {
			if table != nil {
				lacking[table] = append(lacking[table], key)
			}
			return nil
		}
		layers, err = merge.Layers(ctx, s.db, device, first, last, size, change, altered)
		return err
	})
	if err != nil {
		return err
	}
	began := time.Now()
	for _, table := range s.db.Tables {
		for keys := range slices.Chunk(lacking[table], relayRows) {
			err := s.transact(ctx, func() error {
				if err := s.fold(ctx); err != nil { // what the app has written since keeps its time
					return err
				}
				_, err := s.db.NoteLacking(ctx, table, keys, wanted)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
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
