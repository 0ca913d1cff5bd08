package sqlitesync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// A range is without what newer changes overrule. Its author had these; who reads
// the range may not have them yet, and knows less until then than who has read the
// segments before they were written anew. So a device that has read ranges keeps
// its digests to itself until it has read all that their authors had. How much that
// was, says a head of the author that lists the range, or one that this was written
// into: it is newer than the range. It says as well of which tables the ranges may lack
// what nothing overrules (remade.go).
//
//	setting "range <device> <name>"   the range was read, and no such head yet
//	setting "arrears"                 what the authors of all other ranges had read

// noteRanges notes the ranges of another device that were read. It writes.
func (s *Syncer) noteRanges(ctx context.Context, r *reading, next *group) error {
	if len(next.ranges) == 0 || r.device == s.identity.device {
		return nil
	}
	for _, taken := range next.ranges {
		if err := save(ctx, s.handle.conn, "range "+r.device.String()+" "+taken.name.String(), ""); err != nil {
			return err
		}
	}
	return s.noteTaken(ctx, r, next)
}

// readRanges returns the names of the ranges of which no head tells yet how much
// their authors had read, by device.
func (s *Syncer) readRanges(ctx context.Context) (map[string][]string, error) {
	rows, err := s.handle.conn.Query(ctx, "SELECT substr(name, 7) FROM sqlitesync_settings WHERE name GLOB 'range *'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ranges := make(map[string][]string)
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		device, name, _ := strings.Cut(text, " ")
		ranges[device] = append(ranges[device], name)
	}
	return ranges, rows.Err()
}

// loadArrears returns what the authors of the other ranges had read.
func (s *Syncer) loadArrears(ctx context.Context) (seen map[string]uint64, err error) {
	text, err := load(ctx, s.handle.conn, "arrears")
	if err != nil || text == "" {
		return make(map[string]uint64), err
	}
	if err := json.Unmarshal([]byte(text), &seen); err != nil {
		return nil, fmt.Errorf("setting arrears: %w", err)
	}
	return seen, nil
}

// lookForArrears takes from the heads of others what the authors of ranges had read.
func (s *Syncer) lookForArrears(ctx context.Context, heads map[DeviceID]clockReading) error {
	ranges, err := s.readRanges(ctx)
	if err != nil || len(ranges) == 0 {
		return err
	}
	seen, err := s.loadArrears(ctx)
	if err != nil {
		return err
	}
	var told []string // the settings of ranges that a head is newer than
	var apart []string
	for device, reading := range heads {
		if reading.head == nil {
			continue
		}
		newer := slices.DeleteFunc(ranges[device.String()], func(name string) bool { return !reading.head.follows(name) })
		for _, name := range newer {
			told = append(told, "range "+device.String()+" "+name)
		}
		if len(newer) == 0 {
			continue
		}
		for id, batch := range reading.head.Seen {
			seen[id] = max(seen[id], batch)
		}
		apart = append(apart, reading.head.Remade[:min(len(reading.head.Remade), maxDigests)]...)
	}
	if len(told) == 0 {
		return nil
	}
	text, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	return s.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		for _, name := range told {
			if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = ?", name); err != nil {
				return err
			}
		}
		if err := s.db.SetApart(ctx, apart...); err != nil {
			return err
		}
		return save(ctx, s.handle.conn, "arrears", string(text))
	})
}

// follows reports whether the head was written after the range of this name was
// made: it lists that, or what it was written into. What the range was made of has
// lower generations.
func (h *head) follows(rangeName string) bool {
	made, _ := folder.ParseSegmentName(rangeName)
	return slices.ContainsFunc(h.Segments, func(listed headSegment) bool {
		name, ok := folder.ParseSegmentName(listed.Name)
		return ok && name.First <= made.Last && made.Last <= name.Last && name.Generation >= made.Generation
	})
}

// inArrears reports whether a device that has read this much still lacks what the
// authors of ranges had. From those that may write no more nothing will come.
func (s *Syncer) inArrears(ctx context.Context, seen map[string]uint64) (bool, error) {
	ranges, err := s.readRanges(ctx)
	if err != nil {
		return false, err
	}
	due, err := s.loadArrears(ctx)
	if err != nil {
		return false, err
	}
	for _, member := range s.roster.Members() {
		log, known := s.roster.Log(member.ID)
		id := member.ID.String()
		if known && log.Writes && (len(ranges[id]) > 0 || due[id] > seen[id]) {
			return true, nil
		}
	}
	return false, nil
}
