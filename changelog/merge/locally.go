package merge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
)

// followLocally does to rows of tables that do not take part in sync what they
// declare for the case that their parent is deleted, after parents have gone
// from tables that do. A local row can't keep its parent, for what devices show
// must not depend on it: where it would, it gives up its reference, or goes.
func (m *merger) followLocally(ctx context.Context) error {
	for _, table := range m.db.Tables {
		written, has := m.seenLocally[table]
		if !has {
			continue
		}
		gone, err := m.gone(ctx, table, written)
		if err != nil {
			return err
		}
		for _, r := range table.Local {
			if !r.ToKey() || written == nil { // what the rows had in these columns nobody knows
				err = m.orphan(ctx, r, r.Unmet("c."))
			} else {
				err = changelog.Groups(gone, len(r.Columns), func(group []changelog.Key) error {
					args := make([]any, 0, len(group)*len(r.Columns))
					for _, key := range group {
						args = append(args, r.KeyValues(key)...)
					}
					return m.orphan(ctx, r, r.RefersTo(len(group)), args...)
				})
			}
			if err != nil {
				return fmt.Errorf("local table %q: %w", r.Name, err)
			}
		}
	}
	clear(m.seenLocally)
	return nil
}

// orphan takes their parents from the rows of a local table, called c, that meet
// the condition, as the reference declares it.
func (m *merger) orphan(ctx context.Context, r *changelog.Reference, condition string, args ...any) error {
	below, err := m.below(ctx, r, condition, args)
	if err != nil {
		return err
	}
	if r.Action != changelog.Cascade {
		var set []string
		for _, column := range r.Columns {
			set = append(set, changelog.Quote(column)+" = NULL")
		}
		if r.Action == changelog.SetDefault {
			if defaults, err := m.defaults(ctx, r); err != nil {
				return err
			} else if defaults != nil {
				set = defaults
			}
		}
		// OR IGNORE, for rows that can't be so, holds for what triggers write too. Without
		// it, constraints that say so themselves would remove other rows, or roll back.
		update := fmt.Sprintf("%s AS c SET %s WHERE %s", changelog.Quote(r.Name), strings.Join(set, ", "), condition)
		queries := []string{"UPDATE " + update, "UPDATE OR IGNORE " + update}
		if m.db.Lenient(r.Name) {
			queries = queries[1:]
		}
		n, err := m.locally(ctx, r, args, queries...)
		if err != nil {
			return err
		}
		if n > 0 && r.Action == changelog.Restrict {
			m.tell(fmt.Sprintf("rows of table %q, which is not synced, referred with RESTRICT or NO ACTION to rows of %q that other devices have deleted: "+
				"they refer to nothing now", r.Name, r.ParentName))
		}
	}
	n, err := m.locally(ctx, r, args, fmt.Sprintf("DELETE FROM %s AS c WHERE %s", changelog.Quote(r.Name), condition))
	if err != nil {
		return err
	}
	if n > 0 && r.Action != changelog.Cascade {
		m.tell(fmt.Sprintf("rows of table %q, which is not synced, were deleted: they can't do without the rows of %q that other devices have deleted",
			r.Name, r.ParentName))
	}
	for _, b := range below {
		if err := m.orphan(ctx, b.reference, b.reference.RefersTo(1)+" AND "+b.reference.Unmet("c."), b.values...); err != nil {
			return err
		}
	}
	return nil
}

// below returns the links to the rows of a local table that meet the condition
// which rows of other local tables may have.
func (m *merger) below(ctx context.Context, r *changelog.Reference, condition string, args []any) (found []link, err error) {
	for _, other := range m.db.Local {
		if changelog.CanonicalName(other.ParentName) != changelog.CanonicalName(r.Name) {
			continue
		}
		names := make([]string, len(other.ParentColumns))
		for i, column := range other.ParentColumns {
			names[i] = "+" + changelog.Quote(column)
		}
		query := fmt.Sprintf("SELECT DISTINCT %s FROM %s c WHERE %s", strings.Join(names, ", "), changelog.Quote(r.Name), condition)
		list, err := m.db.Rows(ctx, len(names), query, args...)
		if err != nil {
			return nil, err
		}
		for _, values := range list {
			if !slices.Contains(values, nil) {
				found = append(found, link{reference: other, values: values})
			}
		}
	}
	return found, nil
}

// defaults returns what SET DEFAULT sets, nil if the default refers to no row
// that is there.
func (m *merger) defaults(ctx context.Context, r *changelog.Reference) (set []string, err error) {
	var match []string
	for i, column := range r.Columns {
		var expression *string
		err := m.db.Conn.Get(ctx, "SELECT dflt_value FROM pragma_table_info(?, 'main') WHERE name = ? COLLATE NOCASE", []any{r.Name, column}, &expression)
		if err != nil {
			return nil, err
		}
		if expression == nil {
			return nil, nil // NULL, as for RESTRICT
		}
		set = append(set, fmt.Sprintf("%s = (%s)", changelog.Quote(column), *expression))
		match = append(match, fmt.Sprintf("%s = (%s)", changelog.Quote(r.ParentColumns[i]), *expression))
	}
	var there bool
	err = m.db.Conn.Get(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s)", changelog.Quote(r.ParentName), strings.Join(match, " AND ")), nil, &there)
	if err != nil || !there {
		return nil, err
	}
	return set, nil
}

// locally writes to a local table, with the first of the queries that is not
// refused. What the app's triggers on it refuse is written without them. What can't
// be written at all is left as it is: nothing that stays on this device may stop a
// merge.
func (m *merger) locally(ctx context.Context, r *changelog.Reference, args []any, queries ...string) (n int64, err error) {
	for _, query := range queries {
		if m.db.Silent(r.Name) {
			break
		}
		result, err := m.db.Conn.Exec(ctx, query, args...)
		if err == nil {
			return result.RowsAffected()
		}
		if !changelog.Refused(err) && !changelog.Senseless(err) {
			return 0, err
		}
		if lost := m.db.Conn.CheckTransaction(ctx); lost != nil {
			m.db.Silence(r.Name)
			return 0, lost
		}
	}
	result, err := m.db.Conn.ExecQuietly(ctx, queries[len(queries)-1], args...)
	switch {
	case err == nil:
		return result.RowsAffected()
	case changelog.Refused(err) || changelog.Senseless(err):
		m.tell(fmt.Sprintf("rows of table %q, which is not synced, can't be written here, and refer to rows of %q that are gone", r.Name, r.ParentName))
		return 0, nil
	default:
		return 0, err
	}
}

// tell notes what the author of the app should know, once.
func (m *merger) tell(what string) {
	if !slices.Contains(m.result.Local, what) {
		m.result.Local = append(m.result.Local, what)
	}
}
