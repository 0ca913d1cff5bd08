package sqlitesync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// headTable is how a head says how a table is declared (FORMAT.md, chapter 9).
type headTable struct {
	Name    string   `json:"name"`
	SQL     string   `json:"sql"`
	Indexes []string `json:"indexes,omitempty"`
}

// maxHeadTables bounds what a head says of tables, in bytes of JSON: a head goes
// out with every batch.
const maxHeadTables = 128 << 10

// headTables returns what the head says of tables, as far as it fits. Those whose
// texts JSON can't carry are left out, too.
func headTables(definitions []changelog.Definition) []headTable {
	var tables []headTable
	for _, d := range definitions {
		if !slices.ContainsFunc(append([]string{d.Table, d.SQL}, d.Indexes...), func(text string) bool { return !utf8.ValidString(text) }) {
			tables = append(tables, headTable{d.Table, d.SQL, d.Indexes})
		}
	}
	return fitting(tables)
}

// fitting returns the tables that a head may tell of. Who reads one asks, too: a
// hostile member could have thousands made.
func fitting(tables []headTable) (fit []headTable) {
	size := 0
	for _, table := range tables {
		encoded, err := json.Marshal(table)
		if err == nil && size+len(encoded) <= maxHeadTables {
			size += len(encoded)
			fit = append(fit, table)
		}
	}
	return fit
}

// MakeTables makes the tables that the space has and this database lacks, with
// their indexes, and returns their names. What is kept of their rows shows after
// the next pass. It is for programs that have no schema of their own, such as the
// command sqlitesync; an app makes its own tables, with its own migrations, and
// never needs it. Triggers, views and virtual tables are not made, and tables
// that are there already stay as they are.
//
// The definitions are those that devices which may write have in their heads; of
// several, the one with most columns, of equals that of the most senior device.
// None is used but what SQLite itself shows, in an empty database, to be one
// table, its indexes and nothing else. If for some table there are only others
// the error is [ErrSchema], says why, and no table is made; exclude the table
// ([Options.Exclude]), or make it by hand.
func (s *Syncer) MakeTables(ctx context.Context) (made []string, err error) {
	err = s.decide(ctx, "make tables", func(ctx context.Context, f *folder.Folder) error {
		var heads []*head
		for _, member := range s.roster.Members() {
			if member.Role == crypto.Reader || member.ID == s.identity.device {
				continue
			}
			content, err := s.readHead(ctx, f, member)
			if err != nil { // a pass reports it
				continue
			}
			heads = append(heads, content)
		}
		made, err = s.makeTables(ctx, heads)
		return err
	})
	return made, err
}

// makeTablesOf makes the tables of the space that this database is about to
// enter.
func (s *Syncer) makeTablesOf(ctx context.Context, f *folder.Folder, a *admission) error {
	s.identity.space = a.space
	var heads []*head
	for _, member := range a.roster.Members() {
		if member.Role == crypto.Reader {
			continue
		}
		content, err := s.readHeadOf(f, a, member)
		if err != nil {
			s.log.Debug("a head can't be read", "device", member.ID, "err", err)
			continue
		}
		heads = append(heads, content)
	}
	if len(heads) == 0 {
		return fmt.Errorf("%w: it has no head of a device, which would say what the tables are: the folder has not been downloaded completely", ErrFolder)
	}
	made, err := s.makeTables(ctx, heads)
	if err == nil {
		s.log.Info("made tables of the space", "tables", len(made))
	}
	return err
}

// readHeadOf reads the head of a member of a space that this device is about to
// enter.
func (s *Syncer) readHeadOf(f *folder.Folder, a *admission, member crypto.Member) (*head, error) {
	file, err := s.openHead(f, member.ID, member.Keys)
	if err != nil {
		return nil, err
	}
	for _, epoch := range a.epochs {
		if epoch.ID() == file.Header().Epoch {
			return decryptHead(file, epoch)
		}
	}
	return nil, errors.New("it is sealed for an epoch that the code does not open")
}

// makeTables makes the tables that heads, of the most senior device first, know
// of and this database lacks.
func (s *Syncer) makeTables(ctx context.Context, heads []*head) (made []string, err error) {
	present, err := changelog.Names(ctx, s.handle.conn)
	if err != nil {
		return nil, err
	}
	definitions, err := choose(ctx, s.lacking(heads, present))
	if err != nil {
		return nil, err
	}
	err = s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		made = nil
		for _, d := range definitions {
			for _, statement := range append([]string{d.SQL}, d.Indexes...) {
				if err := s.handle.conn.Script(ctx, statement); err != nil {
					return fmt.Errorf("%w: %q can't be made here: %w", ErrSchema, d.Table, err)
				}
			}
			made = append(made, d.Table)
		}
		return s.checkParents(ctx, definitions, present)
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// checkParents refuses tables that were made if one of them refers to a table that
// was here before, by columns that are not unique there: where foreign keys are
// enforced, SQLite lets nobody write to that one any more.
func (s *Syncer) checkParents(ctx context.Context, made []changelog.Definition, before map[string]bool) error {
	for _, d := range made {
		old, err := s.oldParent(ctx, d.Table, before)
		if err != nil {
			return err
		}
		if old == "" {
			continue
		}
		var orphans int // none: the table is empty. What does not fit is an error
		err = s.handle.conn.Get(ctx, "SELECT count(*) FROM pragma_foreign_key_check(?)", []any{d.Table}, &orphans)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("%w: the definition of %q that the space has is refused: it refers to %q, which is here, by columns that are not unique; make the table yourself, or exclude it",
				ErrSchema, d.Table, old)
		}
	}
	return nil
}

// oldParent returns a table to which a new one refers and that was here before it,
// or "".
func (s *Syncer) oldParent(ctx context.Context, table string, before map[string]bool) (old string, err error) {
	rows, err := s.handle.conn.Query(ctx, `SELECT "table" FROM pragma_foreign_key_list(?)`, table)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		var parent string
		if err := rows.Scan(&parent); err != nil {
			return "", err
		}
		if before[changelog.CanonicalName(parent)] {
			old = parent
		}
	}
	return old, rows.Err()
}

// lacking returns what heads say of each table that shall take part and is not
// here, in their order, each definition once.
func (s *Syncer) lacking(heads []*head, present map[string]bool) map[string][]changelog.Definition {
	lacking := make(map[string][]changelog.Definition)
	for _, content := range heads {
		for _, table := range fitting(content.Tables) {
			d := changelog.Definition{Table: table.Name, SQL: table.SQL, Indexes: table.Indexes}
			known := func(other changelog.Definition) bool {
				return other.SQL == d.SQL && slices.Equal(other.Indexes, d.Indexes)
			}
			if !present[d.Table] && s.selection().Takes(d.Table) && !slices.ContainsFunc(lacking[d.Table], known) {
				lacking[d.Table] = append(lacking[d.Table], d)
			}
		}
	}
	return lacking
}

// choose returns for each table the definition that is safe and has most columns.
func choose(ctx context.Context, offered map[string][]changelog.Definition) (chosen []changelog.Definition, err error) {
	if len(offered) == 0 {
		return nil, nil
	}
	trial, err := newScratch(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, trial.close()) }()
	for _, name := range slices.Sorted(maps.Keys(offered)) {
		var best *changelog.Definition
		var doubt error
		most := 0
		for i := range offered[name] {
			columns, err := trial.try(ctx, &offered[name][i])
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil:
				doubt = err
			case columns > most:
				best, most = &offered[name][i], columns
			}
		}
		if best == nil {
			return nil, fmt.Errorf("%w: the definition of %q that the space has is refused: %w; make the table yourself, or exclude it", ErrSchema, name, doubt)
		}
		chosen = append(chosen, *best)
	}
	return chosen, nil
}
