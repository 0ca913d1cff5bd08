package sqlitesync

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// ConflictID names a conflict in this database.
type ConflictID int64

// Version is one side of a conflict: what a device said about the row.
type Version struct {
	Device DeviceID // zero: the row stood there before its database entered the space
	// Time is when it was written by its author's clock; where that was behind
	// a change that the author had seen, just after that change.
	Time time.Time
	// Deleted: this side deleted the row.
	Deleted bool
	// Values holds the columns by name in lower case: nil, int64, float64,
	// string or []byte. It is nil for a delete.
	Values map[string]any
}

// Conflict is a pair of changes to one row whose authors had not seen each
// other. The winner is what devices show (or something newer still); the
// loser is kept here.
type Conflict struct {
	ID    ConflictID
	Found time.Time // by this device's clock
	Table string    // in lower case
	Key   []any     // values of the key columns, in the order of the PRIMARY KEY
	// Columns lists the columns in which the two differ; nil if one is a delete.
	Columns []string
	// Collision: these are not two edits of a row but two rows that were given
	// one key, as happens with integer keys that two devices hand out.
	Collision     bool
	Winner, Loser Version
}

// pageSize is how many conflicts are read at a time; the caller may write to
// the database between two of them.
const pageSize = 100

// Conflicts yields what is kept of changes that lost, the oldest first. After
// an error it ends.
func (s *Syncer) Conflicts(ctx context.Context) iter.Seq2[Conflict, error] {
	return func(yield func(Conflict, error) bool) {
		for after := int64(0); ; {
			var page []merge.Conflict
			err := s.read(ctx, func(conn *changelog.Conn) (err error) {
				page, err = merge.Conflicts(ctx, conn, after, pageSize)
				return err
			})
			if err != nil {
				yield(Conflict{}, fmt.Errorf("sqlitesync: conflicts: %w", err))
				return
			}
			for i := range page {
				if !yield(conflictOf(&page[i]), nil) {
					return
				}
				after = page[i].ID
			}
			if len(page) < pageSize {
				return
			}
		}
	}
}

func conflictOf(c *merge.Conflict) Conflict {
	conflict := Conflict{
		ID: ConflictID(c.ID), Found: c.Found, Table: c.Winner.Shape.Table, Key: c.Winner.Key,
		Winner: versionOf(&c.Winner), Loser: versionOf(&c.Loser),
	}
	if !conflict.Winner.Deleted && !conflict.Loser.Deleted {
		conflict.Collision = c.Winner.Birth != c.Loser.Birth
		for i, column := range c.Winner.Shape.Columns {
			j, found := slices.BinarySearch(c.Loser.Shape.Columns, column)
			if !found || !changelog.Equal(c.Winner.Values[i], c.Loser.Values[j]) {
				conflict.Columns = append(conflict.Columns, column)
			}
		}
		for _, column := range c.Loser.Shape.Columns {
			if !c.Winner.Shape.Contains(column) {
				conflict.Columns = append(conflict.Columns, column)
			}
		}
	}
	return conflict
}

func versionOf(c *changelog.Change) Version {
	v := Version{Device: DeviceID(c.Stamp.Device), Deleted: c.Shape.Kind == changelog.Delete}
	if !c.Stamp.Baseline() {
		v.Time = time.UnixMilli(c.Stamp.Time)
	}
	if !v.Deleted {
		v.Values = make(map[string]any, len(c.Values))
		for i, column := range c.Shape.Columns {
			v.Values[column] = c.Values[i]
		}
	}
	return v
}

// Resolution says what shall become of a conflict.
type Resolution int

// The resolutions.
const (
	// KeepWinner leaves the row as it is and forgets the loser.
	KeepWinner Resolution = iota + 1
	// TakeLoser writes the loser's version over the row: an ordinary new edit,
	// which travels to all devices. Then the conflict is forgotten.
	TakeLoser
)

// Resolve decides a conflict, in one transaction. Other devices that recorded
// the same conflict keep their record of it.
func (s *Syncer) Resolve(ctx context.Context, id ConflictID, keep Resolution) error {
	if keep != KeepWinner && keep != TakeLoser {
		return fmt.Errorf("sqlitesync: resolve conflict %d: resolution %d is not known", id, keep)
	}
	ctx, done, err := s.turn(ctx, "resolve")
	if err != nil {
		return err
	}
	defer done()
	if err := s.resolve(ctx, id, keep); err != nil {
		return fmt.Errorf("sqlitesync: resolve conflict %d: %w", id, err)
	}
	return nil
}

// resolve writes on the app's own handle: its triggers, and ours, shall see
// this write as they see any other.
func (s *Syncer) resolve(ctx context.Context, id ConflictID, keep Resolution) error {
	found, err := merge.Conflicts(ctx, s.handle.conn, int64(id)-1, 1)
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].ID != int64(id) {
		return fmt.Errorf("there is no such conflict")
	}
	tx, err := s.app.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if keep == TakeLoser {
		loser := &found[0].Loser
		table := s.db.Table(loser.Shape.Table)
		if table == nil || len(table.Key) != len(loser.Key) {
			return fmt.Errorf("%w: table %q is not here, or has another key", ErrSchema, loser.Shape.Table)
		}
		text, args := assertion(table, loser)
		if _, err := tx.ExecContext(ctx, text, args...); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM sqlitesync_inbox WHERE id = ?", int64(id)); err != nil {
		return err
	}
	return tx.Commit()
}

// assertion returns the statement that makes the row what the change says.
// Columns that the table does not have any more are left out.
func assertion(table *changelog.Table, change *changelog.Change) (text string, args []any) {
	if change.Shape.Kind == changelog.Delete {
		return "DELETE FROM " + changelog.Quote(table.Name) + " WHERE " + changelog.KeyParameters(table), change.Key
	}
	var all, set []string
	for _, column := range table.Key {
		all = append(all, changelog.Quote(column.Name))
	}
	args = slices.Clone([]any(change.Key))
	for i, column := range change.Shape.Columns {
		if at, found := slices.BinarySearch(table.Put.Columns, column); found {
			name := changelog.Quote(table.Columns[at].Name)
			all, args = append(all, name), append(args, change.Values[i])
			set = append(set, name+" = excluded."+name)
		}
	}
	action := "NOTHING"
	if len(set) > 0 {
		action = "UPDATE SET " + strings.Join(set, ", ")
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s ON CONFLICT %s DO %s", changelog.Quote(table.Name),
		strings.Join(all, ", "), changelog.Placeholders(1, len(all)), table.ConflictTarget(), action), args
}

// Held is a row that this database can't show just now. It is kept, counts as
// part of the space, and shows when it can.
type Held struct {
	Table  string // in lower case
	Key    []any
	Reason string    // in SQLite's words, without values
	Device DeviceID  // as in Version
	Time   time.Time // as in Version
}

// Held yields the rows that are held, by table and key. After an error it ends.
func (s *Syncer) Held(ctx context.Context) iter.Seq2[Held, error] {
	return func(yield func(Held, error) bool) {
		after := merge.Cursor{}
		for {
			var page []merge.Held
			err := s.read(ctx, func(conn *changelog.Conn) (err error) {
				page, err = merge.HeldRows(ctx, conn, &after, pageSize)
				return err
			})
			if err != nil {
				yield(Held{}, fmt.Errorf("sqlitesync: held rows: %w", err))
				return
			}
			for i := range page {
				c := &page[i].Change
				version := versionOf(c)
				held := Held{Table: c.Shape.Table, Key: c.Key, Reason: page[i].Reason, Device: version.Device, Time: version.Time}
				if !yield(held, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
		}
	}
}

// read runs fn with a connection that only reads, beside whatever pass runs.
func (s *Syncer) read(ctx context.Context, fn func(*changelog.Conn) error) error {
	if s.isClosed() {
		return ErrClosed
	}
	conn, err := s.handle.readers.Conn(ctx)
	if err == nil {
		reader := changelog.NewConn(conn)
		defer reader.Close()
		err = fn(reader)
	}
	if err != nil && s.isClosed() {
		return ErrClosed // under our hands
	}
	return err
}

func (s *Syncer) isClosed() bool { return s.life.Err() != nil }
