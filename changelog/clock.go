package changelog

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// State says where the winner of a row is.
type State int

// The states of a row.
const (
	Shown   State = 0 // the table shows the newest change as it travelled
	Deleted State = 1 // the newest change is a delete
	// Held: the winner can't be shown just now. Package merge keeps it.
	Held State = 2
	// Combined: the table shows values of several changes that contain
	// different columns. Package merge keeps them; the clock has the image of
	// what is shown.
	Combined State = 3
	// Unsent: shown, a baseline row that was not yet published.
	Unsent State = 4
)

// Clock is what is known of one row: the stamp, birth, shape and image of its
// newest change.
type Clock struct {
	Key   Key
	Stamp Stamp
	Birth Stamp
	Shape int64 // number; 0 for a delete
	Image Image
	State State
}

// Visible reports whether the table has the row. A nil Clock is that of a row
// that is not known.
func (c *Clock) Visible() bool {
	return c != nil && c.State != Deleted && c.State != Held
}

// CompareChange orders the newest change of the row and another one of it, as
// [Change.Compare] does. The clock must not be that of a row that is combined.
func (c *Clock) CompareChange(change *Change) int {
	if o := c.Stamp.Compare(change.Stamp); o != 0 {
		return o
	}
	image := change.Image()
	return bytes.Compare(c.Image[:], image[:])
}

// clockDefinition returns the DDL of the table that holds the clocks of a
// table. The birth is NULL where it is the stamp, which is the usual case.
func clockDefinition(table *Table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE sqlitesync_clock_%d (\n", table.Number)
	for i, column := range table.Key {
		fmt.Fprintf(&b, "\t%s NOT NULL,\n", column.Compared(fmt.Sprintf("k%d %s", i, column.Affinity)))
	}
	b.WriteString("\ttime INTEGER NOT NULL, device INTEGER NOT NULL, batch INTEGER NOT NULL,\n" +
		"\tbirth_time INTEGER, birth_device INTEGER, birth_batch INTEGER,\n" +
		"\tshape INTEGER NOT NULL, image BLOB NOT NULL, state INTEGER NOT NULL,\n")
	fmt.Fprintf(&b, "\tPRIMARY KEY (%s)\n) WITHOUT ROWID", KeyColumns("", table))
	return b.String()
}

// clockColumns are the columns of a clock table after the key.
const clockColumns = 9

func clockList(alias string) string {
	return strings.ReplaceAll("@time, @device, @batch, @birth_time, @birth_device, @birth_batch, @shape, @image, @state", "@", alias)
}

// clockRow receives the key and the columns of clockList; all are NULL if an
// outer join found no clock.
type clockRow struct {
	key                                                                   Key
	time, device, batch, birthTime, birthDevice, birthBatch, shape, state sql.NullInt64
	image                                                                 []byte
}

func (r *clockRow) dest(table *Table) []any {
	return append(pointers(&r.key, len(table.Key)),
		&r.time, &r.device, &r.batch, &r.birthTime, &r.birthDevice, &r.birthBatch, &r.shape, &r.image, &r.state)
}

func (r *clockRow) clock(db *Database) (Clock, error) {
	key, err := scannedKey(r.key)
	if err != nil {
		return Clock{}, err
	}
	c := Clock{
		Key:   key,
		Stamp: Stamp{r.time.Int64, db.devices[r.device.Int64], uint64(r.batch.Int64)},
		Shape: r.shape.Int64,
		State: State(r.state.Int64),
	}
	if len(r.image) != len(c.Image) {
		return Clock{}, fmt.Errorf("clock has an image of %d bytes", len(r.image))
	}
	copy(c.Image[:], r.image)
	switch {
	case r.birthTime.Valid:
		c.Birth = Stamp{r.birthTime.Int64, db.devices[r.birthDevice.Int64], uint64(r.birthBatch.Int64)}
	case c.State != Deleted:
		c.Birth = c.Stamp
	}
	return c, nil
}

// Many statements take rows in groups of groupRows, because the fixed cost of
// a statement is a third of the cost of a row. Groups of 32 reach the best
// rate and keep the statement cache small.
const groupRows = 32

// maxParameters is SQLite's default limit for the parameters of a statement.
const maxParameters = 32766

// Groups calls fn with pieces of items that are groupRows long, then with the
// rest one by one, so that only two statements are prepared. Each item takes
// width parameters; if a group would take too many, all go one by one.
func Groups[T any](items []T, width int, fn func([]T) error) error {
	for len(items) > 0 {
		n := 1
		if len(items) >= groupRows && groupRows*width <= maxParameters {
			n = groupRows
		}
		if err := fn(items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// Placeholders returns n times "(?, ?, …)" with width question marks each.
func Placeholders(n, width int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", width), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}

// ForgetRow takes away what is known of a row by its clock. It writes.
func (db *Database) ForgetRow(ctx context.Context, table *Table, clock *Clock) error {
	query := table.Statement("forget", 1, func() string {
		terms := make([]string, len(table.Key))
		for i := range terms {
			terms[i] = fmt.Sprintf("k%d = ?", i)
		}
		return fmt.Sprintf("DELETE FROM sqlitesync_clock_%d WHERE %s", table.Number, strings.Join(terms, " AND "))
	})
	if _, err := db.Conn.Exec(ctx, query, clock.Key...); err != nil {
		return err
	}
	return db.Redigest(ctx, table.Put.Rows(), clock.Digest(), Digest{})
}

// Clocks returns the clocks of those of the keys that have one, by [Table.Identity].
func (db *Database) Clocks(ctx context.Context, table *Table, keys []Key) (map[string]Clock, error) {
	found := make(map[string]Clock, len(keys))
	err := Groups(keys, len(table.Key), func(group []Key) error {
		query := table.Statement("clocks", len(group), func() string {
			// A join, because SQLite scans the table for (k0, k1) IN (VALUES …).
			return fmt.Sprintf("WITH wanted (%s) AS (VALUES %s) SELECT %s, %s FROM wanted w CROSS JOIN sqlitesync_clock_%d c ON %s",
				KeyColumns("", table), Placeholders(len(group), len(table.Key)),
				KeyColumns("c.", table), clockList("c."), table.Number, JoinKey(table, "c.", "w."))
		})
		args := make([]any, 0, len(group)*len(table.Key))
		for _, key := range group {
			args = append(args, key...)
		}
		rows, err := db.Conn.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return db.scanClocks(rows, table, func(clock *Clock) error {
			found[table.Identity(clock.Key)] = *clock
			return nil
		})
	})
	return found, err
}

// EachClock calls each with the clocks of a table.
func (db *Database) EachClock(ctx context.Context, table *Table, each func(*Clock) error) error {
	rows, err := db.Conn.Query(ctx, fmt.Sprintf("SELECT %s FROM sqlitesync_clock_%d c", list(KeyColumns("c.", table), clockList("c.")), table.Number))
	if err != nil {
		return err
	}
	return db.scanClocks(rows, table, each)
}

// scanClocks calls each with the clocks that rows selects, and closes rows.
func (db *Database) scanClocks(rows *sql.Rows, table *Table, each func(*Clock) error) error {
	defer rows.Close()
	var row clockRow
	dest := row.dest(table)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		clock, err := row.clock(db)
		if err == nil {
			err = each(&clock)
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

// SetClocks writes clocks over those that are there, whose digest is was. Binding
// a parameter costs a tenth of a microsecond, so what neighbours have in common
// stands in the text of the statement; it takes few values.
func (db *Database) SetClocks(ctx context.Context, table *Table, clocks []Clock, was Digest) error {
	var is Digest
	for i := range clocks {
		is = is.Plus(clocks[i].Digest())
	}
	if err := db.Redigest(ctx, table.Put.Rows(), was, is); err != nil {
		return err
	}
	for len(clocks) > 0 {
		n := 1
		for n < len(clocks) && clocks[n].common() == clocks[0].common() {
			n++
		}
		width := len(table.Key) + clockColumns
		err := Groups(clocks[:n], width, func(group []Clock) error { return db.setClocks(ctx, table, group) })
		if err != nil {
			return err
		}
		clocks = clocks[n:]
	}
	return nil
}

// commonClock is what the clocks of one statement have in common.
type commonClock struct {
	device   DeviceID
	shape    int64
	state    State
	ownBirth bool
}

func (c *Clock) common() commonClock {
	return commonClock{c.Stamp.Device, c.Shape, c.State, c.ownBirth()}
}

// ownBirth reports whether there is no birth but the stamp.
func (c *Clock) ownBirth() bool { return c.Birth == c.Stamp || c.State == Deleted }

func (db *Database) setClocks(ctx context.Context, table *Table, group []Clock) error {
	first := &group[0]
	device, err := db.DeviceNumber(ctx, first.Stamp.Device)
	if err != nil {
		return err
	}
	common := fmt.Sprintf("%d, %d, %d", device, first.Shape, first.State)
	if first.ownBirth() {
		common += ", NULL, NULL, NULL"
	}
	query := table.Statement("set clocks "+common, len(group), func() string { return setClocksText(table, len(group), common, first.ownBirth()) })
	args := make([]any, 0, len(group)*(len(table.Key)+clockColumns))
	for i := range group {
		c := &group[i]
		args = append(args, c.Key...)
		args = append(args, c.Stamp.Time, int64(c.Stamp.Batch), c.Image[:])
		if c.ownBirth() {
			continue
		}
		if device, err = db.DeviceNumber(ctx, c.Birth.Device); err != nil {
			return err
		}
		args = append(args, c.Birth.Time, device, int64(c.Birth.Batch))
	}
	_, err = db.Conn.Exec(ctx, query, args...)
	return err
}

// setClocksText returns the statement for n clocks that have the values common
// in common.
func setClocksText(table *Table, n int, common string, ownBirth bool) string {
	columns := "device, shape, state, birth_time, birth_device, birth_batch, " + KeyColumns("", table) + ", time, batch, image"
	width := len(table.Key) + 3
	if !ownBirth {
		columns = "device, shape, state, " + KeyColumns("", table) + ", time, batch, image, birth_time, birth_device, birth_batch"
		width += 3
	}
	rows := strings.ReplaceAll(Placeholders(n, width), "(", "("+common+", ")
	updated := strings.Split(clockList(""), ", ")
	for i, column := range table.Key {
		if column.Loose() {
			updated = append(updated, fmt.Sprintf("k%d", i))
		}
	}
	for i, column := range updated {
		updated[i] = column + " = excluded." + column
	}
	return fmt.Sprintf("INSERT INTO sqlitesync_clock_%d (%s) VALUES %s ON CONFLICT DO UPDATE SET %s",
		table.Number, columns, rows, strings.Join(updated, ", "))
}

// Restamp replaces a stamp, wherever it stands in the clock, and reports whether
// it did.
func (c *Clock) Restamp(was, now Stamp) (found bool) { return restamp(was, now, &c.Stamp, &c.Birth) }

// restamp replaces a stamp. The birth of that change, which has its time, stays what it is,
// for others may have written to the row since, unless the new stamp is of another device,
// or of an earlier batch: then it could be newer than the stamp.
func restamp(was, now Stamp, stamp, birth *Stamp) (found bool) {
	if *stamp == was {
		*stamp, found = now, true
	}
	if (was.Device != now.Device || now.Batch < birth.Batch) && birth.Device == was.Device && birth.Time == was.Time {
		*birth, found = now, true
	}
	return found
}
