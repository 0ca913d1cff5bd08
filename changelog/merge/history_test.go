package merge_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

var (
	seedFlag      = flag.Uint64("seed", 0, "run only the random history with this seed")
	historiesFlag = flag.Int("histories", 60, "how many random histories to run")
	stepsFlag     = flag.Int("steps", 70, "steps of each random history")
)

// TestHistories runs random histories on several devices and holds every device against the oracle after every step.
func TestHistories(t *testing.T) {
	if *seedFlag != 0 {
		runHistory(t, *seedFlag)
		return
	}
	for seed := range uint64(*historiesFlag) {
		t.Run(fmt.Sprint("seed=", seed+1), func(t *testing.T) { runHistory(t, seed+1) })
	}
}

// A history is one random run.
type history struct {
	course
	kind    tableKind
	members []*member
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

func runHistory(t *testing.T, seed uint64) {
	h := &history{course: newCourse(t, seed, 1)}
	defer func() {
		if t.Failed() {
			t.Logf("to run this history alone: go test -run TestHistories -seed %d -steps %d -v", seed, *stepsFlag)
		}
	}()
	h.kind = tableKinds[h.random.IntN(len(tableKinds))]
	h.logf("%s", h.kind.create)
	for i := range 2 + h.random.IntN(3) {
		h.join(string(rune('a' + i)))
	}
	for range *stepsFlag {
		h.step()
		if t.Failed() {
			return
		}
	}
	h.finish()
}

// join makes a device, with a schema of its own age and rows of its own.
func (h *history) join(name string) {
	m := &member{device: newApp(h.t, name), seen: make(changelog.Vector), unsent: make(map[string]changelog.Change)}
	m.model = h.kind.model(false)
	m.device.recursiveTriggers = h.random.IntN(2) == 0
	if m.absent = h.random.IntN(6) == 0; m.absent {
		m.model.fold = nil // nobody has told it how keys compare
	} else {
		h.create(m)
	}
	m.setUp()
	m.unsent = m.baselineLeft()
	h.members = append(h.members, m)
	h.verify(m)
}

// create makes the table, with or without the column that came later, and rows that the engine will find there.
func (h *history) create(m *member) {
	h.logf("%s creates the table", m.name())
	m.exec(h.kind.create)
	if h.random.IntN(2) == 0 {
		h.grow(m)
	}
	if h.random.IntN(2) == 0 {
		for range h.random.IntN(4) {
			h.write(m)
		}
	}
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

func (h *history) step() {
	m := h.members[h.random.IntN(len(h.members))]
	switch n := h.random.IntN(100); {
	case n < 40:
		h.write(m)
	case n < 55:
		h.fold(m)
	case n < 85:
		h.deliver(m, h.anyBatch(m.device, m.seen))
	case n < 89:
		h.repeat(m)
	case n < 92:
		h.logf("%s restarts", m.name())
		m.restart()
	case n < 94:
		h.growLater(m)
	case n < 96:
		h.publishBaseline(m)
	default:
		h.phantom()
	}
}

// write runs random statements of the app. Some are refused: that is the app's business.
func (h *history) write(m *member) {
	if m.absent {
		return
	}
	m.now = h.clock()
	statements := h.kind.statements(h.random, m.grown)
	for _, statement := range statements {
		err := m.try(statement)
		h.logf("%s at %d: %s; %v", m.name(), m.now, statement, err)
	}
	if strings.HasPrefix(statements[0], "BEGIN") {
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
	m.pageSize = h.random.IntN(4)
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
	got := m.pairs(since)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
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

// deliver merges a batch. Its order among the batches of other devices is random; conflicts are only looked for if all that
// its author had seen was merged before, as in package sqlitesync.
func (h *history) deliver(m *member, batch *changelog.Batch) {
	if batch == nil {
		return
	}
	h.fold(m)
	causal := true
	for device, number := range batch.Seen {
		causal = causal && (device == m.id || m.seen[device] >= number)
	}
	h.logf("%s merges batch %d of %.1s: %s", m.name(), batch.Number, batch.Device[:], described(batch.Changes))
	recorded := m.lastConflict()
	var conflicts []string
	rows := m.model.of(m.known)
	for _, c := range batch.Changes {
		if causal && !m.absent {
			conflicts = append(conflicts, m.expectConflicts(batch, c, rows[m.model.identity(c.Key)])...)
		}
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

// expectConflicts decides what a change conflicts with of the versions that are known of its row, newest first. Each version
// that it overrules is lost; it is lost itself once, to the newest.
func (m *member) expectConflicts(batch *changelog.Batch, c changelog.Change, versions []changelog.Change) (list []string) {
	if len(versions) == 0 {
		return nil
	}
	own, unsent := m.unsent[m.model.identity(c.Key)]
	unsent = unsent && own.Image() == versions[0].Image() && versions[0].Stamp.Baseline()
	lost := false
	for _, version := range contradicted(c, versions) {
		unseen := version.Stamp.Baseline() && c.Stamp.Baseline() ||
			!version.Stamp.Baseline() && version.Stamp.Device != batch.Device && batch.Seen[version.Stamp.Device] < version.Stamp.Batch
		switch {
		case !unsent && !unseen:
		case newerFirst(c, version) < 0:
			list = append(list, pair(&c, &version))
		case !lost:
			list, lost = append(list, pair(&version, &c)), true
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
func (h *history) repeat(m *member) {
	var merged []*changelog.Batch
	for device, log := range h.logs {
		merged = append(merged, log[:min(m.seen[device], uint64(len(log)))]...)
	}
	if len(merged) == 0 {
		return
	}
	slices.SortFunc(merged, func(a, b *changelog.Batch) int {
		return strings.Compare(fmt.Sprint(a.Device, a.Number), fmt.Sprint(b.Device, b.Number))
	})
	batch := merged[h.random.IntN(len(merged))]
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

func (h *history) growLater(m *member) {
	if m.absent {
		m.absent, m.model = false, h.kind.model(false)
		h.create(m)
		m.transact(m.capture)
		for range h.random.IntN(3) { // between capture and the moment when kept changes show
			h.write(m)
		}
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

// phantom publishes changes of a device with another schema, which knows other columns, writes partial puts (as migrations
// do), and saw what some other device saw.
func (h *history) phantom() {
	witness := h.members[h.random.IntN(len(h.members))]
	if len(witness.known) == 0 || witness.absent {
		return
	}
	id := changelog.DeviceID{'p'}
	batch := &changelog.Batch{Device: id, Number: uint64(len(h.logs[id])) + 1, Seen: maps.Clone(witness.seen)}
	batch.Seen[witness.id] = uint64(len(h.logs[witness.id]))
	delete(batch.Seen, id)
	rows := witness.model.of(witness.known)
	for _, identity := range slices.Sorted(maps.Keys(rows)) {
		if h.random.IntN(3) != 0 {
			continue
		}
		newest := rows[identity][0]
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
		c := changelog.Change{Shape: changelog.NewShape(kind, witness.model.table, witness.model.key, names), Key: newest.Key}
		for _, name := range names {
			c.Values = append(c.Values, columns[name])
		}
		c.Stamp = changelog.Stamp{Time: max(1, h.clock(), newest.Stamp.Time+1), Device: id, Batch: batch.Number}
		if kind != changelog.Delete {
			c.Birth = c.Stamp
		}
		batch.Changes = append(batch.Changes, c)
	}
	h.logf("p publishes batch %d: %s", batch.Number, described(batch.Changes))
	h.logs[id] = append(h.logs[id], batch)
}

// finish delivers everything everywhere: all devices must be equal.
func (h *history) finish() {
	for _, m := range h.members {
		h.fold(m)
		h.publishBaseline(m)
	}
	h.deliverAll()
	for _, grown := range []bool{false, true} {
		if grown {
			for _, m := range h.members {
				for m.absent || !m.grown {
					h.growLater(m)
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
	for _, m := range h.members {
		m.integrity()
		m.restart()
		h.verify(m)
	}
}

func (h *history) deliverAll() {
	for _, m := range h.members {
		for batch := h.anyBatch(m.device, m.seen); batch != nil; batch = h.anyBatch(m.device, m.seen) {
			h.deliver(m, batch)
		}
	}
}

// A tableKind is a table for histories: its definition as SQL and as a model, and the values that its columns take.
type tableKind struct {
	create string
	grow   string // an ALTER TABLE that adds the column of later
	base   model
	later  modelColumn
	values map[string][]any // literals, or Go values; one pool a column
}

func (k *tableKind) model(grown bool) *model {
	m := k.base
	m.column = slices.Clone(m.column)
	if grown {
		m.column = append(m.column, k.later)
	}
	return &m
}

// stored returns a random value for a column, as a table of this kind stores it.
func (k *tableKind) stored(random *rand.Rand, column string) any {
	pool := k.values[column]
	if pool == nil {
		return random.Int64N(3)
	}
	return pool[random.IntN(len(pool))]
}

func (k *tableKind) literal(random *rand.Rand, column string) string {
	switch v := k.stored(random, column).(type) {
	case nil:
		return "NULL"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		return fmt.Sprintf("x'%x'", v)
	case float64:
		if math.IsInf(v, 1) {
			return "9e999"
		}
		return fmt.Sprintf("%.17e", v)
	default:
		return fmt.Sprint(v)
	}
}

// statements returns one statement, or a transaction.
func (k *tableKind) statements(random *rand.Rand, grown bool) []string {
	if random.IntN(6) != 0 {
		return []string{k.statement(random, grown)}
	}
	list := []string{"BEGIN"}
	for range 1 + random.IntN(3) {
		list = append(list, k.statement(random, grown))
	}
	switch random.IntN(4) {
	case 0:
		list = append(list, "SAVEPOINT s", k.statement(random, grown), "ROLLBACK TO s", k.statement(random, grown))
	case 1:
		list = append(list, "SAVEPOINT s", k.statement(random, grown), "RELEASE s")
	}
	if random.IntN(5) == 0 {
		return append(list, "ROLLBACK")
	}
	return append(list, "COMMIT")
}

func (k *tableKind) statement(random *rand.Rand, grown bool) string {
	m := k.model(grown)
	table := `"` + m.table + `"`
	names := slices.Clone(m.key)
	for _, column := range m.column {
		names = append(names, column.name)
	}
	quoted := func(names []string) string { return `"` + strings.Join(names, `", "`) + `"` }
	tuple := func(names []string) string {
		var parts []string
		for _, name := range names {
			parts = append(parts, k.literal(random, name))
		}
		return strings.Join(parts, ", ")
	}
	where := func() string {
		name := names[random.IntN(len(names))]
		if random.IntN(2) == 0 {
			name = m.key[random.IntN(len(m.key))]
		}
		return fmt.Sprintf(`"%s" IS %s`, name, k.literal(random, name))
	}
	set := func() string {
		var parts []string
		for _, name := range names {
			if chance := 3; !slices.Contains(m.key, name) && random.IntN(chance) == 0 || random.IntN(12) == 0 {
				parts = append(parts, fmt.Sprintf(`"%s" = %s`, name, k.literal(random, name)))
			}
		}
		if len(parts) == 0 {
			name := names[random.IntN(len(names))]
			parts = append(parts, fmt.Sprintf(`"%s" = %s`, name, k.literal(random, name)))
		}
		return strings.Join(parts, ", ")
	}
	or := []string{"", "", "", "OR REPLACE ", "OR REPLACE ", "OR IGNORE ", "OR FAIL ", "OR ROLLBACK "}[random.IntN(8)]
	switch random.IntN(10) {
	case 0, 1, 2:
		return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s), (%s)", or, table, quoted(names), tuple(names), tuple(names))
	case 3:
		some := append(slices.Clone(m.key), names[len(m.key)+random.IntN(len(names)-len(m.key)+1):]...)
		return fmt.Sprintf("INSERT %sINTO %s (%s) VALUES (%s)", or, table, quoted(some), tuple(some))
	case 4:
		return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s",
			table, quoted(names), tuple(names), quoted(m.key), set())
	case 5:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", table, where())
	case 6:
		if random.IntN(6) == 0 {
			return "DELETE FROM " + table
		}
		fallthrough
	default:
		return fmt.Sprintf("UPDATE %s%s SET %s WHERE %s", or, table, set(), where())
	}
}

var tableKinds = []tableKind{
	{
		create: "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT UNIQUE, a)",
		grow:   "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'new'",
		base:   model{table: "t", key: []string{"id"}, column: []modelColumn{{name: "u"}, {name: "a"}}, unique: []modelUnique{{columns: []string{"u"}}}},
		later:  modelColumn{name: "c", constant: "new"},
		values: map[string][]any{
			"id": {int64(1), int64(2), int64(3), int64(-4)}, "u": {nil, "x", "y", "z"},
			"a": {nil, int64(1), 1.5, "x", []byte{}, math.Copysign(0, -1), 0.0, math.Inf(1), "a\x80", []byte("x")},
			"c": {nil, "new", "old"}, "future": {nil, "x"},
		},
	},
	{
		create: `CREATE TABLE T (K TEXT, l INT, u TEXT, "group" INT NOT NULL DEFAULT 0, w INT CHECK (w <> 3), x,
			PRIMARY KEY (l, K), UNIQUE (u COLLATE NOCASE), UNIQUE ("group", w)) WITHOUT ROWID`,
		grow: `ALTER TABLE t ADD COLUMN "c d" INT NOT NULL DEFAULT -7`,
		base: model{table: "t", key: []string{"l", "k"},
			column: []modelColumn{{name: "u"}, {name: "group", constant: int64(0), notNull: true}, {name: "w"}, {name: "x"}},
			unique: []modelUnique{{columns: []string{"u"}, noCase: true}, {columns: []string{"group", "w"}}},
			check:  func(row map[string]any) bool { return row["w"] != int64(3) }},
		later: modelColumn{name: "c d", constant: int64(-7), notNull: true},
		values: map[string][]any{
			"k": {"a", "A", ""}, "l": {int64(1), "one"}, "u": {nil, "x", "X", "y"}, "group": {int64(0), int64(1), nil},
			"w": {nil, int64(1), int64(2), int64(3)}, "x": {nil, "q"}, "c d": {int64(-7), int64(8), nil},
		},
	},
	{
		create: "CREATE TABLE t (k PRIMARY KEY NOT NULL, r REAL, n NUMERIC UNIQUE, d DATETIME, g AS (r + 1)) ",
		grow:   "ALTER TABLE t ADD COLUMN c REAL DEFAULT 1",
		base: model{table: "t", key: []string{"k"}, column: []modelColumn{{name: "r"}, {name: "n"}, {name: "d"}},
			unique: []modelUnique{{columns: []string{"n"}}}},
		later: modelColumn{name: "c", constant: 1.0},
		values: map[string][]any{
			"k": {int64(1), 1.0, "1", []byte("1"), int64(0), math.Copysign(0, -1), 1.5}, "r": {nil, 0.0, 5e-324, math.Inf(1)},
			"n": {nil, int64(1), 1.5, "x", []byte("x")}, "d": {nil, "2024-01-02 03:04:05", int64(5), "odd"}, "c": {1.0, 2.0, nil},
		},
	},
	{
		create: "CREATE TABLE t (a INT, b TEXT, PRIMARY KEY (a, b)) STRICT",
		grow:   "ALTER TABLE t ADD COLUMN c ANY DEFAULT x'00'",
		base:   model{table: "t", key: []string{"a", "b"}},
		later:  modelColumn{name: "c", constant: []byte{0}},
		values: map[string][]any{
			"a": {int64(1), int64(2), nil}, "b": {"x", "y"}, "c": {nil, []byte{0}, "1", int64(1)},
		},
	},
	{
		create: `CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, e TEXT, p INT, done INT);
			CREATE UNIQUE INDEX i ON t (lower(e)); CREATE UNIQUE INDEX j ON t (p) WHERE NOT done`,
		grow: "ALTER TABLE t ADD COLUMN c DEFAULT 0",
		base: model{table: "t", key: []string{"k"}, column: []modelColumn{{name: "e"}, {name: "p"}, {name: "done"}}, fold: strings.ToLower,
			unique: []modelUnique{
				{values: func(row map[string]any) []any { return []any{lower(row["e"])} }},
				{columns: []string{"p"}, in: func(row map[string]any) bool { return row["done"] == int64(0) }},
			}},
		later: modelColumn{name: "c", constant: int64(0)},
		values: map[string][]any{
			"k": {"a", "A", "b", "B "}, "e": {nil, "x", "X", "y"}, "p": {nil, int64(1), int64(2)}, "done": {nil, int64(0), int64(0), int64(1)}, "c": {int64(0), int64(1)},
		},
	},
	{
		create: `CREATE TABLE t (a TEXT COLLATE NOCASE, b TEXT, n INTEGER, m INTEGER, v AS (n + m) UNIQUE, PRIMARY KEY (b COLLATE RTRIM, a COLLATE BINARY)) WITHOUT ROWID;
			CREATE UNIQUE INDEX j ON t (abs(v), a = '0') WHERE m > 1`,
		grow: "ALTER TABLE t ADD COLUMN c",
		base: model{table: "t", key: []string{"b", "a"}, column: []modelColumn{{name: "n"}, {name: "m"}}, fold: func(text string) string { return strings.TrimRight(text, " ") },
			unique: []modelUnique{
				{values: func(row map[string]any) []any { return []any{sum(row)} }},
				{values: func(row map[string]any) []any {
					if v, known := sum(row).(int64); known {
						return []any{max(v, -v)}
					}
					return []any{nil}
				}, in: func(row map[string]any) bool { m, known := row["m"].(int64); return known && m > 1 }},
			}},
		later: modelColumn{name: "c"},
		values: map[string][]any{
			"a": {"x", "X"}, "b": {"q", "q ", "r"}, "n": {nil, int64(1), int64(2), int64(-3), int64(-5)}, "m": {nil, int64(0), int64(1), int64(2)}, "c": {nil, int64(1)},
		},
	},
}

func lower(v any) any {
	if text, isText := v.(string); isText {
		return strings.ToLower(text)
	}
	return v
}

func sum(row map[string]any) any {
	n, known := row["n"].(int64)
	m, also := row["m"].(int64)
	if !known || !also {
		return nil
	}
	return n + m
}
