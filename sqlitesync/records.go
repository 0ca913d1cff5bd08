package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// maxRecord is FORMAT.md's limit for a record file, with its envelope.
const maxRecord = 300 << 10

// rememberAll puts the records that are known and not in the database into it: it
// can be a backup that was copied over the one that had them, and what this device
// writes into the roster follows on them.
func (s *Syncer) rememberAll(ctx context.Context) error {
	missing := maps.Clone(s.records)
	rows, err := s.handle.conn.Query(ctx, "SELECT hash FROM sqlitesync_records")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			return err
		}
		delete(missing, hash)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(missing) == 0 {
		return err
	}
	return s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		return s.remember(ctx, slices.Collect(maps.Values(missing))...)
	})
}

// publishRecord writes a record into the folder, through this device's directory,
// in which it takes shape.
func (s *Syncer) publishRecord(ctx context.Context, f *folder.Folder, record *crypto.Record) error {
	if err := s.ownDirectory(ctx, f); err != nil {
		return err
	}
	err := s.own(f).PublishRecord(record.Hash().String(), record.File())
	switch {
	case errors.Is(err, folder.ErrTwin): // of one hash there is one record
		return spoiltRecord(record.Hash().String(), fmt.Errorf("%w: %w", ErrFolder, err))
	case err != nil:
		return s.publishFault(err, 0)
	}
	return nil
}

// remember stores records for good: what this device has seen of the roster
// never gets less, whatever becomes of the folder. They are known once that is
// committed, and not before: a record that is known is not read again, and goes
// out to the folder. It writes.
func (s *Syncer) remember(ctx context.Context, records ...*crypto.Record) error {
	for _, record := range records {
		_, err := s.handle.conn.Exec(ctx, "INSERT INTO sqlitesync_records (hash, data) VALUES (?, ?) ON CONFLICT DO NOTHING",
			record.Hash().String(), record.File())
		if err != nil {
			return err
		}
	}
	return nil
}

// know notes that records are remembered.
func (s *Syncer) know(records ...*crypto.Record) {
	for _, record := range records {
		s.records[record.Hash().String()] = record
	}
}

// exchangeRecords reads the records that are new in the folder and puts back
// those that this device knows and the folder has lost.
func (s *Syncer) exchangeRecords(ctx context.Context, f *folder.Folder, p *problems) error {
	standing, err := s.readRecords(ctx, f, p)
	if err != nil {
		return err
	}
	return s.publishRecords(ctx, f, standing)
}

// publishRecords puts into the folder what this device knows and is not among the
// records that stand there.
func (s *Syncer) publishRecords(ctx context.Context, f *folder.Folder, standing []string) error {
	known := maps.Clone(s.records)
	for _, name := range standing {
		delete(known, name)
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if err := s.publishRecord(ctx, f, known[name]); err != nil {
			return err
		}
	}
	return nil
}

// readRecords reads the records that are new in the folder, and returns the names of
// all that stand there.
func (s *Syncer) readRecords(ctx context.Context, f *folder.Folder, p *problems) (standing []string, err error) {
	standing, err = f.Records()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &Error{Op: "read roster", Path: "roster", Err: fmt.Errorf("%w: %w", ErrFolder, err), Hint: hint(err)}
	}
	s.lookForSpoiltRecords(f, standing, p)
	return standing, s.takeRecords(ctx, s.refuse(s.freshRecords(f, standing, strayRecords(f), p), p))
}

// strayRecords returns the files that may be records under other names. None waits for them if they can't be listed.
func strayRecords(f *folder.Folder) map[string][]string {
	strays, err := f.StrayRecords()
	if err != nil {
		return nil
	}
	return strays
}

// withStrays returns the names of records, and those of records that stand under other names only.
func withStrays(names []string, strays map[string][]string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.AppendSeq(slices.Clone(names), maps.Keys(strays)))))
}

// lookForSpoiltRecords tells which records that this device knows are not as long any
// more as they are, once in a while: it costs a system call for each. Nobody who has
// read them reads them again, and nobody enters without them.
func (s *Syncer) lookForSpoiltRecords(f *folder.Folder, standing []string, p *problems) {
	look := s.badRecords // they are looked at in each pass: what was told holds until it is mended
	if s.environment.Since(s.rosterTime) >= headInterval {
		s.rosterTime, look = s.environment.Beat(), standing
	}
	s.badRecords = nil
	for _, name := range look {
		record := s.records[name]
		if record == nil {
			continue
		}
		size, err := f.RecordSize(name)
		if err == nil && size != int64(len(record.File())) {
			err = fmt.Errorf("%w: it has %d bytes instead of %d", crypto.ErrDamaged, size, len(record.File()))
		}
		if errors.Is(err, folder.ErrNotRegular) || errors.Is(err, crypto.ErrDamaged) {
			s.badRecords = append(s.badRecords, name)
			p.add(spoiltRecord(name, err))
		}
	}
}

// spoiltRecord is the error about a record whose file is not what its name says.
func spoiltRecord(name string, err error) *Error {
	return &Error{Op: "read record", Path: "roster/" + name, Err: formatError(err),
		Hint: "The file is damaged, or has not been downloaded completely. If it stays so, remove it: each device that has read the record puts it back. Without it no new device can enter."}
}

// takeRecords makes records of the folder part of the roster here.
func (s *Syncer) takeRecords(ctx context.Context, fresh []*crypto.Record) error {
	if len(fresh) == 0 {
		if s.keys.entry().Epoch(s.roster.CurrentEpoch()) == nil { // the KeyStore may have failed when it was handed out
			return s.adoptEpochs(ctx)
		}
		return nil
	}
	before := s.roster
	err := s.handle.conn.Transact(ctx, changelog.Durable, func() error { return s.remember(ctx, fresh...) })
	if err != nil {
		return err
	}
	s.know(fresh...)
	for _, record := range fresh {
		if _, succeeds := record.Body.(*crypto.Succeed); succeeds {
			delete(s.looked, record.Author) // its log may have forked: look at once
		}
	}
	if err := s.computeRoster(); err != nil {
		return err
	}
	s.announceMembers(before) // now: these records are never read again, whether the epochs can be saved or not
	return s.adoptEpochs(ctx)
}

// freshRecords reads the records that are not known. Who has no key can plant as
// many as there is room for: a pass reads some, and the next one goes on from
// there.
func (s *Syncer) freshRecords(f *folder.Folder, standing []string, strays map[string][]string, p *problems) (fresh []*crypto.Record) {
	names := withStrays(standing, strays)
	size, start := 0, s.nextRecord
	s.nextRecord = 0
	for i := range names {
		at := (start + i) % len(names)
		name := names[at]
		if s.records[name] != nil {
			continue
		}
		if size > maxFresh {
			s.nextRecord = at
			p.add(&Error{Op: "read roster", Path: "roster", Err: fmt.Errorf("%w: more than %d MiB of records that nobody knows", ErrFolder, maxFresh>>20),
				Hint: "Someone has filled the folder. They are read bit by bit; remove those that Status names as refused."})
			break
		}
		record, err := readRecord(f, name, strays[name])
		if err != nil && !slices.Contains(standing, name) {
			continue // something under another name that is no record
		}
		if err != nil {
			p.add(spoiltRecord(name, err))
			continue
		}
		size += len(record.File())
		fresh = append(fresh, record)
	}
	return fresh
}

// maxFresh bounds the records that a pass has in memory and that are not known, in
// bytes.
const maxFresh = 48 << 20

// refuse returns those of the fresh records that are part of the space's history.
// What is not, because it belongs elsewhere, is forged, or waits for others, is
// looked at again by the next pass. It must not be remembered: anyone who can
// write into the folder can make any number of such records. [Status].Refused
// tells of them, and of those that have no effect.
func (s *Syncer) refuse(fresh []*crypto.Record, p *problems) []*crypto.Record {
	roster, err := s.roster, error(nil)
	if len(fresh) > 0 {
		roster, err = s.rosterWith(fresh...)
	}
	if err != nil {
		p.add(&Error{Op: "read roster", Path: "roster", Err: err,
			Hint: "Someone has flooded the folder with records. What is known of the members so far goes on to hold."})
		return nil
	}
	var refused []Refused
	stops := make(map[crypto.RecordHash]bool) // they must stop this device when the folder has lost them, too
	for _, r := range roster.Refused() {
		if len(refused) < maxListed {
			refused = append(refused, Refused{Path: "roster/" + r.Record.String(), Device: r.Author, Reason: r.Reason.String()})
		}
		stops[r.Record] = r.Reason == crypto.ReasonKind
	}
	var before []Refused
	s.state.update(func(st *Status) { before, st.Refused = st.Refused, refused })
	for _, r := range refused {
		if !slices.Contains(before, r) {
			s.log.Warn("membership record without effect", "path", r.Path, "device", r.Device, "reason", r.Reason)
			s.events.send(Event{Kind: EventRefused, Device: r.Device})
		}
	}
	return slices.DeleteFunc(fresh, func(r *crypto.Record) bool { return !roster.Has(r.Hash()) && !stops[r.Hash()] })
}

// readRecord reads a record file, whose name is the hash of what it says, or one of those that may be the record under other names.
func readRecord(f *folder.Folder, name string, strays []string) (*crypto.Record, error) {
	var record *crypto.Record
	data, err := f.ReadRecord(name, maxRecord)
	if err == nil {
		record, err = parseRecord(name, data)
	}
	for _, stray := range strays {
		if err == nil {
			break
		}
		data, failed := f.ReadStray(stray, maxRecord)
		if failed == nil {
			record, failed = parseRecord(name, data)
		}
		if failed == nil || errors.Is(err, fs.ErrNotExist) {
			err = failed
		}
	}
	return record, err
}

// parseRecord reads a record that has this name in the folder.
func parseRecord(name string, data []byte) (*crypto.Record, error) {
	record, err := crypto.ParseRecord(data)
	if err != nil {
		return nil, err
	}
	if record.Hash().String() != name {
		return nil, fmt.Errorf("%w: its name is not its hash", crypto.ErrDamaged)
	}
	return record, nil
}
