package changelog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Edit is a local write that Pending found: the change that it makes, and what
// was known of the row before.
type Edit struct {
	Table  *Table
	Change Change
	Before *Clock // nil if the row was not known
	Origin Origin
	// Held: nobody wrote the row, which does not show. Others are to hear of it
	// by the new names of its table, or columns. The change has no values yet.
	Held bool
	// Unshown: the winner has values that the table does not show. Restored is the
	// time of the newest change that gave the edit any of these.
	Unshown  bool
	Restored int64

	again   bool              // it tells what was known of the row, by other names
	renamed map[string]string // the new names of columns of the row, by the old ones
}

// FormerName returns what a column that the edit tells of was called when the
// row was known last: the same if that is not known.
func (e *Edit) FormerName(column string) string { return formerName(e.renamed, column) }

// Again reports whether the edit tells all that was known of a row that shows, by
// the new name of its table.
func (e *Edit) Again() bool {
	return e.again && e.Before.Visible() && e.Change.Shape == e.Table.Put
}

// After returns the time of the edit if that of what it was made of is known, and
// nothing tells when it was made. What was written without being noted is newer
// than what devices that have not seen it tell of the row again after a migration.
func (e *Edit) After(known int64) int64 {
	if e.Origin == Found && !e.again {
		return known + 2
	}
	return known + 1
}

// Origin says how an edit came to be known.
type Origin int

// Where edits come from.
const (
	Noted    Origin = iota // capture noted it when it was made
	Found                  // Reconcile has found it
	Migrated               // a migration made it ([Database.Migrated])
)

// originOf tells by the time of the log entry.
func originOf(at float64) Origin {
	switch at {
	case foundTime:
		return Found
	case migratedTime:
		return Migrated
	}
	return Noted
}

// Pending reads a page of the log, keeps the last entry of each row, reads the row (there:
// a put, gone: a delete), drops what is no change, and stamps the rest as
// changes of the batch with this number. Rows are read now and not when they
// were written, so a row updated a hundred times travels once, and as the
// app's own triggers left it.
//
// It is followed by [Database.Record] in the same transaction, or else the log
// must not be cleared. If the rows are more than is good to have in memory, the
// error is [ErrPageSize].
func (db *Database) Pending(ctx context.Context, page LogPage, batch uint64) ([]Edit, error) {
	p := pendingPage{page: page, batch: batch}
	for _, table := range db.Tables {
		err := db.pending(ctx, table, &p)
		if err == nil {
			err = db.saveFormers(ctx, table)
		}
		if err != nil {
			return nil, fmt.Errorf("table %q: %w", table.Name, err)
		}
	}
	return p.edits, nil
}

// maxPage is how many bytes of rows are good to have in memory, beyond the
// first row.
const maxPage = 32 << 20

// ErrPageSize is wrapped by errors about pages that are to be read in parts.
var ErrPageSize = errors.New("too many bytes for one page")

// pendingPage is what Pending has read of a page.
type pendingPage struct {
	page  LogPage
	batch uint64
	edits []Edit
	size  int
}

func (db *Database) pending(ctx context.Context, table *Table, p *pendingPage) error {
	query := table.Statement("pending", 1, func() string {
		return fmt.Sprintf(`SELECT %s
			FROM (SELECT max(id), at, %s FROM sqlitesync_log WHERE tbl IN (?, ?) AND id <= ? GROUP BY %s) l
			LEFT JOIN %s t ON %s
			LEFT JOIN sqlitesync_clock_%d c ON %s`,
			list(KeyColumns("l.", table), "ifnull(l.at, 0)", Bare("t.", table.Key), Bare("t.", table.Columns), KeyColumns("c.", table), clockList("c.")),
			KeyColumns("", table), groupKey(table), Quote(table.Name), MatchKey(table, "t.", "l."), table.Number, JoinKey(table, "c.", "l."))
	})
	rows, err := db.Conn.Query(ctx, query, table.Number, -table.Number, p.page.Last)
	if err != nil {
		return err
	}
	defer rows.Close()

	var logged, key Key
	var values []Value
	var at float64
	var before clockRow
	dest := pointers(&logged, len(table.Key))
	dest = append(dest, &at)
	dest = append(dest, pointers(&key, len(table.Key))...)
	dest = append(dest, pointers(&values, len(table.Columns))...)
	dest = append(dest, before.dest(table)...)

	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if containsNull(logged) { // such a row has no identity that another device could find it by
			table.NullKeys = true
			continue
		}
		edit, err := db.edit(ctx, table, logged, key, values, &before, originOf(at))
		if err != nil {
			return err
		}
		if edit == nil {
			continue
		}
		known := int64(0)
		if edit.Before != nil {
			known = edit.Before.Stamp.Time
		}
		edit.Change.Stamp = Stamp{max(1, milliseconds(at), edit.After(known)), db.Self, p.batch}
		if edit.Change.Shape.Kind != Delete {
			edit.Change.Birth = edit.Change.Stamp
			if edit.Before.Visible() {
				edit.Change.Birth = edit.Before.Birth
			}
		}
		p.edits = append(p.edits, *edit)
		if p.size += edit.Change.Size(); p.size > maxPage && len(p.edits) > 1 {
			return ErrPageSize
		}
	}
	return rows.Err()
}

// edit decides what became of a logged row; nil means that nothing did. What a
// migration did is told as exactly as can be.
func (db *Database) edit(ctx context.Context, table *Table, logged, key Key, values []Value, before *clockRow, origin Origin) (*Edit, error) {
	edit := &Edit{Table: table, Origin: origin}
	var err error
	if before.time.Valid {
		known, err := before.clock(db)
		if err != nil {
			return nil, err
		}
		edit.Before = &known
	}
	switch {
	case !containsNull(key): // the row is there
		edit.Change = Change{Shape: table.Put}
		if edit.Change.Key, err = scannedKey(key); err != nil {
			return nil, err
		}
		if edit.Change.Values, err = scannedValues(values); err != nil {
			return nil, err
		}
		columns, told, err := db.changed(ctx, table, edit)
		if err != nil || told && len(columns) == 0 {
			return nil, err
		}
		// A row that nobody else has yet must go out whole.
		if told && origin != Noted && edit.Before.State != Unsent {
			edit.Change = table.part(&edit.Change, columns)
		}
	case edit.Before.Visible() || edit.Before == nil && table.Phase == PhaseNew, // it was, or may have been, and is gone
		origin == Found && edit.Before != nil && edit.Before.State == Deleted: // it has another name now
		edit.Change, edit.again = Change{Shape: table.Gone}, !edit.Before.Visible()
		if edit.Change.Key, err = scannedKey(logged); err != nil {
			return nil, err
		}
	case origin == Found && edit.Before != nil && edit.Before.State == Held:
		edit.Change, edit.Held, edit.again = Change{Shape: table.Put}, true, true
		if edit.Change.Key, err = scannedKey(logged); err != nil {
			return nil, err
		}
	default: // made and gone again, or known to be gone
		return nil, nil
	}
	return edit, nil
}

// Equal reports whether a and b are the same value, bit for bit.
func Equal(a, b Value) bool { return string(AppendValue(nil, a)) == string(AppendValue(nil, b)) }

// Record writes the clocks of changes that the tables show, or do not show
// because they are deletes, over those whose digest was was.
func (db *Database) Record(ctx context.Context, table *Table, changes []Change, state State, was Digest) error {
	clocks := make([]Clock, len(changes))
	for i := range changes {
		c := &changes[i]
		clocks[i] = Clock{Key: c.Key, Stamp: c.Stamp, Birth: c.Birth, Shape: table.PutNumber, Image: c.Image(), State: state}
		switch {
		case c.Shape.Kind == Delete:
			clocks[i].Shape, clocks[i].State = 0, Deleted
		case !c.Shape.Equal(table.Put): // it is of a time when the table had other columns
			number, err := db.ShapeNumber(ctx, c.Shape)
			if err != nil {
				return err
			}
			clocks[i].Shape = number
		}
	}
	return db.SetClocks(ctx, table, clocks, was)
}

// milliseconds turns a Julian day into milliseconds since 1970. SQLite has none,
// and the queries above a 0, for a clock beyond the year 9999.
func milliseconds(julianDay float64) int64 {
	ms := math.Round((julianDay - 2440587.5) * 86400000)
	if !(ms > 0 && ms < MaxTime) {
		return 0 // a clock before 1970, or not a time at all
	}
	return int64(ms)
}

// MaxTime is FORMAT.md's limit for the time of a stamp, which is below it.
const MaxTime = 1 << 62

func containsNull(key Key) bool {
	for _, v := range key {
		if v == nil {
			return true
		}
	}
	return false
}

// groupKey lists the columns of the log such that one row of the app is one
// group.
func groupKey(table *Table) string {
	names := make([]string, len(table.Key))
	for i := range table.Key {
		names[i] = table.Key[i].Compared(fmt.Sprintf("k%d", i))
	}
	return strings.Join(names, ", ")
}

// JoinKey returns the condition that the rows called a and b of tables of ours
// have one key.
func JoinKey(table *Table, a, b string) string {
	terms := make([]string, len(table.Key))
	for i := range table.Key {
		terms[i] = fmt.Sprintf("%sk%d = %sk%d", a, i, b, i)
	}
	return strings.Join(terms, " AND ")
}

// list joins those of the parts that are not empty.
func list(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}
