package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/sqlitesync/go/crypto"
)

// formerSetting is the device that this database has been before, and what was found then, until a pass has ended since. Open
// can fail, or the process end, when it is another one already and nobody could be told: then the next Open tells it.
const formerSetting = "former"

// tellSucceeded tells that this database goes on as another device than it was.
func (s *Syncer) tellSucceeded(former DeviceID, found string) {
	s.untold = true
	s.warn(fmt.Sprintf("this database was copied, or restored from a backup, for %s: it goes on as device %s, and no more as %s, which another copy may still be",
		found, s.identity.device.Short(), former.Short()))
	s.events.sendOrKeep(Event{Kind: EventSucceeded, Device: s.identity.device, Found: found})
}

// tellFormer tells what an earlier Syncer could not.
func (s *Syncer) tellFormer(ctx context.Context) error {
	text, err := load(ctx, s.handle.conn, formerSetting)
	if err != nil || text == "" {
		return err
	}
	id, found, _ := strings.Cut(text, " ")
	former, err := crypto.ParseDeviceID(id)
	if err != nil {
		return fmt.Errorf("setting %s: %w", formerSetting, err)
	}
	s.tellSucceeded(former, found)
	return nil
}

// forgetFormer notes that it was told.
func (s *Syncer) forgetFormer(ctx context.Context) error {
	if !s.untold {
		return nil
	}
	_, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_settings WHERE name = ?", formerSetting)
	s.untold = err != nil
	return err
}

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
