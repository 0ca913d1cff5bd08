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

// remembered is what Options said, in the setting "options".
type remembered struct {
	Tables  []string `json:"tables"`
	Exclude []string `json:"exclude"`
	Name    string   `json:"name"`
	Renamed bool     `json:"renamed,omitempty"` // the name is a person's choice
}

// rememberOptions remembers the tables and the name. A name that a person has
// chosen stays where the options name none.
func (s *Syncer) rememberOptions(ctx context.Context) error {
	before, err := recall(ctx, s.handle.conn)
	if err != nil {
		return err
	}
	if before.Renamed && s.options.unnamed {
		s.options.DeviceName = before.Name
	}
	return s.rememberNamed(ctx, before.Renamed && before.Name == s.options.DeviceName)
}

func (s *Syncer) rememberNamed(ctx context.Context, renamed bool) error {
	text, err := json.Marshal(remembered{s.options.Tables, s.options.Exclude, s.options.DeviceName, renamed})
	if err != nil {
		return err
	}
	return saveNew(ctx, s.handle.conn, "options", string(text))
}

// recall returns what rememberOptions has saved, the zero value if it never has.
func recall(ctx context.Context, c *changelog.Conn) (r remembered, err error) {
	text, err := load(ctx, c, "options")
	if err != nil || text == "" {
		return r, err
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("setting options: %w", err)
	}
	return r, nil
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
	r, err := recall(ctx, c)
	if err != nil {
		return "", Options{}, err
	}
	return folderPath, Options{Tables: r.Tables, Exclude: r.Exclude, DeviceName: r.Name}, nil
}
