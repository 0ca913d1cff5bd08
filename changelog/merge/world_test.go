package merge_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// TestWorlds runs random histories over tables that refer to one another and holds every device against the oracle after
// every step, in a space that enforces foreign keys.
func TestWorlds(t *testing.T) {
	wanted := []string{
		"3 devices", "4 devices", "5 devices", "6 devices", "deliver", "compacted range", "repeat", "restart", "baseline", "phantom", "fold", "write", "look again",
		"rename", "create", "rebuild", "read again", "no rules here", "late device", "held for UNIQUE", "held for CHECK", "held for NOT NULL", "held for its table", "held for a parent", "shown without a parent", "put again",
	}
	for i := range worldKinds {
		wanted = append(wanted, worldKinds[i].name)
	}
	courses(t, "world", beginWorld, wanted)
}

// A worldRun is one random history.
type worldRun struct {
	*course
	kind    *worldKind // as all devices have it at first
	renamed *worldKind // as they all have it at last
	// What devices have that know of no references, nor other rules.
	loose, looseRenamed *worldKind

	members []*worldMember
	toCome  int // how many devices there are to be at first
}

type worldMember struct {
	*device
	kind    *worldKind
	rebuilt int    // how often its tables were made anew
	lacks   string // a table that it does not have yet
	known   []changelog.Change
	seen    changelog.Vector
}

func beginWorld(c *course, again bool) walk {
	h := &worldRun{course: c}
	if !again {
		kind := &worldKinds[h.random.IntN(len(worldKinds))]
		c.record.Kind = kind.name
		tables := kind.world.tables()
		first := h.random.IntN(len(tables))
		for i, table := range tables {
			if i == first || h.random.IntN(2) == 0 {
				c.record.Renamed = append(c.record.Renamed, table.table)
			}
		}
	}
	at := slices.IndexFunc(worldKinds, func(k worldKind) bool { return k.name == c.record.Kind })
	if at < 0 {
		h.t.Fatalf("there is no world called %q", c.record.Kind)
	}
	h.kind = &worldKinds[at]
	h.renamed = h.kind.rename(func(table string) bool { return slices.Contains(c.record.Renamed, table) })
	h.loose, h.looseRenamed = h.kind.loose(), h.renamed.loose()
	h.mark(h.kind.name)
	h.logf("%s", h.kind.create)
	h.toCome = 2 + h.random.IntN(4)
	return h
}

// maxMembers is how many devices there are at most, before the last one.
const maxMembers = 5

// next chooses what happens. Devices come first.
func (h *worldRun) next() event {
	if len(h.members) < h.toCome {
		return h.comes(h.kind)
	}
	m := h.members[h.random.IntN(len(h.members))]
	e := event{Device: m.name(), Page: h.random.IntN(4)}
	switch n := h.random.IntN(100); {
	case n < 40:
		e.Op, e.At, e.SQL = "write", 1+h.random.Int64N(40), m.kind.statements(h.random)
	case n < 55:
		e.Op = "fold"
	case n < 88:
		e.Op, e.Of, e.Count, e.Witness = "deliver", h.anyAuthor(m.device, m.seen), 1, h.random.IntN(2) == 0
		if h.random.IntN(4) == 0 {
			e.Count = 2 + h.random.IntN(4)
		}
	case n < 91:
		e.Op = "repeat"
		e.Of, e.Count = h.merged(m.device, m.seen)
	case n < 93:
		e.Op = "restart"
	case n < 95:
		e.Op = "baseline"
	case n < 96:
		e.Op, e.Changes = "phantom", h.madeUp(m)
	case n < 97 && len(h.members) < maxMembers && h.random.IntN(2) == 0:
		return h.comes([]*worldKind{h.kind, h.renamed}[h.random.IntN(2)])
	case n < 97 && m.lacks != "":
		e.Op = "create"
	case n < 97:
		e.Op = "rename"
	case n < 99:
		e.Op, e.Count = "rebuild", h.random.IntN(2)
	default:
		e.Op = "look again"
	}
	return e
}

// comes lets a device come that knows the tables by these names.
func (h *worldRun) comes(kind *worldKind) event {
	e := event{Op: "join", Device: string(rune('a' + len(h.members))), Renamed: kind == h.renamed, Recursive: h.random.IntN(2) == 0}
	e.ForeignKeys = h.random.IntN(5) != 0 // some apps do not care
	if h.random.IntN(5) == 0 {
		e.Loose = true
		kind = map[*worldKind]*worldKind{h.kind: h.loose, h.renamed: h.looseRenamed}[kind]
	}
	if tables := kind.world.tables(); kind == h.kind && len(tables) > 1 && h.random.IntN(4) == 0 {
		e.Without = tables[h.random.IntN(len(tables))].table
		kind = kind.without(e.Without)
	}
	for range h.random.IntN(6) {
		e.SQL = append(e.SQL, kind.statements(h.random)...)
	}
	return e
}

func (h *worldRun) play(e event) {
	if e.Op == "join" {
		h.join(e)
		return
	}
	at := slices.IndexFunc(h.members, func(m *worldMember) bool { return m.name() == e.Device })
	if at < 0 {
		return
	}
	m := h.members[at]
	m.pageSize = e.Page
	switch e.Op {
	case "write":
		h.write(m, e.At, e.SQL)
	case "fold":
		h.fold(m)
	case "deliver":
		h.deliver(m, e.Of, e.Count, e.Witness)
	case "repeat":
		h.repeat(m, e.Of, e.Count)
	case "restart":
		h.logf("%s restarts", m.name())
		m.restart()
	case "baseline":
		h.baseline(m)
	case "phantom":
		h.phantom(m, e.Changes)
	case "rename":
		h.rename(m)
	case "create":
		h.create(m)
	case "rebuild":
		h.rebuild(m, e.Count > 0)
	case "look again":
		h.logf("%s looks at all again", m.name())
		h.fold(m)
		m.retry()
		h.publish(m)
		h.verify(m)
	default:
		h.t.Fatalf("%s can't %s", m.name(), e.Op)
	}
}

func (h *worldRun) join(e event) {
	h.logf("%s joins", e.Device)
	m := &worldMember{device: h.newApp(e.Device), kind: h.kind, seen: make(changelog.Vector)}
	switch {
	case e.Renamed && e.Loose:
		m.kind = h.looseRenamed
	case e.Renamed:
		m.kind = h.renamed
	case e.Loose:
		m.kind = h.loose
	}
	if e.Loose {
		h.mark("no rules here")
	}
	if e.Without != "" {
		m.kind, m.lacks = h.kind.without(e.Without), e.Without
	}
	if len(h.logs) > 0 {
		h.mark("late device")
	}
	m.foreignKeys, m.recursiveTriggers, m.appForeignKeys = true, e.Recursive, true
	m.open()
	m.exec(m.kind.create)
	h.write(m, 0, e.SQL)
	for _, table := range m.kind.world.tables() {
		for _, row := range m.scan(table) {
			m.known = append(m.known, asBaseline(table, row))
		}
	}
	m.setUp()
	m.appForeignKeys = e.ForeignKeys
	m.exec(fmt.Sprintf("PRAGMA foreign_keys = %t", m.appForeignKeys))
	m.retry() // a REPLACE can leave a child without its parent, in SQLite itself
	h.members = append(h.members, m)
	h.publish(m)
	h.verify(m)
}

func (h *worldRun) baseline(m *worldMember) {
	h.fold(m)
	m.device.baseline()
	h.publish(m)
	h.verify(m)
}

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

func (h *worldRun) write(m *worldMember, at int64, statements []string) {
	m.now = at
	for _, statement := range statements {
		err := m.try(statement)
		h.logf("%s at %d: %s; %v", m.name(), m.now, statement, err)
	}
	if slices.Contains(statements, "BEGIN") {
		m.try("ROLLBACK") // a COMMIT can be refused
	}
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

// renamed tells whether the tables of m have their new names.
func (m *worldMember) renamed(h *worldRun) bool {
	return m.kind == h.renamed || m.kind == h.looseRenamed
}

// create makes the table that m does not have yet.
func (h *worldRun) create(m *worldMember) {
	h.t.Helper()
	if m.lacks == "" {
		return
	}
	h.fold(m)
	h.logf("%s creates %s", m.name(), m.lacks)
	m.exec(h.kind.creating(m.lacks))
	m.kind, m.lacks = h.kind, ""
	m.schemaChanged()
	h.publish(m)
	h.verify(m)
}

// rename gives the tables of m their new names. All that it knows of them it says again under these, but for what others have
// said so before.
func (h *worldRun) rename(m *worldMember) {
	h.t.Helper()
	if m.renamed(h) {
		return
	}
	h.create(m)
	h.baseline(m)
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
	if m.kind == h.loose {
		m.kind = h.looseRenamed
	} else {
		m.kind = h.renamed
	}
	made := len(m.made)
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
		if row.Shown {
			h.mark("shown without a parent")
		} else {
			h.markHeld(row.Reason)
		}
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

func (h *worldRun) deliver(m *worldMember, of string, count int, witness bool) {
	h.t.Helper()
	batch, _ := h.waiting(m.device, m.seen, of, count)
	if batch == nil {
		return
	}
	h.fold(m)
	h.logf("%s merges batch %d of %.1s: %s", m.name(), batch.Number, batch.Device[:], describedIn(batch.Changes))
	made, before := len(m.made), m.known
	if _, result := m.applyAs(batch, witness); result.PutAgain > 0 {
		h.mark("put again")
	}
	m.seen[batch.Device] = batch.Number
	m.known = append(slices.Clone(before), batch.Changes...)
	want, may := m.kind.world.again(m.id, before, m.known)
	got := m.edits(made)
	maps.DeleteFunc(got, func(name, _ string) bool { return want[name] == "" && may[name] })
	h.compare(m.device, "rows put again", got, want)
	h.publish(m)
	h.verify(m)
	if folded := m.device.fold(); folded != nil {
		h.t.Errorf("%s echoes a merge: %s", m.name(), describedIn(folded.Changes))
	}
}

// repeat merges a batch that was merged before, which must change nothing at all.
func (h *worldRun) repeat(m *worldMember, of string, number int) {
	author := authorID(of)
	if log := h.logs[author]; author == m.id || number >= len(log) || uint64(number) >= m.seen[author] {
		return
	}
	batch := h.logs[author][number]
	if slices.ContainsFunc(batch.Changes, func(c changelog.Change) bool { return m.kind.model(c.Shape.Table) == nil }) {
		return // what came under another name, and went over to the present one, is kept under that name once more
	}
	h.fold(m)
	before := (&member{device: m.device}).everything()
	m.apply(batch)
	if after := (&member{device: m.device}).everything(); after != before {
		h.t.Errorf("merging batch %d of %.1s again at %s changed\n%s\nto\n%s", batch.Number, batch.Device[:], m.name(), before, after)
	}
}

// madeUp makes changes up of a device with another schema, which writes partial puts too.
func (h *worldRun) madeUp(m *worldMember) (encoded []string) {
	for _, table := range m.kind.world.tables() {
		rows := table.of(m.known)
		for _, identity := range slices.Sorted(maps.Keys(rows)) {
			if h.random.IntN(4) != 0 {
				continue
			}
			kind := changelog.Kind(h.random.IntN(3))
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
			c := changelog.Change{Shape: changelog.NewShape(kind, table.table, table.key, names), Key: rows[identity][0].Key}
			for _, name := range names {
				c.Values = append(c.Values, m.kind.value(h.random, name))
			}
			c.Stamp = changelog.Stamp{Time: 1 + h.random.Int64N(40)}
			if kind != changelog.Delete {
				c.Birth = c.Stamp
			}
			encoded = append(encoded, fmt.Sprintf("%x", changelog.AppendChange(nil, &c)))
		}
	}
	return encoded
}

// phantom publishes changes of a device that saw what m has seen.
func (h *worldRun) phantom(m *worldMember, encoded []string) {
	h.phantomBatch(m.seen, encoded, func(c *changelog.Change) int64 {
		if table := m.kind.model(c.Shape.Table); table != nil {
			if versions := table.of(m.known)[table.identity(c.Key)]; len(versions) > 0 {
				return versions[0].Stamp.Time
			}
		}
		return 0
	})
}

// finish delivers everything everywhere: all devices must be equal, whatever names their tables had before, and so must one be
// that comes last.
func (h *worldRun) finish() {
	for _, m := range h.members {
		h.create(m)
	}
	h.publishAll()
	h.deliverAll()
	h.compareAll()
	if h.record.Seed%4 == 0 || slices.ContainsFunc(h.members, func(m *worldMember) bool { return m.renamed(h) }) {
		for _, m := range h.members {
			h.rename(m)
		}
		last := h.comes(h.renamed)
		last.Device = "z"
		h.join(last)
		h.publishAll()
		h.deliverAll()
		h.compareAll()
	}
	h.mark(fmt.Sprint(len(h.members), " devices"))
	for i, m := range h.members {
		m.integrity()
		if i == 0 { // it takes long
			m.restart()
			m.transact(func(ctx context.Context) error { return nil })
			h.verify(m)
		}
	}
}

func (h *worldRun) publishAll() {
	for _, m := range h.members {
		h.baseline(m)
	}
}

func (h *worldRun) deliverAll() {
	for working := true; working; {
		working = false
		for _, m := range h.members {
			for of := h.anyAuthor(m.device, m.seen); of != "" && !h.t.Failed(); of = h.anyAuthor(m.device, m.seen) {
				h.deliver(m, of, 1, false)
				working = true
			}
		}
	}
}

// compareAll holds the devices with one schema against one another.
func (h *worldRun) compareAll() {
	renamed := 0
	for _, m := range h.members {
		if m.renamed(h) {
			renamed++
		}
	}
	if renamed > 0 && renamed < len(h.members) {
		return // they have not heard of the same rows
	}
	first := make(map[*worldKind]*worldMember)
	for _, m := range h.members {
		other := first[m.kind]
		if other == nil {
			first[m.kind] = m
			continue
		}
		for _, table := range m.kind.world.tables() {
			query := fmt.Sprintf("SELECT * FROM %q ORDER BY 1, 2", table.table)
			if got, want := m.rows(query), other.rows(query); !slices.Equal(got, want) {
				h.t.Errorf("%s shows %v in %s, %s shows %v", m.name(), got, table.table, other.name(), want)
			}
		}
	}
	for _, m := range h.members[1:] {
		compareDigests(h.t, h.members[0].device, m.device)
	}
}
