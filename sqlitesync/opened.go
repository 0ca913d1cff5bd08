package sqlitesync

import (
	"context"
	"fmt"
	"time"
)

// openedLog is what was seen of a log whose files have to be read for it. It is written
// down: a process that does one pass and ends would read all of them each time.
type openedLog struct {
	looked time.Time
	stands bool
	looks  string
}

func openedSetting(device DeviceID) string { return "opened " + device.String() }

// loadOpened returns what was seen of a log, nothing if it was not opened.
func (s *Syncer) loadOpened(ctx context.Context, device DeviceID) (opened openedLog, err error) {
	if opened, known := s.opened[device]; known {
		return opened, nil
	}
	text, err := load(ctx, s.handle.conn, openedSetting(device))
	if err != nil || text == "" {
		return opened, err
	}
	var looked int64
	if _, err := fmt.Sscan(text, &looked, &opened.stands, &opened.looks); err != nil {
		return opened, fmt.Errorf("setting %s: %w", openedSetting(device), err)
	}
	opened.looked = time.UnixMilli(looked)
	s.setOpened(device, opened)
	return opened, nil
}

func (s *Syncer) saveOpened(ctx context.Context, device DeviceID, opened openedLog) error {
	s.setOpened(device, opened)
	return save(ctx, s.handle.conn, openedSetting(device), fmt.Sprint(opened.looked.UnixMilli(), " ", opened.stands, " ", opened.looks))
}

func (s *Syncer) setOpened(device DeviceID, opened openedLog) {
	if s.opened == nil {
		s.opened = make(map[DeviceID]openedLog)
	}
	s.opened[device] = opened
}
