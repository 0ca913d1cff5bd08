package changelog

import (
	"bytes"
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed schema.sql
var schema string

// Database is what the engine knows of one database: the tables that take
// part, the devices, the shapes. It is used by one goroutine at a time.
type Database struct {
	Conn *Conn
	// Self is this device.
	Self DeviceID
	// Tables holds the tables that take part, by number.
	Tables []*Table
	// Components holds the tables that take part, each after those that its
	// rows refer to.
	Components []Component
	// Unsynced holds what stays on this device, Refused those of it that
	// [Selection].Tables names.
	Unsynced, Refused []Unsynced
	// ForeignKeys is whether this space enforces foreign keys.
	ForeignKeys bool
	// Local holds the foreign keys between tables that do not take part,
	// Unchecked those of tables that do and that nothing can be said about: their
	// parents do not take part, or their columns are generated.
	Local, Unchecked []*Reference
	// Stale holds the tables that Reconcile is to look at.
	Stale []Stale
	// Losses counts how often rows of a table turned out to be missing: who is
	// reading the logs for them tells by it that there are more by now.
	Losses int

	byName  map[string]*Table // by canonical name
	texts   map[string]string // what readTables has read of definitionTexts
	byID    map[DeviceID]int64
	devices map[int64]DeviceID
	shapes  map[int64]*Shape
	version int64 // PRAGMA schema_version when Tables was read
	doubted bool  // Tables may be of a transaction that was rolled back
	// silent holds the tables, by canonical name, of which a trigger of the app
	// has rolled back a merge.
	silent map[string]bool
	// rollsBack: a trigger of the app, or a constraint of some table, may roll back
	// where a write conflicts (OR ROLLBACK, ON CONFLICT ROLLBACK).
	rollsBack bool
}

// CreateTables makes the tables of this package in a database that has none.
func CreateTables(ctx context.Context, c *Conn) error { return c.Script(ctx, schema) }

// Open reads what sqlitesync_ tables say. Call [Database.Capture] next.
func Open(ctx context.Context, c *Conn, self DeviceID) (*Database, error) {
	db := &Database{
		Conn:    c,
		Self:    self,
		byID:    make(map[DeviceID]int64),
		devices: make(map[int64]DeviceID),
		shapes:  make(map[int64]*Shape),
	}
	c.restore = db.restore
	c.doubt = func() { db.doubted = true }
	return db, db.restore(ctx)
}

// restore reads again what is in memory of our tables. What Capture has read is
// read again by the next one, which [Database.SchemaChanged] asks for after a
// rollback.
func (db *Database) restore(ctx context.Context) error {
	clear(db.byID)
	clear(db.devices)
	clear(db.shapes)
	rows, err := db.Conn.Query(ctx, "SELECT number, id FROM sqlitesync_devices")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var id []byte
		if err := rows.Scan(&number, &id); err != nil {
			return err
		}
		if len(id) != len(DeviceID{}) {
			return fmt.Errorf("device %d has an id of %d bytes", number, len(id))
		}
		db.byID[DeviceID(id)], db.devices[number] = number, DeviceID(id)
	}
	return rows.Err()
}

// Table returns the table with this canonical name, or nil if none takes part.
func (db *Database) Table(name string) *Table { return db.byName[name] }

// Lenient reports whether a write to the table of this name, which need not take
// part, may remove other rows or roll all back where it conflicts, unless it says
// otherwise itself: constraints of the table declare what becomes of a conflict (ON
// CONFLICT), or something that triggers write rolls back.
func (db *Database) Lenient(name string) bool {
	return db.rollsBack || hasInARow(db.texts[CanonicalName(name)], "on", "conflict")
}

// Silent reports whether triggers on the table of this name run in no merge any
// more.
func (db *Database) Silent(name string) bool { return db.silent[CanonicalName(name)] }

// Silence notes that a trigger on the table of this name has rolled back a
// merge: all is to be done again, and must not end so again.
func (db *Database) Silence(name string) { db.silent[CanonicalName(name)] = true }

// DeviceNumber returns the number that stands for id in the tables of this
// database, and gives it one if it has none. It writes, so it is called inside
// a transaction.
func (db *Database) DeviceNumber(ctx context.Context, id DeviceID) (int64, error) {
	if number, ok := db.byID[id]; ok {
		return number, nil
	}
	result, err := db.Conn.Exec(ctx, "INSERT INTO sqlitesync_devices (id) VALUES (?)", id[:])
	if err != nil {
		return 0, err
	}
	number, err := result.LastInsertId()
	if err != nil {
		return 0, err
	}
	db.byID[id], db.devices[number] = number, id
	return number, nil
}

// Devices returns all devices that tables of this database name, those that only
// stamps of relayed changes name too, and the zero one for nobody.
func (db *Database) Devices() []DeviceID {
	return slices.SortedFunc(maps.Keys(db.byID), func(a, b DeviceID) int { return bytes.Compare(a[:], b[:]) })
}

// ShapeNumber returns the number that stands for s in the tables of this
// database, and gives it one if it has none. It writes.
func (db *Database) ShapeNumber(ctx context.Context, s *Shape) (int64, error) {
	encoded := s.Append(nil)
	var number int64
	err := db.Conn.Get(ctx, "SELECT number FROM sqlitesync_shapes WHERE shape = ?", []any{encoded}, &number)
	if errors.Is(err, sql.ErrNoRows) {
		var result sql.Result
		if result, err = db.Conn.Exec(ctx, "INSERT INTO sqlitesync_shapes (shape) VALUES (?)", encoded); err == nil {
			number, err = result.LastInsertId()
		}
	}
	if err == nil {
		db.shapes[number] = s
	}
	return number, err
}

// Shape returns the shape with this number.
func (db *Database) Shape(ctx context.Context, number int64) (*Shape, error) {
	if s, ok := db.shapes[number]; ok {
		return s, nil
	}
	var encoded []byte
	err := db.Conn.Get(ctx, "SELECT shape FROM sqlitesync_shapes WHERE number = ?", []any{number}, &encoded)
	if err != nil {
		return nil, fmt.Errorf("shape %d: %w", number, err)
	}
	s, rest, err := parseShape(encoded)
	if err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("shape %d is damaged", number)
	}
	db.shapes[number] = s
	return s, nil
}

// Seen returns this device's seen vector: how far the log of each other device
// has been merged here.
func (db *Database) Seen(ctx context.Context) (Vector, error) {
	rows, err := db.Conn.Query(ctx, "SELECT number, batch FROM sqlitesync_devices WHERE batch > 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	seen := make(Vector)
	for rows.Next() {
		var number, batch int64
		if err := rows.Scan(&number, &batch); err != nil {
			return nil, err
		}
		if id := db.devices[number]; id != db.Self {
			seen[id] = uint64(batch)
		}
	}
	return seen, rows.Err()
}

// Position returns the newest batch of a device that stands in this database,
// and the tail of its log there.
func (db *Database) Position(ctx context.Context, id DeviceID) (batch uint64, tail [32]byte, err error) {
	var number int64
	var stored []byte
	err = db.Conn.Get(ctx, "SELECT batch, tail FROM sqlitesync_devices WHERE id = ?", []any{id[:]}, &number, &stored)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, tail, nil
	}
	copy(tail[:], stored)
	return uint64(number), tail, err
}

// SetPosition records that the log of a device stands in this database up to
// batch. It writes.
func (db *Database) SetPosition(ctx context.Context, id DeviceID, batch uint64, tail [32]byte) error {
	before, _, err := db.Position(ctx, id)
	if err != nil {
		return err
	}
	if batch < before {
		return broken("the log of device %s was read up to batch %d, and would now end with %d", id, before, batch)
	}
	return db.SetPositionBack(ctx, id, batch, tail)
}

// LogPosition is how far the log of a device stands in a database.
type LogPosition struct {
	Device DeviceID
	Batch  uint64
	Tail   [32]byte
}

// Positions returns how far each log stands in this database, this device's own too,
// by rising ids. Logs of which nothing does are left out.
func (db *Database) Positions(ctx context.Context) (positions []LogPosition, err error) {
	rows, err := db.Conn.Query(ctx, "SELECT id, batch, tail FROM sqlitesync_devices WHERE batch > 0 ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, tail []byte
		var batch int64
		if err := rows.Scan(&id, &batch, &tail); err != nil {
			return nil, err
		}
		if len(id) != len(DeviceID{}) {
			return nil, fmt.Errorf("a device id of %d bytes", len(id))
		}
		position := LogPosition{Device: DeviceID(id), Batch: uint64(batch)}
		copy(position.Tail[:], tail)
		positions = append(positions, position)
	}
	return positions, rows.Err()
}

// SetPositionBack is SetPosition that may also fall: for a log of which this
// database has more than others will ever see.
func (db *Database) SetPositionBack(ctx context.Context, id DeviceID, batch uint64, tail [32]byte) error {
	number, err := db.DeviceNumber(ctx, id)
	if err != nil {
		return err
	}
	_, err = db.Conn.Exec(ctx, "UPDATE sqlitesync_devices SET batch = ?, tail = ? WHERE number = ?", int64(batch), tail[:], number)
	return err
}

// Uninstall drops everything whose name begins with sqlitesync_: triggers and
// tables. The app's own tables and rows stay as they are.
func Uninstall(ctx context.Context, c *Conn) error {
	rows, err := c.Query(ctx, `SELECT type, name FROM sqlite_schema
		WHERE type IN ('trigger', 'table', 'view') AND name GLOB 'sqlitesync_*' ORDER BY type DESC`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var script strings.Builder
	for rows.Next() {
		var kind, name string
		if err := rows.Scan(&kind, &name); err != nil {
			return err
		}
		fmt.Fprintf(&script, "DROP %s %s;\n", kind, Quote(name))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	return c.Script(ctx, script.String())
}
