package sqlitesync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A log is lost when the folder does not have it as far as it was merged here, under
// whatever names. This is about noticing; relay.go about what is done.

// lostLog is what is known of a log that the folder does not have as far as it
// was merged here.
type lostLog struct {
	since   time.Time
	relayed uint64 // the newest batch that this device has relayed
	carried bool   // what it had relayed of others is looked for, or was
}

func (l lostLog) save(ctx context.Context, c *changelog.Conn, device DeviceID) error {
	return save(ctx, c, lostSetting(device), fmt.Sprint(l.since.UnixMilli(), " ", l.relayed, " ", l.carried))
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
			var read int
			if read, err = fmt.Sscan(text, &since, &l.relayed, &l.carried); read == 2 {
				err = nil // it was written by an earlier version
			}
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
		} else if err := s.readBranch(ctx, f, r); err != nil {
			return err
		}
	}
	now := s.environment.Now()
	for device := range missing {
		if s.hasSuccessor(device) { // a copy went on, and this may be the only device that has read what the other branch had
			if err := s.noteBranches(ctx, device, s.seen[changelog.DeviceID(device)]); err != nil {
				return err
			}
		}
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
	before, err := s.loadOpened(ctx, r.device)
	if err != nil {
		return false, err
	}
	if !before.looked.After(now) && now.Sub(before.looked) < relayTurn && (byName || before.looks == s.looks(f, r, before.stands)) {
		return before.stands, nil
	}
	found := openedLog{looked: now}
	standing, gone := s.looks(f, r, true), s.looks(f, r, false) // now: what changes while it is read is read again
	if found.stands = s.readsOn(ctx, f, r, byName); found.stands {
		found.looks = standing
	} else {
		found.looks = gone
	}
	if err := ctx.Err(); err != nil { // then that says nothing
		return false, err
	}
	return found.stands, s.saveOpened(ctx, r.device, found)
}

// looks returns what a log that has ended looks like, and what is accepted of it. What
// stood is not looked at file by file.
func (s *Syncer) looks(f *folder.Folder, r *reading, stood bool) string {
	hash := sha256.New()
	fmt.Fprint(hash, r.log.Writes, r.log.From, r.log.Cut, r.log.Last, r.log.Files, r.vouched, r.known, r.names)
	if !stood {
		fmt.Fprint(hash, s.sizes(f, r))
	}
	return hex.EncodeToString(hash.Sum(nil))
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
