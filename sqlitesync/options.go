package sqlitesync

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/environment"
)

// Options holds what may be chosen. A nil *Options and the zero value work.
type Options struct {
	// Tables names the tables that take part; a named table that can't is an
	// error ([ErrSchema]) of Create, Join and Open, and stands in
	// [Status].Problems if it is dropped, or loses its key, later. Default: every table that can, the others stay on
	// this device and are listed in [Status].Unsynced.
	Tables []string
	// Exclude names tables that stay on this device. A name that no table has
	// is no error: the table may come later. Default: none.
	Exclude []string
	// DeviceName is shown to people on the other devices. Default: the name that
	// [Syncer.Rename] has given, else the host name.
	DeviceName string
	// Keys keeps this device's secret keys. Default: [FileKeys] in the
	// directory sqlitesync of the user's configuration directory.
	Keys KeyStore
	// Existing says what Join does with rows that the database has already.
	// Default: RefuseExisting.
	Existing Existing
	// MakeTables makes Join make the tables that the space has and the database
	// lacks, as the devices of the space that may write have declared them, for
	// programs that make none of their own: see [Syncer.MakeTables]. If a table's
	// definition is refused, Join does nothing, and the error is [ErrSchema]; tables
	// that were made stay if Join fails later. Default: false.
	MakeTables bool
	// ForeignKeys says, at Create, whether the apps of this space enforce
	// foreign keys, and so whether merges look at them. It is written into the
	// space for ever. Default: as they are on the handle given to Create.
	ForeignKeys ForeignKeys
	// Manual turns all background work off: data moves only in Sync. For tests
	// and scripts. Default: false.
	Manual bool
	// StandBy makes Create, Join and Open wait, as long as their context allows,
	// until another Syncer on the database has ended or its process has died,
	// and then take over, instead of failing with [ErrInUse]. What counts then are
	// these Options and this folder, whatever the other one had. Create and Join
	// wait no longer than until the other one has set the database up: then the
	// error is [ErrAlreadySetUp], and Open stands by. Without the keys of the
	// database's device Open does not wait either: [ErrNotMember]. Writes of this process are
	// captured meanwhile. Default: false.
	StandBy bool
	// FlushDelay is how long after the last local commit changes are
	// published; 2 s after the first at the latest. Default: 250 ms.
	FlushDelay time.Duration
	// PollInterval is how often the folder is looked at even if the operating
	// system reports no change in it. Default: 30 s.
	PollInterval time.Duration
	// Logger receives what happens: no values of rows, no secrets. Default: discard.
	Logger *slog.Logger

	// unnamed: DeviceName is the default.
	unnamed bool
}

// Existing says what [Join] does with rows that the database has already.
type Existing int

// The choices for rows of one's own.
const (
	// RefuseExisting fails with ErrNotEmpty.
	RefuseExisting Existing = iota
	// MergeExisting keeps them: rows that the space does not know are added to
	// it, and where it knows a row, the space's version shows and this
	// database's goes to the conflicts, unless they are equal.
	MergeExisting
	// ReplaceExisting removes them, after writing a copy of the database beside
	// it (VACUUM INTO), named <database>.before-join-<time>.
	ReplaceExisting
)

// ForeignKeys says whether a space enforces foreign keys.
type ForeignKeys int

// The choices for foreign keys.
const (
	ForeignKeysAsHandle ForeignKeys = iota
	ForeignKeysOn
	ForeignKeysOff
)

const (
	defaultFlushDelay   = 250 * time.Millisecond
	maxFlushDelay       = 2 * time.Second
	defaultPollInterval = 30 * time.Second
	// maxName bounds the name of a device, in bytes.
	maxName = 100
)

// withDefaults returns a copy of o with every default filled in, and what e wants.
func (o *Options) withDefaults(e *environment.Environment) (*Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	c.Tables, c.Exclude = slices.Clone(c.Tables), slices.Clone(c.Exclude)
	if len(c.Tables) == 0 {
		c.Tables = nil
	}
	switch {
	case c.FlushDelay < 0 || c.PollInterval < 0:
		return nil, fmt.Errorf("options: FlushDelay and PollInterval can't be negative")
	case c.Existing < RefuseExisting || c.Existing > ReplaceExisting:
		return nil, fmt.Errorf("options: Existing is %d", c.Existing)
	case c.ForeignKeys < ForeignKeysAsHandle || c.ForeignKeys > ForeignKeysOff:
		return nil, fmt.Errorf("options: ForeignKeys is %d", c.ForeignKeys)
	case len(c.DeviceName) > maxName:
		return nil, fmt.Errorf("options: DeviceName is longer than %d bytes", maxName)
	}
	if c.unnamed = c.DeviceName == ""; c.unnamed {
		if c.DeviceName, _ = os.Hostname(); c.DeviceName == "" {
			c.DeviceName = "unnamed"
		}
	}
	c.Manual = c.Manual || e.Manual
	if c.Keys == nil && e.Keys != nil {
		c.Keys = e.Keys
	}
	if c.Keys == nil {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("options: no place for keys: %w; set Options.Keys", err)
		}
		c.Keys = FileKeys(filepath.Join(dir, "sqlitesync"))
	}
	if c.FlushDelay == 0 {
		c.FlushDelay = defaultFlushDelay
	}
	if c.PollInterval == 0 {
		c.PollInterval = defaultPollInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &c, nil
}
