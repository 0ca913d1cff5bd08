package sqlitesync

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sqlitesync/go/changelog"
)

// A database remembers what it was opened with last, so that programs that know
// nothing but its file, such as the command sqlitesync, go on as its app does:
// with the same folder, the same tables and the same name.

// remembered is what Options said, in the setting "opened".
type remembered struct {
	Tables  []string `json:"tables"`
	Exclude []string `json:"exclude"`
	Name    string   `json:"name"`
}

// rememberOptions remembers the tables and the name.
func (s *Syncer) rememberOptions(ctx context.Context) error {
	text, err := json.Marshal(remembered{Tables: s.options.Tables, Exclude: s.options.Exclude, Name: s.options.DeviceName})
	if err != nil {
		return err
	}
	return saveNew(ctx, s.handle.conn, "opened", string(text))
}

// rememberFolder remembers the folder, once it was seen to hold the space: one
// that was given by mistake must not be taken the next time.
func (s *Syncer) rememberFolder(ctx context.Context) error {
	if s.placed || s.looking {
		return nil
	}
	err := saveNew(ctx, s.handle.conn, "folder", s.path)
	s.placed = err == nil
	return err
}

// saveNew saves a setting if it says something new.
func saveNew(ctx context.Context, c *changelog.Conn, name, value string) error {
	if before, err := load(ctx, c, name); err != nil || before == value {
		return err
	}
	return save(ctx, c, name, value)
}

// loadRemembered returns the folder and the options that the database remembers.
func loadRemembered(ctx context.Context, c *changelog.Conn) (folderPath string, opts Options, err error) {
	if folderPath, err = load(ctx, c, "folder"); err != nil {
		return "", Options{}, err
	}
	text, err := load(ctx, c, "opened")
	if err != nil || text == "" {
		return folderPath, Options{}, err
	}
	var r remembered
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return "", Options{}, fmt.Errorf("setting opened: %w", err)
	}
	return folderPath, Options{Tables: r.Tables, Exclude: r.Exclude, DeviceName: r.Name}, nil
}
