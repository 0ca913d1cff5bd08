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
	synced map[string]bool // canonical names
	checks map[string]bool // the app's triggers that only look, to RAISE
}

// set replaces the policy. The caller makes SQLite compile its statements
// again if they may depend on it.
func (p *policy) set(synced, checks map[string]bool) {
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
		if canonical := changelog.CanonicalName(name); canonical == "sqlitesync_log" || p.synced[canonical] {
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
		if err := rows.Close(); err != nil {
			return nil, errors.Join(err, set(nil))
		}
	}
	return steps, set(nil)
}

// judgeTriggers finds out what the app's triggers on synced tables do, and sets
// the policy. It returns what can't be honoured: a trigger's DELETE, and its
// update of a key, are done even if the authorizer says SQLITE_IGNORE, so a
// merge would repeat on this device what arrives as rows anyway.
func (s *Syncer) judgeTriggers(ctx context.Context) ([]Unsynced, error) {
	synced := make(map[string]bool)
	for _, table := range s.db.Tables {
		synced[table.Put.Table] = true
	}
	var unsynced []Unsynced
	writes := make(map[string]bool) // by trigger
	looks := make(map[string]bool)
	for _, table := range s.db.Tables {
		steps, err := s.handle.triggerSteps(ctx, writeStatements(table))
		if err != nil {
			return nil, err
		}
		for _, step := range steps {
			if strings.HasPrefix(step.trigger, "sqlitesync_") {
				continue
			}
			switch step.action {
			case sqlite.AuthSelect:
				looks[step.trigger] = true
			case sqlite.AuthInsert, sqlite.AuthUpdate, sqlite.AuthDelete:
				writes[step.trigger] = true
			}
			other := s.db.Table(step.table)
			if other == nil {
				continue
			}
			if step.action == sqlite.AuthDelete || step.action == sqlite.AuthUpdate && slices.Contains(other.Put.Key, step.column) {
				unsynced = append(unsynced, Unsynced{Table: table.Name,
					Reason: fmt.Sprintf("its trigger %q deletes rows or changes keys of %q", step.trigger, other.Name),
					Hint:   "a merge runs the trigger again; do this in the app instead, or exclude one of the tables"})
			}
		}
	}
	for trigger := range writes {
		delete(looks, trigger)
	}
	s.handle.policy.set(synced, looks)
	return unsynced, nil
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
