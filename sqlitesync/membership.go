package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// loadRoster computes the roster from the records that this device has seen.
func (s *Syncer) loadRoster(ctx context.Context) error {
	rows, err := s.handle.conn.Query(ctx, "SELECT data FROM sqlitesync_records")
	if err != nil {
		return err
	}
	defer rows.Close()
	s.records = make(map[string]*crypto.Record)
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		record, err := crypto.ParseRecord(data)
		if err != nil {
			return fmt.Errorf("record in the database: %w", formatError(err))
		}
		s.records[record.Hash().String()] = record
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := s.computeRoster(); err != nil {
		return err
	}
	if err := s.checkMembership(); err != nil && !s.canEnd(err) {
		return err
	}
	return nil
}

// canEnd reports whether what stops this device is the word of one that it can
// revoke, which ends that. No pass goes on, but [Syncer.Revoke] must be reached.
func (s *Syncer) canEnd(err error) bool {
	stop := (*crypto.KindError)(nil)
	if !errors.As(err, &stop) {
		return false
	}
	self, _ := s.roster.Member(s.identity.device)
	author, member := s.roster.Member(stop.Author)
	return self.Role == crypto.Admin && member && self.Seniority < author.Seniority
}

func (s *Syncer) computeRoster() error {
	roster, err := s.rosterWith()
	if err != nil {
		return err
	}
	s.roster, s.succeeded = roster, make(map[DeviceID]bool)
	for _, record := range s.records {
		if _, succeeds := record.Body.(*crypto.Succeed); succeeds && roster.Has(record.Hash()) {
			s.succeeded[record.Author] = true
		}
	}
	return nil
}

// rosterWith computes the roster with more records than this device has written
// down. What it can't be computed with must not be: it could not be opened again.
func (s *Syncer) rosterWith(fresh ...*crypto.Record) (*crypto.Roster, error) {
	return crypto.ReadRoster(s.identity.space, slices.Concat(slices.Collect(maps.Values(s.records)), fresh))
}

// takeRoster computes the roster, and takes the epochs that it hands to this
// device: before anything can be sealed for them.
func (s *Syncer) takeRoster(ctx context.Context) error {
	if err := s.computeRoster(); err != nil {
		return err
	}
	return s.adoptEpochs(ctx)
}

// adoptEpochs saves the epochs that the roster hands to this device. What a
// damaged wrap holds is missed when something is to be read with it.
func (s *Syncer) adoptEpochs(ctx context.Context) error {
	epochs, err := s.roster.OpenEpochs(s.keys.entry().Device, s.keys.entry().Epochs)
	if err != nil {
		s.log.Warn("an epoch in the roster can't be opened", "err", err)
	}
	return s.keys.keep(ctx, s.openFormerEpochs(ctx, epochs))
}

// epoch returns the key of an epoch. A member may have sealed for one whose record
// was overruled since: such keys are looked for when they are needed.
func (s *Syncer) epoch(id crypto.EpochID) (*crypto.Epoch, error) {
	if epoch := s.keys.entry().Epoch(id); epoch != nil {
		return epoch, nil
	}
	if s.keys.entry().Device == nil { // a database without its keys is looked at
		return nil, fmt.Errorf("%w: this device's keys are not here", crypto.ErrWrongKey)
	}
	epoch, err := s.roster.FindEpoch(s.keys.entry().Device, id)
	if err != nil {
		return nil, fmt.Errorf("its key is not known here: %w", err)
	}
	return epoch, nil
}

// enact makes records of this device part of the roster, here and in the folder:
// all of them, or none. They are durable here first: should the folder not take
// them, the next pass tries again, and the error says that it is decided.
func (s *Syncer) enact(ctx context.Context, f *folder.Folder, records ...*crypto.Record) error {
	if _, err := s.rosterWith(records...); err != nil {
		return undecidable(s.identity.device, err)
	}
	err := s.handle.conn.Transact(ctx, changelog.Durable, func() error { return s.remember(ctx, records...) })
	if err != nil {
		return err
	}
	s.know(records...)
	err = s.takeRoster(ctx)
	for _, record := range records {
		if err == nil {
			err = s.publishRecord(ctx, f, record)
		}
	}
	if err != nil {
		return fmt.Errorf("it is decided, and the next pass tells the others: %w", err)
	}
	return nil
}

// undecidable is the error about a decision with which the roster can't be computed.
func undecidable(device DeviceID, err error) *Error {
	return &Error{Op: "write the roster", Device: device, Err: err,
		Hint: "The space has as many decisions about its members as it can have. Sync goes on; to decide more, found a new space."}
}

// checkMembership makes sure that this device may go on. It is asked at every
// pass, because the records that say no are remembered for good.
func (s *Syncer) checkMembership() error {
	if err := s.roster.Supported(); err != nil {
		// It may be a revocation: going on could mean trusting the revoked.
		e := &Error{Op: "read roster", Err: fmt.Errorf("%w: %w", ErrFormat, err),
			Hint: "Update the app: a newer version of it has written into the folder. If there is none, someone has the keys of the device that this error names: revoke it, on the device that has been an admin for longest."}
		if kind := (*crypto.KindError)(nil); errors.As(err, &kind) {
			e.Device = kind.Author
		}
		return e
	}
	if _, member := s.roster.Member(s.identity.device); !member {
		if _, was := s.roster.Log(s.identity.device); was {
			return &Error{Op: "read roster", Device: s.identity.device, Err: fmt.Errorf("%w: this device was revoked", ErrNotMember),
				Hint: "The space has removed this device. Its rows are kept here; to take part again, Uninstall, then Join with a new code."}
		}
		if len(s.formerDevices()) > 0 { // by a record that does not count: that one could admit nobody any more, and neither knew
			return &Error{Op: "read roster", Device: s.identity.device, Err: ErrNotMember,
				Hint: "This database was restored from a backup of the time before the device that it was then was revoked, or got another role, so it can't continue that one. " +
					"Its rows are kept here; to take part again, Uninstall, then Join with a new code and MergeExisting."}
		}
		return &Error{Op: "read roster", Device: s.identity.device, Err: ErrNotMember,
			Hint: "The space does not know this device: its code was used by another one, or its record has been lost. Uninstall, then Join with a new code; rows are kept."}
	}
	return nil
}

// announceMembers tells who has entered or left since the roster before.
func (s *Syncer) announceMembers(before *crypto.Roster) {
	for _, member := range s.roster.Members() {
		if _, known := before.Member(member.ID); !known {
			s.log.Info("device admitted", "device", member.ID)
			s.events.send(Event{Kind: EventMember, Device: member.ID})
		}
	}
	for _, member := range before.Members() {
		if _, known := s.roster.Member(member.ID); !known {
			s.log.Info("device is no member any more", "device", member.ID)
			s.events.send(Event{Kind: EventMember, Device: member.ID})
		}
	}
}

// now returns the time as records hold it.
func (s *Syncer) now() uint64 { return uint64(max(0, s.environment.Now().UnixMilli())) }
