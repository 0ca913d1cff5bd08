package sqlitesync

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A device that was revoked can write its log anew, with other rows, below the cut.
// Who has the record accepts none of it. Who was not told yet, and had not read the
// log before, takes it for the log: it would lack rows that all others have, and show
// rows that nobody else does, for ever. Two branches of a log are as bad, if the
// device shows each to some.
//
// Nobody has to take back what it has merged. So, once it learns of the cut, such a
// reader reads all logs again, and publishes in its own what it knows and stands in
// none: then all have merged the same. It is known for what it is by the hashes of
// the ranges that it has read, which the cut does not list, and by forks: what it had
// read when it went on inside of a range could be one.
//
//	setting "taken <device> <name>"   a range was read; its value is the hash of the file
//	setting "forked <device>"         two branches of the log were read, or could have been, or more ranges than are remembered one by one;
//	                                  its value is the first batch of these
//	setting "unmet"                   something was published that stood in none: if a part of this device's log is lost, all are read
//	                                  once more for it
//	setting "read again"              all logs are to be read again, and what stands in none goes out then

// maxTaken is how many ranges of a log are remembered one by one. At rest a log has no more; and a device that is behind
// every day reads others each time.
const maxTaken = 64

// noteTaken notes which ranges were read. It writes.
func (s *Syncer) noteTaken(ctx context.Context, r *reading, next *group) error {
	forked, err := loadNumber(ctx, s.handle.conn, forkedSetting(r.device))
	if err != nil {
		return err
	}
	for _, taken := range next.ranges {
		if forked != 0 && forked <= taken.name.First {
			continue // whatever becomes of the device, that says as much
		}
		if err := save(ctx, s.handle.conn, takenSetting(r.device)+taken.name.String(), hex.EncodeToString(taken.hash[:])); err != nil {
			return err
		}
	}
	s.judged = nil
	return s.limitTaken(ctx, r)
}

// limitTaken forgets the ranges that were read of a log if they are too many: most of them have been written anew since,
// and no cut will list them. Those that one lists already are no more than it lists. It writes.
func (s *Syncer) limitTaken(ctx context.Context, r *reading) error {
	if r.log.Cut && !r.log.Writes {
		return nil
	}
	prefix := takenSetting(r.device)
	condition := "name GLOB ? AND name >= ?"
	which := []any{prefix + "*", prefix + fmt.Sprintf("%012x", r.log.From+1)}
	var count int
	var oldest string
	err := s.handle.conn.Get(ctx, "SELECT count(*), coalesce(min(name), '') FROM sqlitesync_settings WHERE "+condition, which, &count, &oldest)
	if err != nil || count <= maxTaken {
		return err
	}
	name, _ := folder.ParseSegmentName(strings.TrimPrefix(oldest, prefix))
	if err := s.noteFork(ctx, r.device, name.First); err != nil {
		return err
	}
	_, err = s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE "+condition, which...)
	return err
}

// noteFork notes that a log has forked, or may have, at a batch. It writes.
func (s *Syncer) noteFork(ctx context.Context, device DeviceID, batch uint64) error {
	s.judged = nil
	before, err := loadNumber(ctx, s.handle.conn, forkedSetting(device))
	if err != nil || before != 0 && before <= batch {
		return err
	}
	return saveNumber(ctx, s.handle.conn, forkedSetting(device), batch)
}

func takenSetting(device DeviceID) string  { return "taken " + device.String() + " " }
func forkedSetting(device DeviceID) string { return "forked " + device.String() }

// readAgainInterval is how often all logs are read again for it while some of them can't
// be read to the end.
const readAgainInterval = time.Hour

// lookForMisleading compares what was read with the cuts of devices that may not
// write, or not any more, and reports whether all logs are to be read again for it
// now. Most often that finds nothing: cuts do not list ranges that were written anew
// before.
func (s *Syncer) lookForMisleading(ctx context.Context) (misled bool, err error) {
	if s.judged != s.roster {
		if err := s.transact(ctx, func() error { return s.judgeTaken(ctx) }); err != nil {
			return false, err
		}
		s.judged = s.roster
	}
	if s.environment.Since(s.readAgainLast) < readAgainInterval {
		return false, nil
	}
	err = s.handle.conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM sqlitesync_settings WHERE name = 'read again')", nil, &misled)
	return misled, err
}

// judgeTaken notes whether anything was read that no cut lists, and forgets what that
// was. It writes.
func (s *Syncer) judgeTaken(ctx context.Context) error {
	rows, err := s.handle.conn.Query(ctx, "SELECT name, value FROM sqlitesync_settings WHERE name GLOB 'taken *' OR name GLOB 'forked *'")
	if err != nil {
		return err
	}
	defer rows.Close()
	var unlisted []string
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		words := strings.Fields(name)
		device, err := crypto.ParseDeviceID(words[1])
		if err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		if log, known := s.roster.Log(device); known && log.Cut && !accepts(&log, words[2:], value) {
			unlisted = append(unlisted, name)
		}
	}
	if err := rows.Err(); err != nil || len(unlisted) == 0 {
		return err
	}
	for _, name := range unlisted {
		if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = ?", name); err != nil {
			return err
		}
	}
	return s.readAllAgain(ctx)
}

// readAllAgain notes that all logs are to be read again by the next pass. It writes.
func (s *Syncer) readAllAgain(ctx context.Context) error {
	s.readAgainLast = time.Time{}
	return save(ctx, s.handle.conn, "read again", "")
}

// accepts reports whether a log that was cut has the range of this name, with a file
// of this hash; or, without a name, whether it has all batches from this one on: those
// that the device has written since it may write again.
func accepts(log *crypto.Log, file []string, value string) bool {
	if len(file) == 0 {
		first, err := strconv.ParseUint(value, 10, 64)
		return err == nil && log.Writes && first > log.From
	}
	name, _ := folder.ParseSegmentName(file[0])
	hash, err := hex.DecodeString(value)
	if err != nil || len(hash) != len(crypto.FileHash{}) {
		return false
	}
	return log.Accepts(&crypto.SegmentHeader{First: name.First, Last: name.Last, Generation: name.Generation}, crypto.FileHash(hash), 0)
}

// relayUnmet publishes what counts here, under the stamps that it has, but for what
// stands in the logs that were read. A stamp can name any device and batch: one that
// nobody has heard of, and this one, which says under a new batch of its own what it
// is said to have written.
func (s *Syncer) relayUnmet(ctx context.Context, met *digestSet) error {
	if s.reads() {
		return nil
	}
	unmet := func(change changelog.Digest) (bool, error) {
		there, err := met.has(ctx, change)
		return !there, err
	}
	before, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	noted, err := load(ctx, s.handle.conn, "unmet")
	if err == nil {
		err = save(ctx, s.handle.conn, "unmet", "published") // before it is: the process may end in between
	}
	if err != nil {
		return err
	}
	for _, author := range s.db.Devices() {
		weights, err := s.db.Weigh(ctx, author)
		if err != nil {
			return err
		}
		if err := s.relaySteps(ctx, author, 0, crypto.MaxBatch, weights, unmet); err != nil {
			return err
		}
	}
	after, _, err := s.db.Position(ctx, s.self())
	if err != nil || after != before || noted != "" {
		return err
	}
	_, err = s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = 'unmet'")
	return err
}
