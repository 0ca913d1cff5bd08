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

// TestHistories runs random histories of one table on several devices and holds every device against the oracle after every step.
func TestHistories(t *testing.T) {
	wanted := []string{
		"2 devices", "3 devices", "4 devices", "5 devices", "deliver", "compacted range", "repeat", "restart", "baseline", "grow", "phantom", "fold", "write",
		"held for UNIQUE", "held for CHECK", "held for NOT NULL", "held for a type", "held for its table", "conflict",
	}
	for _, kind := range tableKinds {
		wanted = append(wanted, kind.name)
	}
	courses(t, "history", beginHistory, wanted)
}

// A history is one random run.
type history struct {
	*course
	kind    tableKind
	members []*member
	toCome  int // how many devices there are to be
}

// A member is a device with what the test knows of it: every change that reached it, and what its app did.
type member struct {
	*device
	model  *model
	absent bool // does not have the table yet
	grown  bool // has the column that came later
	known  []changelog.Change
	seen   changelog.Vector
	unsent map[string]changelog.Change // its own baseline rows that it did not publish, by identity
}

func beginHistory(c *course, again bool) walk {
	h := &history{course: c}
	if !again {
		c.record.Kind = tableKinds[h.random.IntN(len(tableKinds))].name
	}
	at := slices.IndexFunc(tableKinds, func(k tableKind) bool { return k.name == c.record.Kind })
	if at < 0 {
		h.t.Fatalf("there is no table called %q", c.record.Kind)
	}
	h.kind = tableKinds[at]
	h.mark(h.kind.name)
	h.logf("%s", h.kind.create)
	h.toCome = 2 + h.random.IntN(4)
	return h
}

// next chooses what happens. Devices come first.
func (h *history) next() event {
	if n := len(h.members); n < h.toCome {
		e := event{Op: "join", Device: string(rune('a' + n)), Recursive: h.random.IntN(2) == 0, Absent: h.random.IntN(6) == 0}
		h.chooseTable(&e)
		return e
	}
	m := h.members[h.random.IntN(len(h.members))]
	e := event{Device: m.name(), Page: h.random.IntN(4)}
	switch n := h.random.IntN(100); {
	case n < 40:
		e.Op, e.At, e.SQL = "write", h.clock(), h.kind.statements(h.random, m.grown)
	case n < 55:
		e.Op = "fold"
	case n < 85:
		e.Op, e.Of, e.Count = "deliver", h.anyAuthor(m.device, m.seen), 1
		if h.random.IntN(4) == 0 {
			e.Count = 2 + h.random.IntN(4)
		}
	case n < 89:
		e.Op = "repeat"
		e.Of, e.Count = h.merged(m.device, m.seen)
	case n < 92:
		e.Op = "restart"
	case n < 94:
		e.Op = "grow"
		h.chooseTable(&e)
		for range h.random.IntN(3) { // between capture and the moment when kept changes show
			e.Later = append(e.Later, h.kind.statements(h.random, e.Grown)...)
		}
	case n < 96:
		e.Op = "baseline"
	default:
		e.Op, e.Changes = "phantom", h.madeUp(m)
	}
	return e
}

// chooseTable chooses whether a table has the column that came later, and its first rows.
func (h *history) chooseTable(e *event) {
	e.Grown = h.random.IntN(2) == 0
	if h.random.IntN(2) == 0 {
		for range h.random.IntN(4) {
			e.SQL = append(e.SQL, h.kind.statements(h.random, e.Grown)...)
		}
	}
	e.At = h.clock()
}

func (h *history) play(e event) {
	if e.Op == "join" {
		h.join(e)
		return
	}
	at := slices.IndexFunc(h.members, func(m *member) bool { return m.name() == e.Device })
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
		h.deliver(m, e.Of, e.Count)
	case "repeat":
		h.repeat(m, e.Of, e.Count)
	case "restart":
		h.logf("%s restarts", m.name())
		m.restart()
	case "grow":
		h.growLater(m, e)
	case "baseline":
		h.publishBaseline(m)
	case "phantom":
		h.phantom(m, e.Changes)
	default:
		h.t.Fatalf("%s can't %s", m.name(), e.Op)
	}
}

// join makes a device, with a schema of its own age and rows of its own.
func (h *history) join(e event) {
	m := &member{device: h.newApp(e.Device), seen: make(changelog.Vector), unsent: make(map[string]changelog.Change)}
	m.model = h.kind.model(false)
	m.recursiveTriggers = e.Recursive
	m.open()
	if m.absent = e.Absent; m.absent {
		m.model.fold = nil // nobody has told it how keys compare
	} else {
		h.create(m, e)
	}
	m.setUp()
	m.unsent = m.baselineLeft()
	h.members = append(h.members, m)
	h.verify(m)
}

// create makes the table, with or without the column that came later, and rows that the engine will find there.
func (h *history) create(m *member, e event) {
	h.logf("%s creates the table", m.name())
	m.exec(h.kind.create)
	if e.Grown {
		h.grow(m)
	}
	h.write(m, e.At, e.SQL)
	for _, row := range m.scan() {
		m.known = append(m.known, m.baselineRow(row))
	}
}

// baselineRow makes a change of a row as scan returns it.
func (m *member) baselineRow(row []any) changelog.Change {
	columns := make(map[string]changelog.Value)
	for i, column := range m.model.column {
		columns[column.name] = row[len(m.model.key)+i]
	}
	names := slices.Sorted(maps.Keys(columns))
	c := changelog.Change{Shape: changelog.NewShape(changelog.Full, m.model.table, m.model.key, names), Key: row[:len(m.model.key)]}
	for _, name := range names {
		c.Values = append(c.Values, columns[name])
	}
	return c
}

// baselineLeft returns the rows that wait to be published as baseline, by identity.
func (m *member) baselineLeft() map[string]changelog.Change {
	found := make(map[string]changelog.Change)
	if m.absent {
		return found
	}
	m.transact(func(ctx context.Context) error {
		rows, err := m.db.Unsent(ctx, m.db.Table(m.model.table), nil, 1000)
		for _, row := range rows {
			found[m.model.identity(row.Key)] = row
		}
		return err
	})
	return found
}

// write runs statements of the app. Some are refused: that is the app's business.
func (h *history) write(m *member, at int64, statements []string) {
	if m.absent {
		return
	}
	m.now = at
	for _, statement := range statements {
		err := m.try(statement)
		h.logf("%s at %d: %s; %v", m.name(), m.now, statement, err)
	}
	if slices.Contains(statements, "BEGIN") {
		m.try("ROLLBACK") // if a conflict clause has not done so
	}
}

// clock returns a random time: clocks are wrong, in both directions, and ties are frequent.
func (h *history) clock() int64 {
	switch h.random.IntN(10) {
	case 0:
		return -5 // before 1970
	case 1:
		return 4e12 // in 2096
	default:
		return 1 + h.random.Int64N(60)
	}
}

// table reads what the app sees, by identity of the key.
func (m *member) table() map[string]string {
	found := make(map[string]string)
	for _, row := range m.scan() {
		found[m.model.identity(row[:len(m.model.key)])] = printedKey(row)
	}
	return found
}

// scan reads the rows that have a whole key: the key columns, then the others in the order of the model.
func (m *member) scan() (found [][]any) {
	var columns []string
	for _, name := range m.model.key {
		columns = append(columns, `+"`+name+`"`)
	}
	for _, column := range m.model.column {
		columns = append(columns, `+"`+column.name+`"`)
	}
	rows, err := m.app.Query(fmt.Sprintf(`SELECT %s FROM "%s"`, strings.Join(columns, ", "), m.model.table))
	m.check(err)
	defer rows.Close()
	for rows.Next() {
		values := make([]any, len(columns))
		dest := make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		m.check(rows.Scan(dest...))
		for i, v := range values { // the driver gives an empty blob as a nil slice
			if blob, isBlob := v.([]byte); isBlob && blob == nil {
				values[i] = []byte{}
			}
		}
		if !slices.ContainsFunc(values[:len(m.model.key)], func(v any) bool { return v == nil }) {
			found = append(found, values)
		}
	}
	m.check(rows.Err())
	return found
}

// verify holds the tables, the list of held rows and the file itself against the oracle.
func (h *history) verify(m *member) {
	h.t.Helper()
	want := m.model.look(m.known)
	if m.absent {
		maps.Copy(want.held, want.shown)
	} else {
		h.compare(m.device, "rows", m.table(), m.model.print(want))
	}
	// What waits to be published as baseline is what the test knows of.
	images := func(rows map[string]changelog.Change) map[string]string {
		printed := make(map[string]string)
		for identity, row := range rows {
			printed[identity] = described([]changelog.Change{row}) + ": " + printedKey(row.Values)
		}
		return printed
	}
	h.compare(m.device, "rows to publish as baseline", images(m.baselineLeft()), images(m.unsent))
	held := make(map[string]string)
	for _, row := range m.heldRows() {
		held[m.model.identity(row.Change.Key)] = row.Change.Stamp.String()
		h.markHeld(row.Reason)
	}
	wantHeld := make(map[string]string)
	for identity, row := range want.held {
		wantHeld[identity] = row.newest.Stamp.String()
	}
	h.compare(m.device, "held rows", held, wantHeld)
}

// fold makes a batch of what the app wrote and compares it with what the app did: the difference between what the device
// was to show before and what the app sees now.
func (h *history) fold(m *member) {
	h.t.Helper()
	if m.absent {
		return
	}
	before := m.model.look(m.known)
	rows := m.model.of(m.known)
	shown, table := m.model.print(before), m.table()
	recorded := m.lastConflict()
	made := len(m.made)
	m.device.fold()
	folded := make(map[string]changelog.Change)
	for _, batch := range m.made[made:] {
		for _, c := range batch.Changes {
			if c.Stamp.Baseline() {
				continue // handed over, not folded
			}
			if _, twice := folded[m.model.identity(c.Key)]; twice {
				h.t.Errorf("%s folded a row twice", m.name())
			}
			folded[m.model.identity(c.Key)] = c
		}
	}
	got, want := make(map[string]string), make(map[string]string)
	for identity, c := range folded {
		got[identity] = "deleted"
		if c.Shape.Kind == changelog.Full {
			row, _ := m.model.winner([]changelog.Change{c})
			got[identity] = m.model.line(row)
		}
	}
	for identity, line := range table {
		if shown[identity] != line {
			want[identity] = line
		}
	}
	for identity := range shown {
		if _, there := table[identity]; !there {
			want[identity] = "deleted"
		}
	}
	h.compare(m.device, "edits", got, want)
	if len(m.made) == made {
		return
	}
	var conflicts []string
	for identity, c := range folded {
		h.checkStamp(m, c, rows[identity], before.shown)
		if _, held := before.held[identity]; held {
			for _, version := range contradicted(c, rows[identity]) {
				conflicts = append(conflicts, pair(&c, &version))
			}
		}
		delete(m.unsent, identity)
	}
	h.checkConflicts(m, recorded, conflicts)
	h.publish(m)
	h.verify(m)
}

// publish gives the batches that m made to the other devices.
func (h *history) publish(m *member) {
	for _, batch := range m.made[len(h.logs[m.id]):] {
		h.logf("%s publishes batch %d: %s", m.name(), batch.Number, described(batch.Changes))
		m.known = append(m.known, batch.Changes...)
		h.logs[m.id] = append(h.logs[m.id], batch)
		for _, c := range batch.Changes {
			if c.Stamp.Baseline() {
				delete(m.unsent, m.model.identity(c.Key))
			}
		}
	}
}

func described(changes []changelog.Change) string {
	var parts []string
	for _, c := range changes {
		parts = append(parts, fmt.Sprintf("%s@%s kind %d %v", printedKey(c.Key), c.Stamp, c.Shape.Kind, c.Shape.Columns))
	}
	return strings.Join(parts, ", ")
}

// checkStamp holds the stamp and birth of a local change against FORMAT.md, chapter 10.
func (h *history) checkStamp(m *member, c changelog.Change, versions []changelog.Change, shown map[string]modelRow) {
	h.t.Helper()
	known := int64(0)
	if len(versions) > 0 {
		known = versions[0].Stamp.Time
	}
	if c.Stamp.Device != m.id || c.Stamp.Time < known+1 || c.Stamp.Time > max(known+1, 4e12) {
		h.t.Errorf("%s made a change with the stamp %v of a row known at %d", m.name(), c.Stamp, known)
	}
	birth := c.Stamp
	if _, was := shown[m.model.identity(c.Key)]; was {
		for _, v := range versions {
			if v.Shape.Kind == changelog.Full {
				birth = v.Birth
				break
			}
		}
	}
	if c.Shape.Kind == changelog.Full && c.Birth != birth || c.Shape.Kind == changelog.Delete && c.Birth != (changelog.Stamp{}) {
		h.t.Errorf("%s made a change with the birth %v, want %v", m.name(), c.Birth, birth)
	}
}

// pair describes a conflict; without a winner it is the end of the description of all with this loser.
func pair(winner, loser *changelog.Change) string {
	encoded := fmt.Sprintf(" over %x", changelog.AppendChange(nil, loser))
	if winner != nil {
		encoded = fmt.Sprintf("%x", changelog.AppendChange(nil, winner)) + encoded
	}
	return encoded
}

// checkConflicts compares the conflicts recorded since with those that had to be.
func (h *history) checkConflicts(m *member, since int64, want []string) {
	h.t.Helper()
	if len(want) > 0 {
		h.mark("conflict")
	}
	all, got := m.pairs(0), m.pairs(since)
	listed := all[:len(all)-len(got)] // before: a conflict is listed once, whoever tells of it again
	want = slices.DeleteFunc(want, func(conflict string) bool { return slices.Contains(listed, conflict) })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, slices.Compact(want)) {
		h.t.Errorf("%s recorded the conflicts %q, want %q", m.name(), got, want)
	}
}

func (m *member) pairs(since int64) (list []string) {
	for _, c := range m.conflicts() {
		if c.ID > since {
			list = append(list, pair(&c.Winner, &c.Loser))
		}
	}
	return list
}

// lastConflict returns the newest id of a conflict that was ever recorded and is still there.
func (m *member) lastConflict() (id int64) {
	for _, c := range m.conflicts() {
		id = c.ID
	}
	return id
}

// deliver merges the next batches of an author. Their order among the batches of other devices is random; conflicts are only
// looked for if all that the author had seen was merged before, and always in compacted ranges, as in package sqlitesync.
func (h *history) deliver(m *member, of string, count int) {
	batch, compacted := h.waiting(m.device, m.seen, of, count)
	if batch == nil {
		return
	}
	h.fold(m)
	causal := true
	for device, number := range batch.Seen {
		causal = causal && (compacted || device == m.id || m.seen[device] >= number)
	}
	h.logf("%s merges batch %d of %.1s: %s", m.name(), batch.Number, batch.Device[:], described(batch.Changes))
	recorded := m.lastConflict()
	var expected []conflict
	rows, known := m.model.of(m.known), slices.Clone(m.known)
	for _, c := range batch.Changes {
		seen, told := batch.Seen, causal
		if compacted { // it may name a row more than once
			seen, told, rows = batch.Vectors[c.Stamp.Batch], c.Stamp.Device == batch.Device, m.model.of(known)
			known = append(known, c)
		}
		if told && !m.absent {
			found := m.expectConflicts(batch.Device, seen, compacted, c, rows[m.model.identity(c.Key)])
			if slices.ContainsFunc(found, func(f conflict) bool { return f.loser.Compare(&c) == 0 }) {
				expected = slices.DeleteFunc(expected, func(earlier conflict) bool { return m.overruledBy(earlier, c, seen) })
			}
			expected = append(expected, found...)
		}
	}
	var conflicts []string
	for _, e := range expected {
		conflicts = append(conflicts, pair(&e.winner, &e.loser))
	}
	made := len(m.made)
	m.applyAs(batch, causal)
	m.seen[batch.Device] = batch.Number
	for _, c := range batch.Changes {
		m.known = append(m.known, c)
		if own, unsent := m.unsent[m.model.identity(c.Key)]; unsent && c.Compare(&own) >= 0 {
			delete(m.unsent, m.model.identity(c.Key))
		}
	}
	h.publish(m)
	h.verify(m)
	// A baseline row that the same merge took out of sight was published at once, so that its conflict with a later change of
	// the batch is noticed by the author of that change, and perhaps not here.
	recordedHere := m.pairs(recorded)
	conflicts = slices.DeleteFunc(conflicts, func(conflict string) bool {
		return !slices.Contains(recordedHere, conflict) && slices.ContainsFunc(m.made[made:], func(handed *changelog.Batch) bool {
			return slices.ContainsFunc(handed.Changes, func(c changelog.Change) bool { return strings.HasSuffix(conflict, pair(nil, &c)) })
		})
	})
	h.checkConflicts(m, recorded, conflicts)
	if folded := m.device.fold(); folded != nil {
		h.t.Errorf("%s echoes a merge: %s", m.name(), described(folded.Changes))
	}
}

// A conflict is one that the model expects.
type conflict struct{ winner, loser changelog.Change }

// overruledBy reports whether a conflict that the author of a range has lost goes with a later edit of the row that has lost, too:
// the person has gone on from the one to the other, and seen the winner at neither.
func (m *member) overruledBy(earlier conflict, c changelog.Change, seen changelog.Vector) bool {
	contains := func(column string) bool { return slices.Contains(c.Shape.Columns, column) }
	return earlier.loser.Stamp.Device == c.Stamp.Device && printedKey(earlier.winner.Key) == printedKey(c.Key) &&
		newerFirst(c, earlier.loser) < 0 && seen[earlier.winner.Stamp.Device] < earlier.winner.Stamp.Batch &&
		!slices.ContainsFunc(earlier.loser.Shape.Columns, func(column string) bool { return !contains(column) })
}

// expectConflicts decides what a change conflicts with of the versions that are known of its row, newest first. Each version
// that it overrules is lost; it is lost itself once, to the newest. If it comes in a range, whose order among the logs is any, the
// authors of other devices' versions may have seen it.
func (m *member) expectConflicts(author changelog.DeviceID, seen changelog.Vector, compacted bool, c changelog.Change, versions []changelog.Change,
) (list []conflict) {
	if len(versions) == 0 {
		return nil
	}
	own, unsent := m.unsent[m.model.identity(c.Key)]
	unsent = unsent && own.Image() == versions[0].Image() && versions[0].Stamp.Baseline()
	lost := false
	for _, version := range contradicted(c, versions) {
		unseen := version.Stamp.Baseline() && c.Stamp.Baseline() ||
			!version.Stamp.Baseline() && version.Stamp.Device != author && seen[version.Stamp.Device] < version.Stamp.Batch &&
				(!compacted || version.Stamp.Device == m.id)
		switch {
		case !unsent && !unseen:
		case newerFirst(c, version) < 0:
			list = append(list, conflict{c, version})
		case !lost:
			list, lost = append(list, conflict{version, c}), true
		}
	}
	return list
}

// contradicted returns the versions of a row, newest first, with which a change can't hold together: each in what it has a say
// in, which is what no newer version speaks of. Partial puts come of migrations, and have no say in whether a row exists.
func contradicted(c changelog.Change, versions []changelog.Change) (found []changelog.Change) {
	for i, version := range versions {
		newer := versions[:i]
		if slices.ContainsFunc(newer, func(n changelog.Change) bool { return n.Shape.Kind == changelog.Delete }) {
			break
		}
		exists := version.Shape.Kind != changelog.Partial &&
			!slices.ContainsFunc(newer, func(n changelog.Change) bool { return n.Shape.Kind != changelog.Partial })
		said := func(column string) bool {
			return slices.ContainsFunc(newer, func(n changelog.Change) bool { return slices.Contains(n.Shape.Columns, column) })
		}
		say, against := exists, false
		for j, column := range version.Shape.Columns {
			if k := slices.Index(c.Shape.Columns, column); !said(column) {
				say = true
				against = against || k >= 0 && printed(c.Values[k]) != printed(version.Values[j])
			}
		}
		kinds := [2]changelog.Kind{c.Shape.Kind, version.Shape.Kind}
		switch {
		case slices.Contains(kinds[:], changelog.Delete):
			against = say && slices.Contains(kinds[:], changelog.Full)
		case say && printedKey(c.Key) != printedKey(version.Key):
			against = true
		}
		if against {
			found = append(found, version)
		}
	}
	return found
}

// repeat merges a batch that was merged before, which must change nothing at all.
func (h *history) repeat(m *member, of string, number int) {
	log := h.logs[authorID(of)]
	if author := authorID(of); author == m.id || number >= len(log) || uint64(number) >= m.seen[author] {
		return
	}
	batch := log[number]
	h.fold(m)
	before := m.everything()
	m.apply(batch)
	if after := m.everything(); after != before {
		h.t.Errorf("merging batch %d of %.1s again at %s changed\n%s\nto\n%s", batch.Number, batch.Device[:], m.name(), before, after)
	}
}

// everything prints the content of all tables, ours too.
func (m *member) everything() string {
	var b strings.Builder
	for _, table := range m.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'sqlitesync_captured' ORDER BY name") {
		fmt.Fprintln(&b, table)
		for _, row := range m.rows("SELECT * FROM " + table + " ORDER BY 1, 2") {
			fmt.Fprintln(&b, "\t", row)
		}
	}
	return b.String()
}

func (h *history) publishBaseline(m *member) {
	h.fold(m)
	m.device.baseline()
	h.publish(m)
	if len(m.unsent) > 0 {
		h.t.Errorf("%s has published its baseline but for %v", m.name(), m.unsent)
	}
	h.verify(m)
}

// grow gives the table of m the column that came later.
func (h *history) grow(m *member) {
	m.exec(h.kind.grow)
	m.model, m.grown = h.kind.model(true), true
}

func (h *history) growLater(m *member, e event) {
	if m.absent {
		m.absent, m.model = false, h.kind.model(false)
		h.create(m, e)
		m.transact(m.capture)
		h.write(m, e.At, e.Later) // between capture and the moment when kept changes show
		m.retry()
		m.unsent = m.baselineLeft()
		h.publish(m)
		h.verify(m)
		return
	}
	if m.grown {
		return
	}
	h.fold(m)
	h.logf("%s: %s", m.name(), h.kind.grow)
	h.grow(m)
	m.schemaChanged()
	h.publish(m)
	h.verify(m)
}

// madeUp makes changes up of a device with another schema, which knows other columns and writes partial puts, as migrations do.
func (h *history) madeUp(m *member) (encoded []string) {
	if m.absent {
		return nil
	}
	rows := m.model.of(m.known)
	for _, identity := range slices.Sorted(maps.Keys(rows)) {
		if h.random.IntN(3) != 0 {
			continue
		}
		kind := changelog.Kind(h.random.IntN(3))
		columns := make(map[string]changelog.Value)
		for _, column := range slices.Concat(h.kind.model(true).column, []modelColumn{{name: "future"}}) {
			if kind != changelog.Delete && h.random.IntN(2) == 0 {
				columns[column.name] = h.kind.stored(h.random, column.name)
			}
		}
		if kind == changelog.Partial && len(columns) == 0 {
			columns["future"] = int64(7)
		}
		names := slices.Sorted(maps.Keys(columns))
		c := changelog.Change{Shape: changelog.NewShape(kind, m.model.table, m.model.key, names), Key: rows[identity][0].Key}
		for _, name := range names {
			c.Values = append(c.Values, columns[name])
		}
		c.Stamp = changelog.Stamp{Time: max(1, h.clock())}
		if kind != changelog.Delete {
			c.Birth = c.Stamp
		}
		encoded = append(encoded, fmt.Sprintf("%x", changelog.AppendChange(nil, &c)))
	}
	return encoded
}

// phantom publishes changes of a device that saw what m has seen.
func (h *history) phantom(m *member, encoded []string) {
	if m.absent || len(m.known) == 0 {
		return
	}
	seen := maps.Clone(m.seen)
	seen[m.id] = uint64(len(h.logs[m.id]))
	rows := m.model.of(m.known)
	h.phantomBatch(seen, encoded, func(c *changelog.Change) int64 {
		if versions := rows[m.model.identity(c.Key)]; len(versions) > 0 {
			return versions[0].Stamp.Time
		}
		return 0
	})
}

// finish delivers everything everywhere: all devices must be equal.
func (h *history) finish() {
	h.mark(fmt.Sprint(len(h.members), " devices"))
	for _, m := range h.members {
		h.fold(m)
		h.publishBaseline(m)
	}
	h.deliverAll()
	for _, grown := range []bool{false, true} {
		if grown {
			for _, m := range h.members {
				for m.absent || !m.grown {
					h.growLater(m, event{Grown: true})
				}
				h.publishBaseline(m)
			}
			h.deliverAll()
		}
		for _, m := range h.members {
			for _, other := range h.members {
				if m.grown == other.grown && !m.absent && !other.absent {
					h.compare(m.device, fmt.Sprintf("rows, now of %s,", other.name()), m.table(), other.table())
				}
			}
		}
	}
	for _, m := range h.members[1:] {
		compareDigests(h.t, h.members[0].device, m.device)
	}
	for i, m := range h.members {
		m.integrity()
		if i == 0 { // it takes long
			m.restart()
			h.verify(m)
		}
	}
}

func (h *history) deliverAll() {
	for _, m := range h.members {
		for of := h.anyAuthor(m.device, m.seen); of != "" && !h.t.Failed(); of = h.anyAuthor(m.device, m.seen) {
			h.deliver(m, of, 1)
		}
	}
}
