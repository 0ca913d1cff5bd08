package merge_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// TestWorlds runs random histories over tables that refer to one another and holds every device against the oracle after
// every step, in a space that enforces foreign keys.
func TestWorlds(t *testing.T) {
	if *seedFlag != 0 {
		runWorld(t, *seedFlag)
		return
	}
	for seed := range uint64(*historiesFlag) {
		t.Run(fmt.Sprint("seed=", seed+1), func(t *testing.T) { runWorld(t, seed+1) })
	}
}

// A worldRun is one random history.
type worldRun struct {
	course
	kind    *worldKind // as all devices have it at first
	renamed *worldKind // as they all have it at last
	members []*worldMember
}

type worldMember struct {
	*device
	kind  *worldKind
	known []changelog.Change
	seen  changelog.Vector
}

func runWorld(t *testing.T, seed uint64) {
	h := &worldRun{course: newCourse(t, seed, 2)}
	defer func() {
		if t.Failed() {
			t.Logf("to run this history alone: go test -run TestWorlds -seed %d -steps %d -v", seed, *stepsFlag)
		}
	}()
	h.kind = &worldKinds[h.random.IntN(len(worldKinds))]
	tables := h.kind.world.tables()
	first := tables[h.random.IntN(len(tables))].table
	h.renamed = h.kind.rename(func(table string) bool { return table == first || h.random.IntN(2) == 0 })
	h.logf("%s", h.kind.create)
	if h.random.IntN(4) == 0 {
		defer merge.RememberWritten(h.random.IntN(3))()
	}
	for i := range 2 + h.random.IntN(4) {
		h.join(string(rune('a'+i)), h.kind)
	}
	for range *stepsFlag {
		h.step()
		if t.Failed() {
			return
		}
	}
	h.finish()
}

// maxMembers is how many devices there are at most.
const maxMembers = 5

// joinLate lets a device come that knows the tables by their old names or by their new ones.
func (h *worldRun) joinLate() {
	if len(h.members) == maxMembers {
		return
	}
	kind := h.kind
	if h.random.IntN(2) == 0 {
		kind = h.renamed
	}
	h.join(string(rune('a'+len(h.members))), kind)
}

func (h *worldRun) join(name string, kind *worldKind) {
	h.logf("%s joins", name)
	d := newApp(h.t, name, kind.create)
	d.foreignKeys = true
	d.recursiveTriggers, d.appForeignKeys = h.random.IntN(2) == 0, true
	m := &worldMember{device: d, kind: kind, seen: make(changelog.Vector)}
	d.restartApp()
	for range h.random.IntN(6) {
		h.write(m)
	}
	for _, table := range kind.world.tables() {
		for _, row := range m.scan(table) {
			m.known = append(m.known, asBaseline(table, row))
		}
	}
	d.setUp()
	// Some apps do not care.
	d.appForeignKeys = h.random.IntN(5) != 0
	m.restart()
	m.retry() // a REPLACE can leave a child without its parent, in SQLite itself
	h.members = append(h.members, m)
	h.publish(m)
	h.verify(m)
}

// restartApp opens the handles again before sync is there.
func (d *device) restartApp() { d.close(); d.open() }

// asBaseline makes a change of a row as scan returns it.
func asBaseline(table *model, row map[string]any) changelog.Change {
	var names []string
	for _, column := range table.column {
		names = append(names, column.name)
	}
	slices.Sort(names)
	c := changelog.Change{Shape: changelog.NewShape(changelog.Full, table.table, table.key, names)}
	for _, name := range table.key {
		c.Key = append(c.Key, row[name])
	}
	for _, name := range names {
		c.Values = append(c.Values, row[name])
	}
	return c
}

// scan reads a table.
func (m *worldMember) scan(table *model) (found []map[string]any) {
	names := slices.Clone(table.key)
	for _, column := range table.column {
		names = append(names, column.name)
	}
	rows, err := m.app.Query(`SELECT +"` + strings.Join(names, `", +"`) + `" FROM "` + table.table + `"`)
	m.check(err)
	defer rows.Close()
	for rows.Next() {
		values := make([]any, len(names))
		dest := make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		m.check(rows.Scan(dest...))
		row := make(map[string]any)
		for i, name := range names {
			row[name] = values[i]
		}
		found = append(found, row)
	}
	m.check(rows.Err())
	return found
}

func keyIn(table *model, row map[string]any) changelog.Key {
	var key changelog.Key
	for _, name := range table.key {
		key = append(key, row[name])
	}
	return key
}

func (h *worldRun) step() {
	m := h.members[h.random.IntN(len(h.members))]
	switch n := h.random.IntN(100); {
	case n < 40:
		h.write(m)
	case n < 55:
		h.fold(m)
	case n < 88:
		h.deliver(m, h.anyBatch(m.device, m.seen))
	case n < 91:
		h.repeat(m)
	case n < 94:
		h.logf("%s restarts", m.name())
		m.restart()
	case n < 96:
		h.fold(m)
		m.device.baseline()
		h.publish(m)
		h.verify(m)
	case n < 97:
		h.phantom(m)
	case n < 98:
		if h.random.IntN(2) == 0 {
			h.joinLate()
		} else {
			h.rename(m)
		}
	default:
		h.logf("%s looks at all again", m.name())
		h.fold(m)
		m.retry()
		h.publish(m)
		h.verify(m)
	}
}

func (h *worldRun) write(m *worldMember) {
	m.now = 1 + h.random.Int64N(40)
	for _, statement := range m.kind.statements(h.random) {
		err := m.try(statement)
		h.logf("%s at %d: %s; %v", m.name(), m.now, statement, err)
	}
	m.try("ROLLBACK") // a COMMIT can be refused
}

// fold makes a batch of what the app wrote and compares it with what the app did.
func (h *worldRun) fold(m *worldMember) {
	h.t.Helper()
	before := m.kind.world.look(m.known)
	want := make(map[string]string)
	for _, table := range m.kind.world.tables() {
		h.expectEdits(m, table, before.shown[table.table], want)
	}
	made := len(m.made)
	m.pageSize = h.random.IntN(4)
	m.device.fold()
	h.compare(m.device, "edits", m.edits(made), want)
	h.publish(m)
	h.verify(m)
}

// edits describes what m has folded since it had made so many batches.
func (m *worldMember) edits(made int) map[string]string {
	got := make(map[string]string)
	for _, batch := range m.made[made:] {
		for _, c := range batch.Changes {
			table := m.kind.model(c.Shape.Table)
			name := table.table + " " + table.identity(c.Key)
			switch {
			case c.Stamp.Baseline(): // handed over, not folded
			case c.Shape.Kind == changelog.Delete:
				got[name] = "deleted"
			default:
				row, _ := table.winner([]changelog.Change{c})
				got[name] = table.line(row)
			}
		}
	}
	return got
}

// rename gives the tables of m their new names. All that it knows of them it says again under these, but for what others have
// said so before.
func (h *worldRun) rename(m *worldMember) {
	h.t.Helper()
	if m.kind == h.renamed {
		return
	}
	h.fold(m)
	m.device.baseline()
	h.publish(m)
	was := m.kind.world.look(m.known)
	want, free := make(map[string]string), make(map[string]bool)
	for i, table := range h.renamed.world.tables() {
		old := m.kind.world.tables()[i]
		if old.table == table.table {
			continue
		}
		others := table.of(m.known)
		for identity, versions := range old.of(m.known) {
			name := table.table + " " + identity
			shown, held := was.shown[old.table][identity], was.held[old.table][identity]
			switch {
			case others[identity] != nil:
				free[name] = true
			case shown != nil:
				want[name] = table.line(shown.modelRow)
			case held != nil:
				want[name] = table.line(held.modelRow)
			case slices.ContainsFunc(versions, func(c changelog.Change) bool { return c.Shape.Kind == changelog.Delete }):
				want[name] = "deleted"
			}
		}
		for n := range m.known {
			if c := &m.known[n]; c.Shape.Table == old.table {
				c.Shape = changelog.NewShape(c.Shape.Kind, table.table, c.Shape.Key, c.Shape.Columns)
			}
		}
	}
	h.logf("%s renames its tables: %s", m.name(), m.kind.renaming(h.renamed))
	m.exec(m.kind.renaming(h.renamed))
	m.kind = h.renamed
	made := len(m.made)
	m.pageSize = h.random.IntN(4)
	m.schemaChanged()
	got := m.edits(made)
	maps.DeleteFunc(got, func(name, _ string) bool { return free[name] })
	h.compare(m.device, "rows under new names", got, want)
	h.publish(m)
	h.verify(m)
}

// expectEdits says what the app made of a table that showed these rows. A column that shows what stands there for want of a
// parent is not the app's doing.
func (h *worldRun) expectEdits(m *worldMember, table *model, shown map[string]*worldRow, want map[string]string) {
	there := make(map[string]bool)
	for _, row := range m.scan(table) {
		key := keyIn(table, row)
		there[table.identity(key)] = true
		was := shown[table.identity(key)]
		line := table.line(modelRow{key: key, values: row})
		if was != nil && line == table.line(modelRow{key: was.key, values: was.now}) {
			continue
		}
		restored := maps.Clone(row)
		if was != nil {
			for _, r := range was.absent {
				if !slices.ContainsFunc(r.columns, func(name string) bool { return !changelog.Equal(row[name], was.now[name]) }) {
					for _, name := range r.columns {
						restored[name] = was.values[name]
					}
				}
			}
		}
		want[table.table+" "+table.identity(key)] = table.line(modelRow{key: key, values: restored})
	}
	for identity := range shown {
		if !there[identity] {
			want[table.table+" "+identity] = "deleted"
		}
	}
}

func (h *worldRun) publish(m *worldMember) {
	for _, batch := range m.made[len(h.logs[m.id]):] {
		h.logf("%s publishes batch %d: %s", m.name(), batch.Number, describedIn(batch.Changes))
		m.known = append(m.known, batch.Changes...)
		h.logs[m.id] = append(h.logs[m.id], batch)
	}
}

func describedIn(changes []changelog.Change) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, fmt.Sprintf("%s %s@%s kind %d %s", c.Shape.Table, printedKey(c.Key), c.Stamp, c.Shape.Kind, printedKey(c.Values)))
	}
	return strings.Join(parts, ", ")
}

// verify holds all tables, the list of held rows and SQLite's own opinion of foreign keys against the oracle.
func (h *worldRun) verify(m *worldMember) {
	h.t.Helper()
	view := m.kind.world.look(m.known)
	held, wantHeld := make(map[string]string), make(map[string]string)
	for _, table := range m.kind.world.tables() {
		got, want := make(map[string]string), make(map[string]string)
		for _, row := range m.scan(table) {
			key := keyIn(table, row)
			got[table.identity(key)] = table.line(modelRow{key: key, values: row})
		}
		for identity, row := range view.shown[table.table] {
			want[identity] = table.line(modelRow{key: row.key, values: row.now})
		}
		h.compare(m.device, "rows of "+table.table, got, want)
		for identity, row := range view.held[table.table] {
			wantHeld[table.table+identity] = row.newest.Stamp.String() + " false"
		}
		for identity, row := range view.shown[table.table] {
			if len(row.absent) > 0 {
				wantHeld[table.table+identity] = row.newest.Stamp.String() + " true"
			}
		}
	}
	for _, kind := range []*worldKind{h.kind, h.renamed} {
		for _, table := range kind.world.tables() {
			if m.kind.model(table.table) == nil {
				h.expectHomeless(m, *table, wantHeld)
			}
		}
	}
	for _, row := range m.heldRows() {
		identity := row.Change.Key.Identity()
		if table := m.kind.model(row.Change.Shape.Table); table != nil {
			identity = table.identity(row.Change.Key)
		}
		held[row.Change.Shape.Table+identity] = fmt.Sprint(row.Change.Stamp, row.Shown)
	}
	h.compare(m.device, "held rows", held, wantHeld)
	if orphans := m.rows("PRAGMA foreign_key_check"); len(orphans) > 0 {
		h.t.Errorf("%s has rows without parents: %v", m.name(), orphans)
	}
}

// expectHomeless says which rows are held because m does not have their table under this name.
func (h *worldRun) expectHomeless(m *worldMember, table model, want map[string]string) {
	table.fold = nil // nobody has told m how keys compare
	for identity, versions := range table.of(m.known) {
		if row, exists := table.winner(versions); exists {
			want[table.table+identity] = row.newest.Stamp.String() + " false"
		}
	}
}

func (h *worldRun) deliver(m *worldMember, batch *changelog.Batch) {
	h.t.Helper()
	if batch == nil {
		return
	}
	h.fold(m)
	h.logf("%s merges batch %d of %.1s: %s", m.name(), batch.Number, batch.Device[:], describedIn(batch.Changes))
	m.applyAs(batch, h.random.IntN(2) == 0)
	m.seen[batch.Device] = batch.Number
	m.known = append(m.known, batch.Changes...)
	h.publish(m)
	h.verify(m)
	if folded := m.device.fold(); folded != nil {
		h.t.Errorf("%s echoes a merge: %s", m.name(), describedIn(folded.Changes))
	}
}

// repeat merges a batch that was merged before, which must change nothing at all.
func (h *worldRun) repeat(m *worldMember) {
	var merged []*changelog.Batch
	for _, other := range h.members {
		merged = append(merged, h.logs[other.id][:min(m.seen[other.id], uint64(len(h.logs[other.id])))]...)
	}
	if len(merged) == 0 {
		return
	}
	batch := merged[h.random.IntN(len(merged))]
	h.fold(m)
	before := (&member{device: m.device}).everything()
	m.apply(batch)
	if after := (&member{device: m.device}).everything(); after != before {
		h.t.Errorf("merging batch %d of %.1s again at %s changed\n%s\nto\n%s", batch.Number, batch.Device[:], m.name(), before, after)
	}
}

// phantom publishes changes of a device with another schema, which writes partial puts too, and saw what m has seen.
func (h *worldRun) phantom(m *worldMember) {
	id := changelog.DeviceID{'p'}
	batch := &changelog.Batch{Device: id, Number: uint64(len(h.logs[id])) + 1, Seen: maps.Clone(m.seen)}
	delete(batch.Seen, id)
	for _, table := range m.kind.world.tables() {
		rows := table.of(m.known)
		for _, identity := range slices.Sorted(maps.Keys(rows)) {
			if h.random.IntN(4) != 0 {
				continue
			}
			newest, kind := rows[identity][0], changelog.Kind(h.random.IntN(3))
			var names []string
			for _, column := range table.column {
				if kind != changelog.Delete && h.random.IntN(2) == 0 {
					names = append(names, column.name)
				}
			}
			if kind == changelog.Partial && len(names) == 0 {
				continue
			}
			slices.Sort(names)
			c := changelog.Change{Shape: changelog.NewShape(kind, table.table, table.key, names), Key: newest.Key}
			for _, name := range names {
				c.Values = append(c.Values, m.kind.value(h.random, name))
			}
			c.Stamp = changelog.Stamp{Time: max(1+h.random.Int64N(40), newest.Stamp.Time+1), Device: id, Batch: batch.Number}
			if kind != changelog.Delete {
				c.Birth = c.Stamp
			}
			batch.Changes = append(batch.Changes, c)
		}
	}
	h.logf("p publishes batch %d: %s", batch.Number, describedIn(batch.Changes))
	h.logs[id] = append(h.logs[id], batch)
}

// finish delivers everything everywhere: all devices must be equal, whatever names their tables had before, and so must one be
// that comes last.
func (h *worldRun) finish() {
	h.publishAll()
	h.deliverAll()
	same := func(m, other *worldMember) bool { return m.kind == other.kind }
	if !slices.ContainsFunc(h.members, func(m *worldMember) bool { return !same(m, h.members[0]) }) {
		h.compareAll()
	}
	for _, m := range h.members {
		h.rename(m)
	}
	h.join("z", h.renamed)
	h.publishAll()
	h.deliverAll()
	h.compareAll()
	for _, m := range h.members {
		m.integrity()
		m.restart()
		m.transact(func(ctx context.Context) error { return nil })
		h.verify(m)
	}
}

func (h *worldRun) publishAll() {
	for _, m := range h.members {
		h.fold(m)
		m.device.baseline()
		h.publish(m)
		h.verify(m)
	}
}

func (h *worldRun) deliverAll() {
	for working := true; working; {
		working = false
		for _, m := range h.members {
			for batch := h.anyBatch(m.device, m.seen); batch != nil && !h.t.Failed(); batch = h.anyBatch(m.device, m.seen) {
				h.deliver(m, batch)
				working = true
			}
		}
	}
}

// compareAll holds the devices against one another. They have the same schema.
func (h *worldRun) compareAll() {
	for _, m := range h.members {
		for _, table := range m.kind.world.tables() {
			query := fmt.Sprintf("SELECT * FROM %q ORDER BY 1, 2", table.table)
			if got, want := m.rows(query), h.members[0].rows(query); !slices.Equal(got, want) {
				h.t.Errorf("%s shows %v in %s, %s shows %v", m.name(), got, table.table, h.members[0].name(), want)
			}
		}
	}
}

// A worldKind is a schema for histories, as SQL and as the oracle knows it, and the values that its columns take.
type worldKind struct {
	create string
	world  world
	values map[string][]any // by column
}

// model returns the table of this name, nil if there is none.
func (k *worldKind) model(name string) *model {
	for _, table := range k.world.tables() {
		if table.table == name {
			return table
		}
	}
	return nil
}

// rename returns a schema that has other names for the tables that are chosen, and is the same else.
func (k *worldKind) rename(chosen func(table string) bool) *worldKind {
	names := make(map[string]string)
	for _, table := range k.world.tables() {
		if names[table.table] = table.table; chosen(table.table) {
			names[table.table] = table.table + "_new"
		}
	}
	renamed := &worldKind{values: k.values}
	for _, component := range k.world.components {
		var tables []*model
		for _, table := range component {
			table := *table
			table.table = names[table.table]
			tables = append(tables, &table)
		}
		renamed.world.components = append(renamed.world.components, tables)
	}
	for _, r := range k.world.references {
		r.child, r.parent = names[r.child], names[r.parent]
		renamed.world.references = append(renamed.world.references, r)
	}
	renamed.create = k.create + ";" + k.renaming(renamed)
	return renamed
}

// renaming returns the statements that make k's schema that of renamed.
func (k *worldKind) renaming(renamed *worldKind) string {
	var b strings.Builder
	for i, table := range k.world.tables() {
		if name := renamed.world.tables()[i].table; name != table.table {
			fmt.Fprintf(&b, "ALTER TABLE %s RENAME TO %s;", table.table, name)
		}
	}
	return b.String()
}

// value returns a random value for a column, as its table stores it.
func (k *worldKind) value(random *rand.Rand, column string) any {
	pool := k.values[column]
	if pool == nil {
		pool = []any{nil, int64(1), int64(2), int64(3), int64(4)}
	}
	return pool[random.IntN(len(pool))]
}

func (k *worldKind) statements(random *rand.Rand) []string {
	if random.IntN(5) != 0 {
		return []string{k.statement(random)}
	}
	list := []string{"BEGIN"}
	for range 1 + random.IntN(4) {
		list = append(list, k.statement(random))
	}
	return append(list, "COMMIT")
}

func (k *worldKind) statement(random *rand.Rand) string {
	tables := k.world.tables()
	table := tables[random.IntN(len(tables))]
	names := slices.Clone(table.key)
	for _, column := range table.column {
		names = append(names, column.name)
	}
	literal := func(name string) string {
		if v := k.value(random, name); v != nil {
			return strings.ReplaceAll(printed(v), `"`, "'")
		}
		return "NULL"
	}
	key := func(name string) string {
		for {
			if text := literal(name); text != "NULL" {
				return text
			}
		}
	}
	var where, all, set []string
	for _, name := range table.key {
		text := key(name)
		where, all = append(where, name+" = "+text), append(all, text)
	}
	for _, name := range names[len(table.key):] {
		all = append(all, literal(name))
		if random.IntN(len(names)) == 0 {
			set = append(set, name+" = "+literal(name))
		}
	}
	if len(set) == 0 {
		name := names[random.IntN(len(names))]
		set = append(set, name+" = "+key(name))
	}
	switch n := random.IntN(20); {
	case n < 9:
		or := []string{"", "", "OR REPLACE ", "OR IGNORE "}[random.IntN(4)]
		return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s)", or, table.table, strings.Join(names, ", "), strings.Join(all, ", "))
	case n < 13:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", table.table, strings.Join(where, " AND "))
	case n < 14:
		return "DELETE FROM " + table.table
	default:
		return fmt.Sprintf("UPDATE %s SET %s WHERE %s", table.table, strings.Join(set, ", "), strings.Join(where, " AND "))
	}
}

func plainColumns(names ...string) (columns []modelColumn) {
	for _, name := range names {
		columns = append(columns, modelColumn{name: name})
	}
	return columns
}

var worldKinds = []worldKind{
	{ // a chain of three tables
		create: `CREATE TABLE a (id INTEGER PRIMARY KEY, x);
			CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a ON DELETE CASCADE, u INTEGER UNIQUE);
			CREATE TABLE c (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b ON DELETE SET NULL, n INTEGER NOT NULL DEFAULT 7, UNIQUE (b, n), CHECK (b IS NULL OR n <> 3));
			CREATE INDEX children ON b (a)`,
		world: world{
			components: [][]*model{
				{{table: "a", key: []string{"id"}, column: plainColumns("x")}},
				{{table: "b", key: []string{"id"}, column: plainColumns("a", "u"), unique: []modelUnique{{columns: []string{"u"}}}}},
				{{table: "c", key: []string{"id"}, column: []modelColumn{{name: "b"}, {name: "n", notNull: true, constant: int64(7)}},
					unique: []modelUnique{{columns: []string{"b", "n"}}}, check: func(row map[string]any) bool { return row["b"] == nil || row["n"] != int64(3) }}},
			},
			references: []modelReference{
				{child: "b", columns: []string{"a"}, parent: "a", to: []string{"id"}, action: "CASCADE"},
				{child: "c", columns: []string{"b"}, parent: "b", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"n": {int64(1), int64(2), int64(3)}},
	},
	{ // every action, parents called by their key and by another column, keys that fold
		create: `CREATE TABLE p (id TEXT COLLATE NOCASE PRIMARY KEY NOT NULL, code INTEGER UNIQUE, x);
			CREATE TABLE q (id INTEGER PRIMARY KEY, r TEXT REFERENCES p ON DELETE RESTRICT, s TEXT DEFAULT 'b' REFERENCES p ON DELETE SET DEFAULT,
				t TEXT NOT NULL REFERENCES p ON DELETE SET NULL, k INTEGER REFERENCES p (code) ON DELETE NO ACTION, l INTEGER REFERENCES p (code) ON DELETE SET NULL,
				x, UNIQUE (s, x))`,
		world: world{
			components: [][]*model{
				{{table: "p", key: []string{"id"}, column: plainColumns("code", "x"), unique: []modelUnique{{columns: []string{"code"}}}, fold: strings.ToLower}},
				{{table: "q", key: []string{"id"}, column: []modelColumn{{name: "r"}, {name: "s", constant: "b"}, {name: "t", notNull: true}, {name: "k"}, {name: "l"}, {name: "x"}},
					unique: []modelUnique{{columns: []string{"s", "x"}}}}},
			},
			references: []modelReference{
				{child: "q", columns: []string{"r"}, parent: "p", to: []string{"id"}, action: "RESTRICT", same: sameText},
				{child: "q", columns: []string{"s"}, parent: "p", to: []string{"id"}, action: "SET DEFAULT", same: sameText},
				{child: "q", columns: []string{"t"}, parent: "p", to: []string{"id"}, action: "SET NULL", same: sameText},
				{child: "q", columns: []string{"k"}, parent: "p", to: []string{"code"}, action: "NO ACTION"},
				{child: "q", columns: []string{"l"}, parent: "p", to: []string{"code"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{
			"id": {"a", "b", "A", "c", int64(1), int64(2), int64(3)}, "code": {nil, int64(1), int64(2)}, "r": {nil, nil, "a", "A"}, "s": {nil, "a", "b", "c"},
			"t": {"a", "b", "B", "c"}, "k": {nil, nil, int64(1)}, "l": {nil, nil, int64(1), int64(2)},
		},
	},
	{ // a tree
		create: `CREATE TABLE f (id INTEGER PRIMARY KEY, up INTEGER REFERENCES f ON DELETE CASCADE, name TEXT, u INTEGER UNIQUE, UNIQUE (up, name))`,
		world: world{
			components: [][]*model{{{table: "f", key: []string{"id"}, column: plainColumns("name", "u", "up"), unique: []modelUnique{{columns: []string{"up", "name"}}, {columns: []string{"u"}}}}}},
			references: []modelReference{{child: "f", columns: []string{"up"}, parent: "f", to: []string{"id"}, action: "CASCADE"}},
		},
		values: map[string][]any{"name": {"x", "y"}, "u": {nil, int64(1), int64(2)}},
	},
	{ // a tree in which children stay, and a table below it
		create: `CREATE TABLE g (id INTEGER PRIMARY KEY, pa INTEGER REFERENCES g ON DELETE SET NULL, ma INTEGER REFERENCES g ON DELETE SET NULL,
				n INTEGER, u INTEGER, UNIQUE (u, ma), CHECK (pa IS NULL OR ma IS NOT NULL OR n IS NULL));
			CREATE UNIQUE INDEX roots ON g (n) WHERE pa IS NULL AND ma IS NULL;
			CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER DEFAULT 1 REFERENCES g ON DELETE SET DEFAULT)`,
		world: world{
			components: [][]*model{
				{{table: "g", key: []string{"id"}, column: plainColumns("pa", "ma", "n", "u"), unique: []modelUnique{
					{columns: []string{"u", "ma"}},
					{columns: []string{"n"}, in: func(row map[string]any) bool { return row["pa"] == nil && row["ma"] == nil }},
				}, check: func(row map[string]any) bool { return row["pa"] == nil || row["ma"] != nil || row["n"] == nil }}},
				{{table: "pet", key: []string{"id"}, column: []modelColumn{{name: "owner", constant: int64(1)}}}},
			},
			references: []modelReference{
				{child: "g", columns: []string{"pa"}, parent: "g", to: []string{"id"}, action: "SET NULL"},
				{child: "g", columns: []string{"ma"}, parent: "g", to: []string{"id"}, action: "SET NULL"},
				{child: "pet", columns: []string{"owner"}, parent: "g", to: []string{"id"}, action: "SET DEFAULT"},
			},
		},
		values: map[string][]any{"n": {nil, int64(1), int64(2)}, "u": {int64(1), int64(2)}},
	},
	{ // two tables in a circle, one above and one below
		create: `CREATE TABLE o (id INTEGER PRIMARY KEY, x);
			CREATE TABLE d (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES e ON DELETE SET NULL, o INTEGER REFERENCES o ON DELETE SET NULL, u INTEGER UNIQUE);
			CREATE TABLE e (id INTEGER PRIMARY KEY, dep INTEGER REFERENCES d ON DELETE RESTRICT, o INTEGER REFERENCES o ON DELETE CASCADE, v INTEGER, UNIQUE (dep, v));
			CREATE TABLE h (id INTEGER PRIMARY KEY, e INTEGER REFERENCES e ON DELETE CASCADE, d INTEGER REFERENCES d (u) ON DELETE SET NULL)`,
		world: world{
			components: [][]*model{
				{{table: "o", key: []string{"id"}, column: plainColumns("x")}},
				{
					{table: "d", key: []string{"id"}, column: plainColumns("boss", "o", "u"), unique: []modelUnique{{columns: []string{"u"}}}},
					{table: "e", key: []string{"id"}, column: plainColumns("dep", "o", "v"), unique: []modelUnique{{columns: []string{"dep", "v"}}}},
				},
				{{table: "h", key: []string{"id"}, column: plainColumns("e", "d")}},
			},
			references: []modelReference{
				{child: "d", columns: []string{"boss"}, parent: "e", to: []string{"id"}, action: "SET NULL"},
				{child: "d", columns: []string{"o"}, parent: "o", to: []string{"id"}, action: "SET NULL"},
				{child: "e", columns: []string{"dep"}, parent: "d", to: []string{"id"}, action: "RESTRICT"},
				{child: "e", columns: []string{"o"}, parent: "o", to: []string{"id"}, action: "CASCADE"},
				{child: "h", columns: []string{"e"}, parent: "e", to: []string{"id"}, action: "CASCADE"},
				{child: "h", columns: []string{"d"}, parent: "d", to: []string{"u"}, action: "SET NULL"},
			},
		},
	},
	{ // two tables in a circle by a column that is no key, one of them a tree
		create: `CREATE TABLE plan (id INTEGER PRIMARY KEY, code INTEGER UNIQUE, boss INTEGER REFERENCES task ON DELETE NO ACTION);
			CREATE TABLE task (id INTEGER PRIMARY KEY, code INTEGER REFERENCES plan (code) ON DELETE NO ACTION, up INTEGER DEFAULT 1 REFERENCES task ON DELETE SET DEFAULT,
				plan INTEGER REFERENCES plan ON DELETE SET NULL, slug INTEGER UNIQUE)`,
		world: world{
			components: [][]*model{{
				{table: "plan", key: []string{"id"}, column: plainColumns("boss", "code"), unique: []modelUnique{{columns: []string{"code"}}}},
				{table: "task", key: []string{"id"}, column: []modelColumn{{name: "code"}, {name: "plan"}, {name: "slug"}, {name: "up", constant: int64(1)}},
					unique: []modelUnique{{columns: []string{"slug"}}}},
			}},
			references: []modelReference{
				{child: "plan", columns: []string{"boss"}, parent: "task", to: []string{"id"}, action: "NO ACTION"},
				{child: "task", columns: []string{"code"}, parent: "plan", to: []string{"code"}, action: "NO ACTION"},
				{child: "task", columns: []string{"up"}, parent: "task", to: []string{"id"}, action: "SET DEFAULT"},
				{child: "task", columns: []string{"plan"}, parent: "plan", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"boss": {nil, nil, int64(1), int64(2), int64(3)}, "code": {nil, int64(1), int64(2)}},
	},
	{ // a tree with defaults
		create: `CREATE TABLE m (id INTEGER PRIMARY KEY, up INTEGER DEFAULT 1 REFERENCES m ON DELETE SET DEFAULT, w INTEGER NOT NULL DEFAULT 2 REFERENCES m ON DELETE SET NULL,
				v INTEGER, UNIQUE (up, v))`,
		world: world{
			components: [][]*model{{{table: "m", key: []string{"id"}, column: []modelColumn{{name: "up", constant: int64(1)}, {name: "v"}, {name: "w", notNull: true, constant: int64(2)}},
				unique: []modelUnique{{columns: []string{"up", "v"}}}}}},
			references: []modelReference{
				{child: "m", columns: []string{"up"}, parent: "m", to: []string{"id"}, action: "SET DEFAULT"},
				{child: "m", columns: []string{"w"}, parent: "m", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"v": {nil, nil, int64(1), int64(2)}},
	},
	{ // references of two columns that share one, and types that differ
		create: `CREATE TABLE t (org INTEGER, id TEXT, PRIMARY KEY (org, id)) WITHOUT ROWID;
			CREATE TABLE s (id INTEGER PRIMARY KEY, org INTEGER, x INTEGER, y TEXT, up INTEGER, FOREIGN KEY (x, org) REFERENCES t (id, org) ON DELETE SET NULL,
				FOREIGN KEY (org, y) REFERENCES t ON DELETE CASCADE, FOREIGN KEY (up) REFERENCES s (id) ON DELETE SET NULL)`,
		world: world{
			components: [][]*model{
				{{table: "t", key: []string{"org", "id"}}},
				{{table: "s", key: []string{"id"}, column: plainColumns("org", "up", "x", "y")}},
			},
			references: []modelReference{
				{child: "s", columns: []string{"x", "org"}, parent: "t", to: []string{"id", "org"}, action: "SET NULL",
					same: func(child, parent any) bool { return fmt.Sprint(child) == fmt.Sprint(parent) }},
				{child: "s", columns: []string{"org", "y"}, parent: "t", to: []string{"org", "id"}, action: "CASCADE"},
				{child: "s", columns: []string{"up"}, parent: "s", to: []string{"id"}, action: "SET NULL"},
			},
		},
		values: map[string][]any{"org": {nil, int64(1), int64(2)}, "x": {nil, int64(1), int64(2)}, "y": {nil, "1", "2"}, "id": {"1", "2", int64(1), int64(2), int64(3)}},
	},
}

// sameText is how NOCASE compares.
func sameText(child, parent any) bool {
	a, aText := child.(string)
	b, bText := parent.(string)
	return aText && bText && strings.EqualFold(a, b)
}
