package sqlitesync

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
)

//go:embed schema.sql
var schema string

// localFormat is the version of the tables that we keep in the app's database.
const localFormat = 1

// createTables makes all tables whose names begin with sqlitesync_.
func createTables(ctx context.Context, c *changelog.Conn) error {
	if err := c.Script(ctx, schema); err != nil {
		return err
	}
	if err := changelog.CreateTables(ctx, c); err != nil {
		return err
	}
	return merge.CreateTables(ctx, c)
}

// queryInstalled yields whether the database has our tables.
const queryInstalled = `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sqlitesync_settings')`

// installed reports whether the database has our tables, in a version that we know.
func installed(ctx context.Context, c *changelog.Conn) (bool, error) {
	var exists bool
	err := c.Get(ctx, queryInstalled, nil, &exists)
	if err != nil || !exists {
		return false, err
	}
	format, err := loadNumber(ctx, c, "format")
	if err == nil && format != localFormat {
		err = fmt.Errorf("%w: the database has sqlitesync tables of version %d", ErrFormat, format)
	}
	return true, err
}

// identity is what the database says of whom it belongs to.
type identity struct {
	space       crypto.SpaceID
	device      DeviceID
	foreignKeys bool
	founding    bool // it founds the space, and the marker does not stand yet
}

func (id identity) save(ctx context.Context, c *changelog.Conn) error {
	for name, value := range map[string]string{
		"format":       strconv.Itoa(localFormat),
		"space":        id.space.String(),
		"device":       id.device.String(),
		"foreign_keys": strconv.FormatBool(id.foreignKeys),
		"founding":     strconv.FormatBool(id.founding),
	} {
		if err := save(ctx, c, name, value); err != nil {
			return err
		}
	}
	return nil
}

func loadIdentity(ctx context.Context, c *changelog.Conn) (id identity, err error) {
	var texts [4]string
	for i, name := range []string{"space", "device", "foreign_keys", "founding"} {
		if texts[i], err = load(ctx, c, name); err != nil {
			return id, err
		}
	}
	if id.space, err = crypto.ParseSpaceID(texts[0]); err != nil {
		return id, fmt.Errorf("setting space: %w", err)
	}
	if id.device, err = crypto.ParseDeviceID(texts[1]); err != nil {
		return id, fmt.Errorf("setting device: %w", err)
	}
	id.foreignKeys, id.founding = texts[2] == "true", texts[3] == "true"
	return id, nil
}

// load returns a setting, "" if it was never saved.
func load(ctx context.Context, c *changelog.Conn, name string) (value string, err error) {
	err = c.Get(ctx, "SELECT value FROM sqlitesync_settings WHERE name = ?", []any{name}, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// devicesOf returns the ids in the names of settings that begin with a word and go on with a device's id.
func devicesOf(ctx context.Context, c *changelog.Conn, word string) ([]string, error) {
	var ids string
	err := c.Get(ctx, "SELECT coalesce(group_concat(substr(name, ?), ' '), '') FROM sqlitesync_settings WHERE name GLOB ?",
		[]any{len(word) + 2, word + " *"}, &ids)
	return strings.Fields(ids), err
}

func loadNumber(ctx context.Context, c *changelog.Conn, name string) (uint64, error) {
	text, err := load(ctx, c, name)
	if err != nil || text == "" {
		return 0, err
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("setting %s: %w", name, err)
	}
	return number, nil
}

func save(ctx context.Context, c *changelog.Conn, name, value string) error {
	_, err := c.Exec(ctx, "INSERT INTO sqlitesync_settings (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value)
	return err
}

func saveNumber(ctx context.Context, c *changelog.Conn, name string, number uint64) error {
	return save(ctx, c, name, strconv.FormatUint(number, 10))
}
