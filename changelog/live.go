package changelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrAltered means that a row is not what its clock says: it was written
// behind the triggers, or its table has lost a column or is gone. The
// change that it came from can't be made again from this database.
var ErrAltered = errors.New("a row is not as it was written")

// Live calls each with the changes of device in batches first to last that rows,
// or the want of them, still show as they travelled: the newest of their rows.
// Those that rows are combined from, and held ones, package merge knows.
//
// The log must be empty: an edit in it would be taken for the change before it.
// altered is called with the rows that are not as they were written, so that the
// change can't be made again; without a table, if that takes part no more.
func (db *Database) Live(ctx context.Context, device DeviceID, first, last uint64, each func(Change) error, altered func(*Table, Key) error) error {
	number, known := db.byID[device]
	if !known {
		return nil
	}
	tables, err := db.clockTables(ctx)
	if err != nil {
		return err
	}
	condition := fmt.Sprintf("c.device = %d AND c.batch BETWEEN %d AND %d AND c.state IN (%d, %d)", number, first, last, Shown, Deleted)
	for _, table := range db.parentsFirst() {
		tables = slices.DeleteFunc(tables, func(number int64) bool { return number == table.Number })
		if err := db.live(ctx, table, condition, each, altered); err != nil {
			return fmt.Errorf("table %q: %w", table.Name, err)
		}
	}
	for _, number := range tables {
		var gone bool
		err := db.Conn.Get(ctx, fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM sqlitesync_clock_%d c WHERE %s)", number, condition), nil, &gone)
		if err != nil {
			return err
		}
		if gone {
			if err := altered(nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (db *Database) live(ctx context.Context, table *Table, condition string, each func(Change) error, altered func(*Table, Key) error) error {
	rows, err := db.Conn.Query(ctx, fmt.Sprintf("SELECT %s FROM sqlitesync_clock_%d c LEFT JOIN %s t ON %s WHERE %s",
		list(KeyColumns("c.", table), clockList("c."), Bare("t.", table.Key), Bare("t.", table.Columns)),
		table.Number, Quote(table.Name), MatchKey(table, "t.", "c."), condition))
	if err != nil {
		return err
	}
	defer rows.Close()
	var found clockRow
	var row []Value
	dest := slices.Concat(found.dest(table), pointers(&row, len(table.Key)+len(table.Columns)))
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		clock, err := found.clock(db)
		if err != nil {
			return err
		}
		change := &Change{Shape: table.Gone, Key: clock.Key, Stamp: clock.Stamp}
		if clock.State == Shown {
			if change, err = db.madeAgain(ctx, table, &clock, row); err != nil {
				return err
			}
		}
		if change != nil {
			err = each(*change)
		} else {
			err = altered(table, clock.Key)
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

// madeAgain returns the change that a row shows, by the names that its columns had
// then, and nil if it is not as it was written.
func (db *Database) madeAgain(ctx context.Context, table *Table, clock *Clock, row []Value) (*Change, error) {
	values, err := scannedValues(row)
	if err != nil {
		return nil, err
	}
	put := table.fullPut(values)
	if clock.Shape != table.PutNumber {
		shape, err := db.Shape(ctx, clock.Shape)
		if err != nil {
			return nil, err
		}
		renamed, found := findRenamed(put, shape, clock.Image)
		if !found {
			return nil, nil
		}
		put = put.as(shape, renamed)
	} else if put.Image() != clock.Image {
		return nil, nil
	}
	put.Stamp, put.Birth = clock.Stamp, clock.Birth
	return put, nil
}

// Unpublish makes the rows that show their baseline as they were before it was
// published. It writes.
func (db *Database) Unpublish(ctx context.Context) error {
	for _, table := range db.Tables {
		result, err := db.Conn.Exec(ctx, fmt.Sprintf("UPDATE sqlitesync_clock_%d SET state = %d WHERE device = 0 AND state = %d", table.Number, Unsent, Shown))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			continue
		}
		if err := db.DoubtDigest(ctx, table.Put.Rows()); err != nil {
			return err
		}
		if err := db.SetPhase(ctx, table, PhaseUnsent); err != nil {
			return err
		}
	}
	return nil
}

// NoteLacking notes in the log, as Reconcile does, those of the rows of a table that were known with a column which the table
// has no more: what is known of them can't be told as it was written. Or it notes only those of which what is known is wanted,
// unless that is nil. It returns how many. It writes.
func (db *Database) NoteLacking(ctx context.Context, table *Table, keys []Key, wanted func(Digest) (bool, error)) (noted int, err error) {
	clocks, err := db.Clocks(ctx, table, keys)
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		clock, known := clocks[table.Identity(key)]
		if !known || clock.State != Shown {
			continue
		}
		shape, err := db.Shape(ctx, clock.Shape)
		if err != nil {
			return noted, err
		}
		if !slices.ContainsFunc(shape.Columns, func(column string) bool { return !table.Put.Contains(column) }) {
			continue
		}
		if wanted != nil {
			if is, err := wanted(clock.Digest()); err != nil {
				return noted, err
			} else if !is {
				continue
			}
		}
		if err := db.NoteFound(ctx, table, key); err != nil {
			return noted, err
		}
		noted++
	}
	return noted, nil
}
