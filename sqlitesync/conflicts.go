package sqlitesync

import (
	"context"
	"fmt"
	"iter"
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
	// Values holds the columns, but for those of the key, by name in lower case:
	// nil, int64, float64, string or []byte. It is nil for a delete.
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
	Collision bool
	// Hint is a sentence for the person where there is more to do than to
	// choose: what to do about a collision. Else it is empty.
	Hint          string
	Winner, Loser Version
}

const hintCollision = "Two devices gave one key to two rows. Bring the other row back under a key of its own with Resolve and BringBackAs, " +
	"and look whether rows of other tables that name the key mean it; give new rows keys that no two devices make, such as those of NewKey."

// pageSize is how many conflicts are read at a time; the caller may write to
// the database between two of them.
const pageSize = 100

// An inbox keeps its newest conflicts for some time, so that one that nobody
// looks at does not grow for ever.
const (
	// keepDays counts days on which a pass ran, see [merge.Prune].
	keepDays = 90
	// keepConflicts is how many are kept.
	keepConflicts = 10_000
	// pruneInterval is how often the date is looked at.
	pruneInterval = 10 * time.Minute
)

// pruneConflicts forgets conflicts that are old or too many, and counts those
// that are left for Status. It is the last step of a pass, and has nothing to do
// in most.
func (s *Syncer) pruneConflicts(ctx context.Context) error {
	if !s.conflicted && s.environment.Since(s.pruned) < pruneInterval {
		return nil
	}
	err := s.handle.conn.Transact(ctx, changelog.Ordinary, func() error {
		return merge.Prune(ctx, s.handle.conn, s.environment.Now().UTC().Format(time.DateOnly), keepDays, keepConflicts)
	})
	if err != nil {
		return err
	}
	s.conflicted, s.pruned = false, s.environment.Beat()
	return s.countConflicts(ctx)
}

func (s *Syncer) countConflicts(ctx context.Context) error {
	conflicts, collisions, err := merge.CountConflicts(ctx, s.handle.conn)
	s.state.update(func(st *Status) { st.Conflicts, st.Collisions = conflicts, collisions })
	return err
}

// Conflicts yields what is kept of changes that lost, the oldest first: the
// newest 10,000, for 90 days on which the database was synced. After an error it
// ends. Programs in other languages read the view sqlitesync_conflicts.
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
		Columns: c.Columns(), Collision: c.Collision(), Winner: versionOf(&c.Winner), Loser: versionOf(&c.Loser),
	}
	if conflict.Collision {
		conflict.Hint = hintCollision
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

// Held is a row that this database can't show just now. It is kept, counts as
// part of the space, and shows when it can. If Shown is set, it shows already,
// but without its parent: with NULL or the default in a foreign key.
type Held struct {
	Table  string // in lower case
	Key    []any
	Reason string    // in SQLite's words, without values
	Device DeviceID  // as in Version
	Time   time.Time // as in Version
	Shown  bool
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
				held := Held{Table: c.Shape.Table, Key: c.Key, Reason: page[i].Reason, Device: version.Device, Time: version.Time, Shown: page[i].Shown}
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
