package sqlitesync

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/sqlitesync/go/changelog"
)

// In the background the rows of all tables are compared with what is known of
// them, some at a time, so that what was written without triggers is found before
// somebody misses it: with the numbers below, a million rows take five hours in
// which the database is synced, and a thousandth of a processor.
const (
	scrubRows     = 2000
	scrubInterval = 30 * time.Second
	// scrubSaved is how often the database is told how far they were compared: the
	// next process goes on there.
	scrubSaved = 5 * time.Minute
)

// Alteration counts the rows of a table that something has written to without
// triggers, as far as they were looked at. [Syncer.Verify] names them.
type Alteration struct {
	Table string
	Rows  int
}

// scrubbing is how far the rows were compared.
type scrubbing struct {
	last  time.Time // when some were
	saved time.Time // when that was written down
	table string    // of which some were; "": none yet
	after changelog.Key
	found int // in this table
}

// scrubSome compares the next rows, if it is time.
func (s *Syncer) scrubSome(ctx context.Context) error {
	if s.options.Manual || s.environment.Since(s.scrubbed.last) < scrubInterval {
		return nil
	}
	s.scrubbed.last = s.environment.Beat()
	return s.scrub(ctx)
}

// scrub compares the next rows of the table that it has come to, or the first ones
// of the next.
func (s *Syncer) scrub(ctx context.Context) error {
	if s.scrubbed.table == "" {
		if err := s.recallScrub(ctx); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(s.db.Tables, func(table *changelog.Table) bool { return table.Name == s.scrubbed.table })
	if at < 0 || s.scrubbed.after == nil {
		if len(s.db.Tables) == 0 {
			return nil
		}
		at = (at + 1) % len(s.db.Tables)
		s.scrubbed.table, s.scrubbed.found = s.db.Tables[at].Name, 0
	}
	table := s.db.Tables[at]
	if !s.knowsAll(table) {
		s.scrubbed.after = nil
		return nil
	}
	found := 0
	after, _, err := s.scrubPage(ctx, table, s.scrubbed.after, scrubRows, func(changelog.Key, changelog.Alteration) { found++ })
	if err != nil {
		return err
	}
	s.scrubbed.after = after
	s.scrubbed.found += found
	if found > 0 || after == nil {
		s.tellAltered(table.Name, s.scrubbed.found, after == nil)
	}
	if s.environment.Since(s.scrubbed.saved) < scrubSaved {
		return nil
	}
	s.scrubbed.saved = s.environment.Beat()
	return save(ctx, s.handle.conn, "scrubbed", hex.EncodeToString(after.AppendIdentity(nil))+" "+table.Name)
}

// recallScrub goes on where an earlier process has come to, unless the table has
// gone, or got another key.
func (s *Syncer) recallScrub(ctx context.Context) error {
	text, err := load(ctx, s.handle.conn, "scrubbed")
	if err != nil {
		return err
	}
	key, name, _ := strings.Cut(text, " ")
	table := s.db.Table(name)
	if table == nil {
		return nil
	}
	s.scrubbed.table = table.Name
	if identity, err := hex.DecodeString(key); err == nil && len(identity) > 0 {
		if after, err := changelog.ParseKey(identity, len(table.Key)); err == nil {
			s.scrubbed.after = after
		}
	}
	return nil
}

// tellAltered makes it the state of things how many rows of a table are not as
// they are known, if they are more than before or the whole table was looked at.
func (s *Syncer) tellAltered(table string, rows int, whole bool) {
	before := 0
	s.state.update(func(st *Status) {
		altered := slices.Clone(st.Altered)
		at := slices.IndexFunc(altered, func(a Alteration) bool { return a.Table == table })
		if at >= 0 {
			before = altered[at].Rows
			altered = slices.Delete(altered, at, at+1)
		}
		if !whole {
			rows = max(rows, before)
		}
		if rows > 0 {
			altered = append(altered, Alteration{table, rows})
		}
		st.Altered = altered
	})
	if rows > before {
		s.log.Error("rows were written to without triggers", "table", table, "rows", rows)
		s.events.send(Event{Kind: EventAltered, Tables: []string{table}, Rows: rows})
	}
}
