package sqlitesync

import (
	"context"
	"fmt"
	"time"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// Recovery makes the space's recovery code, in place of one made before, which
// works no longer. With the folder and this code, given to [Join], a new device
// enters as an admin when all others are lost. The code works for ever, also
// after revocations, until Recovery is called again; whoever has it and the
// folder can read everything, so it belongs on paper, in a safe. It is shown
// once. Of codes that two devices make at the same time one works. Only an admin
// can make one.
//
// A code that comes with an error is the space's all the same, and must be shown:
// the record that says so could not be written into the folder yet, or not all that
// is to follow it. The next pass does that. If there is an error and no code, or the
// program ended before it has shown one, make another: what was begun can have been
// written down, and then the code made before works no longer.
func (s *Syncer) Recovery(ctx context.Context) (text string, err error) {
	err = s.decide(ctx, "recovery", func(ctx context.Context, f *folder.Folder) error {
		code := crypto.NewCode(crypto.RecoveryCode)
		keys, err := code.RecoveryKeys()
		if err != nil {
			return err
		}
		record, err := s.roster.NewJoin(s.keys.entry().Device, s.keys.entry().Epochs, keys, s.now())
		if err != nil {
			return err
		}
		err = s.enact(ctx, f, record)
		if s.records[record.Hash().String()] == nil {
			return err
		}
		text = code.Text() // what was written down goes out, and the code made before works no longer
		if err == nil {
			err = s.closeBranches(ctx, f) // what did not fit the one record
		}
		return err
	})
	return text, err
}

// recoveryExpiry is how long the invite is open that the recovery key writes for
// a device that enters at once.
const recoveryExpiry = time.Hour

// admitByRecovery makes the keys of a device that the recovery key invites and
// that admits itself by this invite. Nothing vouches for the folder but that it
// knows the code: it may show an older state.
func admitByRecovery(f *folder.Folder, code *crypto.Code, now uint64) (*admission, error) {
	recovery, err := code.RecoveryKeys()
	if err != nil {
		return nil, err
	}
	records, err := readRecords(f)
	if err != nil {
		return nil, err
	}
	roster, err := findSpace(records, recovery)
	if err != nil {
		return nil, err
	}
	epochs, err := roster.OpenEpochs(recovery, nil)
	if len(epochs) == 0 || epochs[len(epochs)-1].ID() != roster.CurrentEpoch() {
		return nil, fmt.Errorf("%w: it does not open the current epoch: %w", ErrCode, err)
	}
	invite, err := crypto.NewCode(crypto.InviteCode).InviteKeys()
	if err != nil {
		return nil, err
	}
	device, err := crypto.NewDeviceKeys()
	if err != nil {
		return nil, err
	}
	record, err := roster.NewInvite(recovery, invite, crypto.Admin, now, now+uint64(recoveryExpiry.Milliseconds()))
	if err != nil {
		return nil, err
	}
	records = append(records, record)
	invited, err := crypto.ReadRoster(roster.Space(), records)
	if err != nil {
		return nil, err
	}
	admit, err := invited.NewAdmit(invite, record.Hash(), device, now)
	if err != nil {
		return nil, err
	}
	return &admission{roster.Space(), crypto.Admin, roster, device, epochs, append(records, admit)}, nil
}

// findSpace returns the roster of the space that has the recovery key. Only its
// owner can have made a record with the key in it.
func findSpace(records []*crypto.Record, recovery *crypto.DeviceKeys) (*crypto.Roster, error) {
	tried := make(map[crypto.SpaceID]bool)
	for _, record := range records {
		space := record.SpaceID()
		if !setsRecovery(record, recovery) || tried[space] {
			continue
		}
		tried[space] = true
		roster, err := crypto.ReadRoster(space, records)
		if err != nil {
			return nil, err
		}
		if keys, ok := roster.Recovery(); ok && keys == recovery.Public() {
			if err := roster.Supported(); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrFormat, err)
			}
			return roster, nil
		}
	}
	if len(tried) > 0 {
		return nil, fmt.Errorf("%w: a newer recovery code has replaced it, or the folder has not been downloaded completely", ErrCode)
	}
	return nil, fmt.Errorf("%w: it is not the recovery code of the space in the folder, or the folder has not been downloaded completely", ErrCode)
}

func setsRecovery(record *crypto.Record, recovery *crypto.DeviceKeys) bool {
	var key *crypto.RecoveryKey
	switch body := record.Body.(type) {
	case *crypto.Found:
		key = body.Recovery
	case *crypto.Join:
		key = body.Recovery
	}
	return key != nil && key.ID() == recovery.ID()
}
