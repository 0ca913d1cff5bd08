package sqlitesync

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
)

// Devices that have read the same logs know the same, or one of them, or this
// program, is wrong. Every head carries digests of what its device knows beside
// the vector of what it has read, so that this is noticed in the field.

// Divergence is a table of which another device knows something else than this
// one, although both have read the same. [Syncer.Verify], called on both, names
// the rows.
type Divergence struct {
	Device DeviceID
	Table  string
	// Ranges are the ranges of keys in which they differ, in ascending order. There
	// are none until the other device has noticed it too, and has told.
	Ranges []KeyRange
	Since  time.Time // when it was noticed
}

// maxDigests bounds how many tables a head has digests of.
const maxDigests = 4096

// knowledge is what a device has read and written, and the digests of what it
// knows, both as heads carry them.
type knowledge struct {
	seen    map[string]uint64
	logs    string            // stands for what the logs are of which that was read
	digests map[string]string // nil if they say nothing yet
}

// knowledge returns that of this device. Tables of which it knows not all that
// stands in the logs are left out.
func (s *Syncer) knowledge(ctx context.Context) (*knowledge, error) {
	positions, err := s.db.Positions(ctx)
	if err != nil {
		return nil, err
	}
	known := &knowledge{seen: map[string]uint64{s.identity.device.String(): 0}, logs: logsOf(positions)}
	for _, log := range positions {
		known.seen[log.Device.String()] = log.Batch
	}
	if behind, err := s.inArrears(ctx, known.seen); err != nil || behind {
		return known, err
	}
	stored, err := merge.Digests(ctx, s.db, !s.looking)
	if err != nil {
		return nil, err
	}
	tables := s.comparable(stored)
	known.digests = make(map[string]string)
	for _, table := range tables[:min(len(tables), maxDigests)] {
		rows := table.Put.Rows()
		known.digests[rows] = stored[rows].Digest.String()
	}
	return known, nil
}

// logsOf returns what stands for the logs as far as a device has read and written them. Two copies of a device give the same numbers
// to different batches until they meet: who has read the one knows other things, by right, than who has read the other.
func logsOf(positions []changelog.LogPosition) string {
	hash := sha256.New()
	hash.Write([]byte("sqlitesync/logs/v1"))
	for _, log := range positions {
		hash.Write(log.Device[:])
		hash.Write(binary.BigEndian.AppendUint64(nil, log.Batch))
		hash.Write(log.Tail[:])
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// comparable returns the tables of which this device knows what every device does
// that has read as much.
func (s *Syncer) comparable(stored map[string]changelog.StoredDigest) []*changelog.Table {
	return slices.DeleteFunc(slices.Clone(s.db.Tables), func(table *changelog.Table) bool {
		unsent := table.Phase == changelog.PhaseUnsent && !s.reads() // others may know the rows: a baseline can go out again
		return stored[table.Put.Rows()].Apart || !s.knowsAll(table) || unsent
	})
}

// knowsAll reports whether the clocks of a table tell of all that was read of it.
func (s *Syncer) knowsAll(table *changelog.Table) bool {
	stale := func(stale changelog.Stale) bool { return stale.Table == table }
	return !table.Incomplete && table.Unwritable == "" && table.Phase != changelog.PhaseNew && !slices.ContainsFunc(s.db.Stale, stale)
}

// diverged compares what other devices said they know, where they said that they
// had read just what this one has, with what this one knows. It notes in the
// readings which devices have said so.
func (s *Syncer) diverged(known *knowledge, readings map[DeviceID]clockReading) (diverged []Divergence) {
	for _, device := range inOrder(readings) {
		reading := readings[device]
		reading.level, reading.differs = reading.head != nil && sameVector(reading.head.Seen, known.seen), false
		if reading.level && reading.head.Logs != "" && reading.head.Logs != known.logs {
			reading.level = false
			if fork := known.logs + reading.head.Logs; reading.fork != fork && !s.forksLooked {
				s.looked = nil // the next pass looks for it
			} else {
				reading.fork = fork
			}
		}
		if reading.level {
			for _, table := range s.db.Tables {
				rows := table.Put.Rows()
				if theirs, there := reading.head.Digests[rows]; there && known.digests[rows] != "" && known.digests[rows] != theirs {
					reading.differs = true
					diverged = append(diverged, Divergence{Device: device, Table: table.Name, Since: s.environment.Now()})
				}
			}
		}
		readings[device] = reading
	}
	return diverged
}

// lookForDivergence makes it the state of things what has diverged. Of a device
// that has read something else since, what was found before stands.
func (s *Syncer) lookForDivergence(ctx context.Context, known *knowledge) error {
	diverged := s.diverged(known, s.clocks)
	var err error
	if len(diverged) > 0 {
		var apart bool
		if apart, err = s.wentAstray(ctx); apart {
			known.digests = nil
			diverged = s.diverged(known, s.clocks)
		}
	}
	for i := range diverged {
		d := &diverged[i]
		table := s.db.Table(changelog.CanonicalName(d.Table))
		if theirs, there := s.clocks[d.Device].head.Ranges[table.Put.Rows()]; there && err == nil {
			d.Ranges, err = s.differing(ctx, known, table, theirs)
		}
	}
	before := s.Status().Diverged
	for _, d := range before {
		if reading, there := s.clocks[d.Device]; there && !reading.level {
			diverged = append(diverged, d)
		}
	}
	s.tellDivergence(before, diverged)
	return err
}

// wentAstray looks for logs of which this device can have read two branches: it went on inside of a range, where tails are not known, so
// that unequal digests are the first to tell. If such a device goes on as another one, that says what stood in the other branch, and
// the digests are not to be compared. If none does, this device can be the only one to know that, and publishes it in time.
func (s *Syncer) wentAstray(ctx context.Context) (apart bool, err error) {
	devices, err := devicesOf(ctx, s.handle.conn, "forked")
	if err != nil || len(devices) == 0 {
		return false, err
	}
	err = s.transact(ctx, func() error {
		for _, name := range devices {
			device, err := crypto.ParseDeviceID(name)
			switch {
			case err != nil:
			case s.hasSuccessor(device):
				apart, err = true, s.db.SetAllApart(ctx)
			default:
				err = s.noteBranches(ctx, device, s.seen[changelog.DeviceID(device)])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return apart && err == nil, err
}

// sameVector reports whether two devices have read the same. That nothing was read
// of a device need not be said.
func sameVector(a, b map[string]uint64) bool {
	within := func(a, b map[string]uint64) bool {
		for device, batch := range a {
			if b[device] != batch {
				return false
			}
		}
		return true
	}
	return within(a, b) && within(b, a)
}

// tellDivergence makes what has diverged the state of things, and tells what is
// new about it. Where a log has forked it is read again, and then all is as it
// should be: a pass that has not looked for that leaves what is new to the next.
func (s *Syncer) tellDivergence(before, diverged []Divergence) {
	tables := make(map[DeviceID][]string)
	told := diverged[:0]
	for _, d := range diverged {
		at := slices.IndexFunc(before, func(b Divergence) bool { return b.Device == d.Device && b.Table == d.Table })
		switch {
		case at >= 0:
			d.Since = before[at].Since
		case !s.forksLooked:
			s.looked = nil
			continue
		default:
			s.log.Error("two devices know different things although they have read the same", "device", d.Device, "table", d.Table)
			tables[d.Device] = append(tables[d.Device], d.Table)
		}
		told = append(told, d)
	}
	s.state.update(func(st *Status) { st.Diverged = told })
	for device, names := range tables {
		slices.Sort(names)
		s.events.send(Event{Kind: EventDiverged, Device: device, Tables: names})
	}
}
