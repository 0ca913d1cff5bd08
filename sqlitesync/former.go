package sqlitesync

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/sqlitesync/go/crypto"
)

// openFormerEpochs adds to epochs those that the roster hands to a device which this database has been before, and not to this
// one: who wrote such a record did not know yet that the database goes on as another device, nor did that one know the record, if
// the folder was not there. Where no other admin has the epoch, nobody could hand it out once more.
func (s *Syncer) openFormerEpochs(ctx context.Context, epochs []*crypto.Epoch) []*crypto.Epoch {
	for _, former := range s.formerDevices() {
		missed := func(w crypto.WrappedEpoch) bool {
			return !slices.ContainsFunc(epochs, func(e *crypto.Epoch) bool { return e.ID() == w.ID }) &&
				slices.ContainsFunc(w.Wraps, func(wrap crypto.Wrap) bool { return wrap.Member == former })
		}
		if !slices.ContainsFunc(s.roster.Epochs(), missed) {
			continue
		}
		keys, err := loadKeys(ctx, s.options.Keys, identity{device: former, space: s.identity.space})
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotMember) {
			continue // they were left behind, or removed
		}
		if err == nil {
			epochs, err = s.roster.OpenEpochs(keys.entry().Device, epochs)
		}
		if err != nil {
			s.log.Warn("an epoch that was handed to a former device can't be opened", "device", former, "err", err)
		}
	}
	return epochs
}

// formerDevices returns the devices that this one continues: the one whose keys have admitted it, the one before that, and so on.
func (s *Syncer) formerDevices() (former []DeviceID) {
	admitted := make(map[DeviceID]DeviceID)
	for _, record := range s.records {
		if body, succeeds := record.Body.(*crypto.Succeed); succeeds {
			admitted[body.Keys.ID()] = record.Author
		}
	}
	device := s.identity.device
	for before, is := admitted[device]; is; before, is = admitted[device] {
		former = append(former, before)
		delete(admitted, device) // or two that name each other would be asked for ever
		device = before
	}
	return former
}
