package sqlitesync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// Resolution says what shall become of a conflict: [KeepWinner], [TakeLoser], or
// what [TakeValues] and [BringBackAs] return.
type Resolution interface {
	// write makes the app's table say what was decided.
	write(ctx context.Context, tx *sql.Tx, table *changelog.Table, loser *changelog.Change) error
}

type choice int

// The resolutions that need nothing but the conflict.
const (
	// KeepWinner leaves the row as it is and forgets the loser.
	KeepWinner choice = iota + 1
	// TakeLoser writes the loser's version over the row, or deletes the row if
	// the loser did. Columns that the loser's app did not know stay as they are.
	TakeLoser
)

// TakeValues writes these values, by column, over the row: nil for NULL, else
// what database/sql takes. Columns that are not named stay as they are. If the
// row is not there, it is made with them, and other columns take their defaults.
func TakeValues(values map[string]any) Resolution { return given(maps.Clone(values)) }

// BringBackAs makes a new row of the loser's values under another key, in the
// order of the PRIMARY KEY, and leaves the winner's row as it is: for rows that
// were given one key ([Conflict].Collision). Rows of other tables that name the
// old key go on naming the winner's row.
func BringBackAs(key ...any) Resolution { return newKey(slices.Clone(key)) }

type (
	given  map[string]any
	newKey []any
)

// Resolve decides a conflict, in one transaction. What it writes is an ordinary
// new edit, which travels to all devices; if the table refuses it, the error is
// SQLite's and the conflict stays, as it does if a trigger passes over the write.
// Other devices that recorded the same conflict keep their record of it.
func (s *Syncer) Resolve(ctx context.Context, id ConflictID, keep Resolution) error {
	if choice, ok := keep.(choice); keep == nil || ok && choice != KeepWinner && choice != TakeLoser {
		return fmt.Errorf("sqlitesync: resolve conflict %d: the resolution %v is not known", id, keep)
	}
	return s.turn(ctx, fmt.Sprintf("resolve conflict %d", id), func(ctx context.Context) error {
		return changelog.Locked(s.resolve(ctx, id, keep))
	})
}

// resolve writes on the app's own handle: its triggers, and ours, shall see
// this write as they see any other.
func (s *Syncer) resolve(ctx context.Context, id ConflictID, keep Resolution) error {
	// Another table may bear the name by now that the conflict is known under.
	if changed, err := s.db.SchemaChanged(ctx); err != nil {
		return err
	} else if changed {
		if err := alongMigrations(func() error { return s.prepare(ctx) }); err != nil {
			return err
		}
	}
	found, err := merge.Conflicts(ctx, s.handle.conn, int64(id)-1, 1)
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].ID != int64(id) {
		return errors.New("there is no such conflict")
	}
	tx, err := s.app.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if keep != Resolution(KeepWinner) {
		loser := &found[0].Loser
		table := s.db.Table(loser.Shape.Table)
		if table == nil || table.Put.Rows() != loser.Shape.Rows() {
			return fmt.Errorf("%w: table %q is not here, or has another key", ErrSchema, loser.Shape.Table)
		}
		if err := keep.write(ctx, tx, table, loser); err != nil {
			return err
		}
	}
	if err := merge.Forget(ctx, tx.ExecContext, int64(id)); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.state.update(func(st *Status) {
		st.Conflicts--
		if found[0].Collision() {
			st.Collisions--
		}
	})
	return nil
}

func (c choice) write(ctx context.Context, tx *sql.Tx, table *changelog.Table, loser *changelog.Change) error {
	if c == KeepWinner {
		return nil
	}
	if loser.Shape.Kind == changelog.Delete {
		_, err := tx.ExecContext(ctx, "DELETE FROM "+changelog.Quote(table.Name)+" WHERE "+changelog.KeyParameters(table), loser.Key...)
		if err == nil {
			err = wantThere(ctx, tx, table, loser.Key, false)
		}
		return err
	}
	return put(ctx, tx, table, loser.Key, valuesHere(table, loser))
}

func (g given) write(ctx context.Context, tx *sql.Tx, table *changelog.Table, loser *changelog.Change) error {
	values := make(map[string]any, len(g))
	for name, value := range g {
		canonical := changelog.CanonicalName(name)
		if !table.Put.Contains(canonical) {
			return fmt.Errorf("%w: table %q has no column %q that is synced and not part of its key", ErrSchema, table.Name, name)
		}
		values[canonical] = value
	}
	return put(ctx, tx, table, loser.Key, values)
}

func (k newKey) write(ctx context.Context, tx *sql.Tx, table *changelog.Table, loser *changelog.Change) error {
	switch {
	case loser.Shape.Kind == changelog.Delete:
		return errors.New("the loser is a delete, and there is no row to bring back")
	case len(k) != len(table.Key):
		return fmt.Errorf("table %q has a key of %d columns, not %d", table.Name, len(table.Key), len(k))
	case slices.Contains(k, nil): // SQLite would take it, and the row would stay on this device
		return errors.New("the new key contains NULL")
	}
	return insert(ctx, tx, table, changelog.Key(k), valuesHere(table, loser))
}

// valuesHere returns the values of a put by column, by the names that these have
// now. Columns that the table does not have any more are left out.
func valuesHere(table *changelog.Table, put *changelog.Change) map[string]any {
	values := make(map[string]any)
	for _, column := range table.Put.Columns {
		for _, name := range append([]string{column}, table.FormerNames(column)...) {
			if at, found := slices.BinarySearch(put.Shape.Columns, name); found {
				values[column] = put.Values[at]
				break
			}
		}
	}
	return values
}

// put writes values over a row, or makes it. It is no upsert: that would refuse
// values without a NOT NULL column even where the row has one.
func put(ctx context.Context, tx *sql.Tx, table *changelog.Table, key changelog.Key, values map[string]any) error {
	var set []string
	var args []any
	for i, column := range table.Put.Columns {
		if value, ok := values[column]; ok {
			set, args = append(set, changelog.Quote(table.Columns[i].Name)+" = ?"), append(args, value)
		}
	}
	if set == nil { // to find out whether the row is there
		set = []string{changelog.Quote(table.Key[0].Name) + " = " + changelog.Quote(table.Key[0].Name)}
	}
	result, err := tx.ExecContext(ctx, "UPDATE OR ABORT "+changelog.Quote(table.Name)+" SET "+strings.Join(set, ", ")+
		" WHERE "+changelog.KeyParameters(table), append(args, key...)...)
	if err != nil {
		return err
	}
	if updated, err := result.RowsAffected(); err != nil || updated > 0 {
		return err
	}
	return insert(ctx, tx, table, key, values)
}

func insert(ctx context.Context, tx *sql.Tx, table *changelog.Table, key changelog.Key, values map[string]any) error {
	var names []string
	args := slices.Clone([]any(key))
	for _, column := range table.Key {
		names = append(names, changelog.Quote(column.Name))
	}
	for i, column := range table.Put.Columns {
		if value, ok := values[column]; ok {
			names, args = append(names, changelog.Quote(table.Columns[i].Name)), append(args, value)
		}
	}
	_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT OR ABORT INTO %s (%s) VALUES %s", changelog.Quote(table.Name),
		strings.Join(names, ", "), changelog.Placeholders(1, len(names))), args...)
	if err != nil {
		return err
	}
	return wantThere(ctx, tx, table, key, true)
}

// wantThere makes sure that the table has a row, or has none. A trigger of the app
// can pass over a write without an error (RAISE(IGNORE)), and the conflict must
// not be forgotten then: nothing else has the loser.
func wantThere(ctx context.Context, tx *sql.Tx, table *changelog.Table, key changelog.Key, want bool) error {
	var there bool
	query := fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE %s)", changelog.Quote(table.Name), changelog.KeyParameters(table))
	if err := tx.QueryRowContext(ctx, query, key...).Scan(&there); err != nil {
		return err
	}
	if there != want {
		return fmt.Errorf("table %q did not take the write, as a trigger of the app can decide", table.Name)
	}
	return nil
}
