package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Result says what a merge did.
type Result struct {
	// Rows counts, per table name as the app declared it, the rows that show
	// something else than before.
	Rows map[string]int
	// Conflicts counts the conflicts that were recorded, Collisions, by table,
	// those among them that are two rows with one key.
	Conflicts  int
	Collisions map[string]int
	// Overruled counts the changes that are newer than what was known of their
	// rows, where that was of this device or of a baseline: what stands of it in a
	// log is of no use any more.
	Overruled int
	// Silenced holds the tables whose triggers failed, by name: the rows were
	// written without what the triggers do.
	Silenced []string
	// Unsent holds baseline rows that were not yet published, and that
	// [changelog.Database.Unsent] no longer lists because the table does not
	// show them as they were. The caller makes a batch of them in the same
	// transaction: other devices need them for the same answer.
	Unsent []changelog.Change
	// PutAgain counts the rows that were written again because children of this
	// device need them. They stand in the log; the caller folds it in the same
	// transaction, after it has recorded that the batch is merged.
	PutAgain int
	// Local says what became of rows of tables that do not take part in sync,
	// and whose parents are gone, where that is not what they declare.
	Local []string
}

// merger does one merge.
type merger struct {
	db      *changelog.Database
	author  changelog.DeviceID
	seen    changelog.Vector
	vectors map[uint64]changelog.Vector // instead of seen, see [changelog.Batch]
	merged  uint64                      // the newest batch of the author that was merged before
	witness bool
	fresh   bool // the batch was not merged before
	result  Result

	work        queue                           // rows that references make settle look at
	looked      queue                           // those of a component that were looked at
	whole       map[*changelog.Table]bool       // tables whose rows all have to be looked at
	seenLocally queue                           // rows that rows of local tables may refer to
	lost        map[*changelog.Table][]*lostRow // rows that the batch deletes
	overruled   []overruled
}

// touch notes that a row shows something else: unique values may be free now.
func touch(table *changelog.Table, key changelog.Key) {
	wrote(table, key)
	if len(table.Unique) == 0 {
		return
	}
	if table.Touched == nil {
		table.Touched = make(map[string]bool)
	}
	table.Touched[table.Identity(key)] = true
}

// maxWritten is how many rows of a table are remembered; beyond, to look at all
// of its rows costs less memory, and not much more time.
var maxWritten = 1 << 17

// wrote notes that the references of a row, and its children, have to be
// looked at.
func wrote(table *changelog.Table, key changelog.Key) {
	if !table.Bound() || table.Flooded {
		return
	}
	if len(table.Written) >= maxWritten {
		table.Flooded, table.Written = true, nil
		return
	}
	if table.Written == nil {
		table.Written = make(map[string]changelog.Key)
	}
	table.Written[table.Identity(key)] = key
}

// hold says why a row is held; the zero hold is that of a row that is not.
type hold struct {
	reason string
	rival  []byte // the row in its way: nil if it is held for its own sake, empty if nobody knows
	shown  bool   // it is not held, but shows without its parent for this reason
}

func newMerger(db *changelog.Database) *merger {
	return &merger{
		db: db, result: Result{Rows: make(map[string]int), Collisions: make(map[string]int)},
		work: make(queue), looked: make(queue), whole: make(map[*changelog.Table]bool), seenLocally: make(queue),
		lost: make(map[*changelog.Table][]*lostRow),
	}
}

// Apply merges a batch of another device. Conflicts are recorded if witness is
// set; it is not for batches whose causal wait expired: who reads them lacks what
// their authors had seen.
//
// It is called inside a transaction, on a connection with foreign_keys=OFF
// whose authorizer keeps the triggers of capture quiet. An error means that
// nothing of the batch may be kept; a row that the schema refuses is no error,
// it is held.
func Apply(ctx context.Context, db *changelog.Database, batch *changelog.Batch, witness bool) (Result, error) {
	merged, _, err := db.Position(ctx, batch.Device)
	if err != nil {
		return Result{}, err
	}
	m := newMerger(db)
	// What a batch conflicts with was recorded when it came for the first time.
	m.fresh = batch.Number > merged
	m.author, m.seen, m.vectors, m.merged, m.witness = batch.Device, batch.Seen, batch.Vectors, merged, witness && m.fresh
	// Changes of one shape are written in groups.
	rest := batch.Changes
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && rest[n].Shape == rest[0].Shape {
			n++
		}
		if err := m.run(ctx, rest[:n]); err != nil {
			return m.result, fmt.Errorf("table %q: %w", rest[0].Shape.Table, err)
		}
		rest = rest[n:]
	}
	if err := m.settle(ctx); err != nil {
		return m.result, err
	}
	if err := m.putAgain(ctx); err != nil {
		return m.result, err
	}
	return m.result, m.followLocally(ctx)
}

// lookUp bounds how many clocks are in memory at once.
const lookUp = 1024

// run merges changes of one shape.
func (m *merger) run(ctx context.Context, changes []changelog.Change) error {
	shape := changes[0].Shape
	table := m.db.Table(shape.Table)
	var home []changelog.Change
	for i := range changes {
		reason := homeless(table, &changes[i])
		if reason == "" {
			home = append(home, changes[i])
			continue
		}
		if err := m.keepHomeless(ctx, &changes[i], reason); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(home, lookUp) {
		if err := m.part(ctx, table, part); err != nil {
			return err
		}
	}
	return nil
}

// homeless says why no row of the table (nil: there is none) can be the row of
// the change; the empty string means that one can.
func homeless(table *changelog.Table, change *changelog.Change) string {
	switch {
	case table == nil:
		return "there is no such table that takes part in sync"
	case table.Unwritable != "":
		return table.Unwritable
	case !slices.Equal(table.Put.Key, change.Shape.Key):
		return "the table has another key"
	case !table.Stores(change.Key):
		return "the table's key has another type"
	}
	return ""
}

// keepHomeless keeps a change whose table this database does not have.
func (m *merger) keepHomeless(ctx context.Context, change *changelog.Change, reason string) error {
	row := change.Key.Identity()
	changes, err := m.kept(ctx, change.Shape, row)
	if err != nil {
		return err
	}
	return m.keep(ctx, change.Shape, row, Combine(append(changes, *change)).Needed, hold{reason: reason})
}

// part merges changes of one shape into a table that has their key. Those that
// simply win are written together, the others go through Combine.
func (m *merger) part(ctx context.Context, table *changelog.Table, changes []changelog.Change) error {
	keys := make([]changelog.Key, len(changes))
	for i := range changes {
		keys[i] = changes[i].Key
	}
	clocks, err := m.db.Clocks(ctx, table, keys)
	if err != nil {
		return err
	}
	simple := changes[:0:0]
	var same, others []changelog.Change
	met := make(map[string]bool, len(changes))
	for i := range changes {
		change := &changes[i]
		row := table.Identity(change.Key)
		if met[row] { // a compacted range may name a row more than once
			others = append(others, *change)
			continue
		}
		met[row] = true
		clock, known := clocks[row]
		if known && (clock.Stamp.Device == m.db.Self || clock.Stamp.Baseline()) && change.Stamp.Compare(clock.Stamp) > 0 {
			m.result.Overruled++
		}
		switch {
		case !known && (change.Shape.Kind == changelog.Delete || change.Shape.Equal(table.Put)):
			simple = append(simple, *change)
		case known && m.overrules(table, change, &clock):
			if m.concurrent(change, clock.Stamp, &clock) {
				if err := m.recordLoser(ctx, table, change, &clock); err != nil {
					return err
				}
			}
			if change.Shape.Kind == changelog.Full && clock.Shape == table.PutNumber && clock.Image == change.Image() {
				same = append(same, *change) // two devices have written the same; nobody's trigger needs to hear of it
			} else {
				simple = append(simple, *change)
			}
		default:
			others = append(others, *change)
		}
	}
	// Before the others are written: it decides which of two rows is newer.
	if err := m.db.Record(ctx, table, same, changelog.Shown, digestOf(table, clocks, same)); err != nil {
		return err
	}
	if err := m.write(ctx, table, simple, clocks); err != nil {
		return err
	}
	for i := range others {
		before, err := m.clock(ctx, table, others[i].Key)
		if err != nil {
			return err
		}
		if err := m.row(ctx, table, &others[i], before); err != nil {
			return err
		}
	}
	return nil
}

// overrules reports whether the change is newer than the row's newest and
// leaves nothing of it: the row shows one put as it travelled, and is replaced
// by one that contains exactly the table's columns, or by a delete.
func (m *merger) overrules(table *changelog.Table, change *changelog.Change, clock *changelog.Clock) bool {
	if clock.State != changelog.Shown && clock.State != changelog.Unsent || change.Stamp.Compare(clock.Stamp) <= 0 {
		return false
	}
	return change.Shape.Kind == changelog.Delete || change.Shape.Equal(table.Put)
}

// digestOf returns the digest of those of the clocks that are of the rows of
// changes.
func digestOf(table *changelog.Table, clocks map[string]changelog.Clock, changes []changelog.Change) (sum changelog.Digest) {
	if len(clocks) == 0 {
		return sum
	}
	for i := range changes {
		if clock, known := clocks[table.Identity(changes[i].Key)]; known {
			sum = sum.Plus(clock.Digest())
		}
	}
	return sum
}

// recordLoser records that the row's present version lost against change.
func (m *merger) recordLoser(ctx context.Context, table *changelog.Table, change *changelog.Change, clock *changelog.Clock) error {
	if change.Shape.Kind != changelog.Delete && clock.Image == change.Image() {
		return nil
	}
	loser, err := m.shown(ctx, table, clock)
	if err != nil || loser == nil {
		return err
	}
	return m.recordConflict(ctx, change, loser)
}

// shown re-makes the change that a row in state Shown or Unsent shows.
func (m *merger) shown(ctx context.Context, table *changelog.Table, clock *changelog.Clock) (*changelog.Change, error) {
	row, err := m.db.Read(ctx, table, clock.Key)
	if err != nil || row == nil {
		return nil, err
	}
	row.Stamp, row.Birth = clock.Stamp, clock.Birth
	return m.db.AsKnown(ctx, table, row, clock.Shape)
}

// clock returns what is known of one row, nil if nothing is.
func (m *merger) clock(ctx context.Context, table *changelog.Table, key changelog.Key) (*changelog.Clock, error) {
	clocks, err := m.db.Clocks(ctx, table, []changelog.Key{key})
	if err != nil {
		return nil, err
	}
	if clock, known := clocks[table.Identity(key)]; known {
		return &clock, nil
	}
	return nil, nil
}
