package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"modernc.org/sqlite"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// policy is what the engine's connection lets triggers do. It is asked when a
// statement is compiled, so it costs a merge nothing per row.
type policy struct {
	mu     sync.Mutex
	synced map[string]bool // tables, by canonical name
	quiet  map[string]bool // the app's triggers that guard its own writes
	silent bool            // all of them are quiet, for one statement
}

// set replaces the policy, which changes only with the schema; then SQLite
// compiles statements again by itself.
func (p *policy) set(synced, quiet map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.synced, p.quiet = synced, quiet
}

// silence keeps all of the app's triggers quiet, or no longer.
func (p *policy) silence(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
}

// authorize answers SQLITE_IGNORE to what must not happen in a merge: capture
// (a merged change is not a local edit), the app's triggers writing into
// synced tables (their effects arrive as rows; for deletes see [merge.Guard]),
// and triggers that guard the app's own writes (the outcome would depend on the
// order of arrival). Triggers that keep local tables, such as a full-text
// index, run as always.
func (p *policy) authorize(action sqlite.AuthorizerActionCode, name, _, _, trigger string) sqlite.AuthorizerReturnCode {
	if trigger == "" {
		return sqlite.AuthorizerOK
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	quiet := p.quiet[trigger] || p.silent && !strings.HasPrefix(trigger, "sqlitesync_")
	switch action {
	case sqlite.AuthInsert, sqlite.AuthUpdate:
		if canonical := changelog.CanonicalName(name); canonical == "sqlitesync_log" || p.synced[canonical] || quiet {
			return sqlite.AuthorizerIgnore
		}
	case sqlite.AuthSelect:
		if quiet {
			return sqlite.AuthorizerIgnore
		}
	case sqlite.AuthRead: // a WHEN that can't be computed can be of NULLs
		if p.silent && quiet {
			return sqlite.AuthorizerIgnore
		}
	}
	return sqlite.AuthorizerOK
}

// step is one thing that a trigger does.
type step struct {
	trigger string
	action  sqlite.AuthorizerActionCode
	table   string
	column  string
}

// triggerSteps returns what the triggers of a table do, as SQLite itself reads
// them: the statement is compiled, not run, with an authorizer that listens.
func (h *handle) triggerSteps(ctx context.Context, statements []string) ([]step, error) {
	conn, err := h.readers.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// EXPLAIN alone would use the schema that the connection has read before.
	var objects int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil {
		return nil, err
	}
	var steps []step
	listen := func(action sqlite.AuthorizerActionCode, name, column, _, trigger string) sqlite.AuthorizerReturnCode {
		if action == sqlite.AuthInsert && name == "sqlitesync_log" {
			return sqlite.AuthorizerIgnore // ours may be out of date, and need not make sense
		}
		if trigger != "" && !strings.HasPrefix(trigger, "sqlitesync_") {
			steps = append(steps, step{trigger, action, changelog.CanonicalName(name), changelog.CanonicalName(column)})
		}
		return sqlite.AuthorizerOK
	}
	set := func(fn sqlite.AuthorizerFn) error {
		return conn.Raw(func(driverConn any) error {
			return driverConn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(fn)
		})
	}
	if err := set(listen); err != nil {
		return nil, err
	}
	for _, statement := range statements {
		rows, err := conn.QueryContext(ctx, "EXPLAIN "+statement)
		if err != nil {
			return nil, errors.Join(err, set(nil))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, errors.Join(err, set(nil))
		}
	}
	return steps, set(nil)
}

// judgeTriggers finds out what the app's triggers on the tables that may take
// part do, for the policy. A trigger that raises is quiet in merges whole:
// nothing can keep it from raising and let it write.
func (s *Syncer) judgeTriggers(ctx context.Context) error {
	if err := merge.Unguard(ctx, s.handle.conn); err != nil {
		return err
	}
	s.handle.policy.set(nil, nil) // what is compiled to try it out must see all that triggers do
	tables, err := changelog.Preview(ctx, s.handle.conn, s.selection())
	if err != nil {
		return err
	}
	keys := make(map[string][]string)
	for _, table := range tables {
		keys[table.Put.Table] = append(slices.Clone(table.Put.Key), "rowid")
	}
	raises, err := s.raisingTriggers(ctx)
	if err != nil {
		return err
	}
	s.guarded, s.quiet = make(map[string]bool), make(map[string]bool)
	s.warnings = slices.Clone(s.settings)
	for _, table := range tables {
		if table.Unwritable != "" {
			continue
		}
		steps, err := s.handle.triggerSteps(ctx, table.Writes())
		if err != nil {
			return err
		}
		writes := make(map[string]bool)
		for _, step := range steps {
			switch step.action {
			case sqlite.AuthDelete, sqlite.AuthUpdate, sqlite.AuthInsert:
				writes[step.trigger] = true
			}
			if step.action == sqlite.AuthDelete || step.action == sqlite.AuthUpdate && slices.Contains(keys[step.table], step.column) {
				s.guarded[step.table] = true
			}
		}
		for _, step := range steps {
			if s.quiet[step.trigger] {
				continue
			}
			s.quiet[step.trigger] = raises[step.trigger] || !writes[step.trigger]
			if raises[step.trigger] && writes[step.trigger] {
				s.warnings = append(s.warnings, fmt.Sprintf("the trigger %q raises, so it does not run in merges, and what it writes is not written there; "+
					"let another trigger write", step.trigger))
			}
		}
	}
	return nil
}

// judgeLocalTriggers finds out what the app's triggers do on the tables that do
// not take part and that merges write to all the same, because their parents
// do. It follows [changelog.Database.Capture].
func (s *Syncer) judgeLocalTriggers(ctx context.Context) error {
	for _, r := range s.db.LocalReferences() {
		set := make([]string, len(r.Columns))
		for i, column := range r.Columns {
			set[i] = changelog.Quote(column) + " = NULL"
		}
		name := changelog.Quote(r.Name)
		steps, err := s.handle.triggerSteps(ctx, []string{"DELETE FROM " + name, "UPDATE " + name + " SET " + strings.Join(set, ", ")})
		if changelog.Senseless(err) { // then a merge can't write to it either
			continue
		}
		if err != nil {
			return err
		}
		for _, step := range steps {
			if step.action == sqlite.AuthDelete || step.action == sqlite.AuthUpdate {
				s.guarded[step.table] = true
			}
		}
	}
	return nil
}

// raisingTriggers returns the names of the app's triggers that raise.
func (s *Syncer) raisingTriggers(ctx context.Context) (map[string]bool, error) {
	rows, err := s.handle.conn.Query(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	raises := make(map[string]bool)
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, err
		}
		if changelog.Raises(text) {
			raises[name] = true
		}
	}
	return raises, rows.Err()
}
