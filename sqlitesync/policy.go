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
)

// policy is what the engine's connection lets triggers do. It is asked when a
// statement is compiled, so it costs a merge nothing per row.
type policy struct {
	mu     sync.Mutex
	synced map[string]*changelog.Table // by canonical name
	checks map[string]bool             // the app's triggers that only look, to RAISE
}

// set replaces the policy, which changes only with the schema; then SQLite
// compiles statements again by itself.
func (p *policy) set(synced map[string]*changelog.Table, checks map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.synced, p.checks = synced, checks
}

// authorize answers SQLITE_IGNORE to what must not happen in a merge: capture
// (a merged change is not a local edit), the app's triggers writing into
// synced tables (their effects arrive as rows), and triggers that only guard
// the app's own writes (the outcome would depend on the order of arrival).
// Triggers that keep local tables, such as a full-text index, run as always.
func (p *policy) authorize(action sqlite.AuthorizerActionCode, name, _, _, trigger string) sqlite.AuthorizerReturnCode {
	if trigger == "" {
		return sqlite.AuthorizerOK
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch action {
	case sqlite.AuthInsert, sqlite.AuthUpdate:
		if canonical := changelog.CanonicalName(name); canonical == "sqlitesync_log" || p.synced[canonical] != nil {
			return sqlite.AuthorizerIgnore
		}
	case sqlite.AuthSelect:
		if p.checks[trigger] {
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
		if trigger != "" {
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
// part do, sets the policy, and bars the tables that can't be merged into as
// others are: a trigger's DELETE and its update of a key are done even if the
// authorizer says SQLITE_IGNORE, and one that both writes and raises can't be
// kept from raising without being kept from writing.
func (s *Syncer) judgeTriggers(ctx context.Context) error {
	s.barred = nil
	tables, err := changelog.Preview(ctx, s.handle.conn, s.selection())
	if err != nil {
		return schemaError(err)
	}
	synced := make(map[string]*changelog.Table)
	for _, table := range tables {
		synced[table.Put.Table] = table
	}
	raises, err := s.raisingTriggers(ctx)
	if err != nil {
		return err
	}
	checks := make(map[string]bool)
	for _, table := range tables {
		steps, err := s.handle.triggerSteps(ctx, writeStatements(table))
		if err != nil {
			return err
		}
		writes := make(map[string]bool)
		reason := ""
		for _, step := range steps {
			if strings.HasPrefix(step.trigger, "sqlitesync_") {
				continue
			}
			switch step.action {
			case sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthDelete:
				writes[step.trigger] = true
			}
			other := synced[step.table]
			if other != nil && (step.action == sqlite.AuthDelete || step.action == sqlite.AuthUpdate && slices.Contains(other.Put.Key, step.column)) {
				reason = fmt.Sprintf("its trigger %q deletes rows or changes keys of %q", step.trigger, other.Name)
			}
		}
		for _, step := range steps {
			switch {
			case strings.HasPrefix(step.trigger, "sqlitesync_"):
			case writes[step.trigger] && raises[step.trigger]:
				reason = fmt.Sprintf("its trigger %q both writes and raises", step.trigger)
			case !writes[step.trigger]:
				checks[step.trigger] = true
			}
		}
		if reason == "" {
			continue
		}
		barred := Unsynced{Table: table.Name, Reason: reason, Hint: "make it two triggers, or do this in the app, or exclude the table"}
		if slices.ContainsFunc(s.options.Tables, func(name string) bool { return changelog.CanonicalName(name) == table.Put.Table }) {
			return fmt.Errorf("%w: %s: %s; %s", ErrSchema, barred.Table, barred.Reason, barred.Hint)
		}
		s.barred = append(s.barred, barred)
		delete(synced, table.Put.Table)
	}
	s.handle.policy.set(synced, checks)
	return nil
}

// raisingTriggers returns the names of the app's triggers whose text contains
// RAISE.
func (s *Syncer) raisingTriggers(ctx context.Context) (map[string]bool, error) {
	rows, err := s.handle.conn.Query(ctx, "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%raise%'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	raises := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		raises[name] = true
	}
	return raises, rows.Err()
}

// writeStatements returns statements that fire every trigger of a table.
func writeStatements(table *changelog.Table) []string {
	name := changelog.Quote(table.Name)
	var set []string
	for _, column := range append(slices.Clone(table.Key), table.Columns...) {
		set = append(set, changelog.Quote(column.Name)+" = NULL")
	}
	return []string{
		"INSERT INTO " + name + " DEFAULT VALUES",
		"UPDATE " + name + " SET " + strings.Join(set, ", "),
		"DELETE FROM " + name,
	}
}
