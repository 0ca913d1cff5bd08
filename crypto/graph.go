package crypto

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
)

// maxRecords bounds what a code in wrong hands can cost: its holder can sign any number of records.
const maxRecords = 8192

// A graph holds the sound records of a space in canonical order: form, parents and signature are right. Whether a record
// counts is decided in valid.go and judge.go. See FORMAT.md, "From records to the roster".
//
// Its cost, for n records: n signatures to check; about n²/16 bytes of sets, 8 MB for the most that there can be; and as
// many steps, because most records have one parent, or one that has seen the others. Each record that really joins
// branches takes a judgement of all that it has seen, which is about n²/64 steps.
type graph struct {
	nodes  []node
	index  map[RecordHash]int
	byRank []int // valid nodes, by rank and then by place

	enters  map[DeviceID]bitset // nodes by which the id enters: found, admit, succeed; join for a recovery key
	grants  map[DeviceID]bitset // nodes that give the device a role: found, admit, succeed, role
	keys    bitset              // nodes that set a recovery key: found, join
	takers  map[taking]bitset   // nodes that take authority from a device
	ends    map[int]bitset      // invite -> nodes that withdraw it
	admits  map[int][]int       // invite -> its admits
	started map[EpochID]bitset  // nodes in which the epoch stands

	refused []Refusal
	waiting []RecordHash
	unknown []node // sound records of kinds that this version does not know, by who was an admin; they have no place
}

// A node is a sound record. Its place in graph.nodes is its place in canonical order, so its past has smaller numbers.
type node struct {
	record   *Record
	past     bitset
	future   bitset   // what has this record in its past
	view     bitset   // what counts in the roster of its past
	invite   int      // of an admit or withdraw: its invite
	grant    int      // what gave its author the right to write it
	role     Role     // of a succeed: what it passes on; of a role: what the device was before
	device   DeviceID // of a found, admit, succeed: who enters
	recovery DeviceID // of a record that sets a recovery key: its id
	replaced DeviceID // of a join that does: the id of the one before
	reason   Reason   // why it is not valid in what its author could see; 0: it is
	rank     rank
}

// A taking is authority that a record can take from a device or recovery key: to write what needs a role, or, of a reader,
// to be there.
type taking struct {
	device DeviceID
	need   Role
}

// buildGraph takes the records in canonical order: of those whose parents have been taken, the one with the smallest
// hash. A record that comes later never changes which of two others is first.
func buildGraph(space SpaceID, records []*Record) (*graph, error) {
	g := &graph{
		index:   make(map[RecordHash]int),
		enters:  make(map[DeviceID]bitset),
		grants:  make(map[DeviceID]bitset),
		takers:  make(map[taking]bitset),
		ends:    make(map[int]bitset),
		admits:  make(map[int][]int),
		started: make(map[EpochID]bitset),
	}
	pending := make(map[RecordHash]*Record, len(records)) // not taken yet
	children := make(map[RecordHash][]*Record)
	missing := make(map[RecordHash]int) // number of parents that have not been taken
	ready := newestLast{}
	for _, record := range records {
		if pending[record.hash] != nil {
			continue // the same record from two files
		}
		pending[record.hash] = record
		missing[record.hash] = len(record.Parents)
		for _, parent := range record.Parents {
			children[parent] = append(children[parent], record)
		}
		if len(record.Parents) == 0 {
			ready.push(record)
		}
	}

	for len(ready) > 0 {
		record := ready.pop()
		delete(pending, record.hash)
		sound, err := g.take(space, record)
		if err != nil {
			return nil, err
		}
		for _, child := range children[record.hash] {
			if !sound {
				break // the children stay pending: see settlePending
			}
			if missing[child.hash]--; missing[child.hash] == 0 {
				ready.push(child)
			}
		}
	}
	g.settlePending(pending)
	return g, nil
}

// newestLast is a list of records in falling order of their hashes: the next one to take is at the end.
type newestLast []*Record

func (l *newestLast) push(r *Record) {
	i, _ := slices.BinarySearchFunc(*l, r, func(a, b *Record) int { return bytes.Compare(b.hash[:], a.hash[:]) })
	*l = slices.Insert(*l, i, r)
}

func (l *newestLast) pop() *Record {
	last := len(*l) - 1
	r := (*l)[last]
	*l = (*l)[:last]
	return r
}

// take adds a record whose parents are all sound, if it is sound itself.
func (g *graph) take(space SpaceID, record *Record) (sound bool, err error) {
	n := node{record: record, past: g.pastOf(record), invite: -1, grant: -1}
	if record.SpaceID() != space {
		g.refuse(record, ReasonSpace, nil)
		return false, nil
	}
	if reason := g.checkSignature(&n); reason != 0 {
		g.refuse(record, reason, nil)
		return false, nil
	}
	n.view = g.viewOf(&n)
	if record.Body == nil && !g.mayDecide(&n) {
		g.refuse(record, ReasonNotAdmin, nil)
		return false, nil
	}
	if len(g.nodes)+len(g.unknown) == maxRecords {
		return false, fmt.Errorf("%w: more than %d records", ErrTooLarge, maxRecords)
	}
	if record.Body == nil {
		g.unknown = append(g.unknown, n)
		return false, nil
	}
	g.add(n)
	return true, nil
}

// add gives a sound record its place.
func (g *graph) add(n node) {
	i := len(g.nodes)
	n.reason = g.validate(&n, i)
	g.nodes = append(g.nodes, n)
	g.index[n.record.hash] = i
	for j := range n.past.all {
		g.nodes[j].future = g.nodes[j].future.with(i)
	}
	for _, epoch := range n.record.epochs() {
		g.started[epoch.ID] = g.started[epoch.ID].with(i)
	}
	if n.recovery != (DeviceID{}) {
		g.keys = g.keys.with(i)
		g.enters[n.recovery] = g.enters[n.recovery].with(i)
	}
	if n.device != (DeviceID{}) {
		g.enters[n.device] = g.enters[n.device].with(i)
		g.grants[n.device] = g.grants[n.device].with(i)
	}
	if n.record.Kind == KindAdmit {
		g.admits[n.invite] = append(g.admits[n.invite], i)
	}
	if n.reason != 0 {
		return // it stands in the history, and does nothing
	}
	g.addTakings(&n, i)
	at, _ := slices.BinarySearchFunc(g.byRank, i, func(a, b int) int {
		return compareRank(g.nodes[a].rank, g.nodes[b].rank, a, b)
	})
	g.byRank = slices.Insert(g.byRank, at, i)
}

// addTakings notes what a valid record takes from others.
func (g *graph) addTakings(n *node, i int) {
	take := func(device DeviceID, needs ...Role) {
		for _, need := range needs {
			key := taking{device, need}
			g.takers[key] = g.takers[key].with(i)
		}
	}
	switch body := n.record.Body.(type) {
	case *Withdraw:
		g.ends[n.invite] = g.ends[n.invite].with(i)
	case *RoleChange:
		g.grants[body.Cut.Device] = g.grants[body.Cut.Device].with(i)
		switch body.Role {
		case Writer:
			take(body.Cut.Device, Admin)
		case Reader:
			take(body.Cut.Device, Admin, Writer)
		}
	case *Revoke:
		for _, cut := range body.Cuts {
			take(cut.Device, Admin, Writer, Reader)
		}
	case *Join:
		if n.replaced != (DeviceID{}) {
			take(n.replaced, Admin, Writer, Reader)
		}
	}
}

// pastOf returns all records before this one. Its parents are in the graph.
func (g *graph) pastOf(record *Record) bitset {
	var past bitset
	for _, parent := range record.Parents {
		i := g.index[parent]
		past = past.or(g.nodes[i].past)
		past = past.with(i)
	}
	return past
}

// viewOf returns which records of the past count there. A record that has seen all of a history neither overrules nor
// confirms anything in it, nor is it overruled: so where one parent has seen the others there is nothing to judge anew.
func (g *graph) viewOf(n *node) bitset {
	last := len(n.past)<<6 - 1
	for ; last >= 0 && !n.past.has(last); last-- {
	}
	if last < 0 {
		return nil
	}
	newest := &g.nodes[last] // nothing in the past has seen it, so it is a parent
	for _, parent := range n.record.Parents {
		if i := g.index[parent]; i != last && !newest.past.has(i) {
			return g.judge(n.past, nil)
		}
	}
	view := slices.Clone(newest.view)
	if newest.reason == 0 {
		view = view.with(last)
	}
	return view
}

// checkSignature finds the key that the record must be signed with in its own past, so that the answer depends on nothing
// that arrives later.
func (g *graph) checkSignature(n *node) Reason {
	var key ed25519.PublicKey
	switch body := n.record.Body.(type) {
	case *Found:
		return 0 // checked by ParseRecord: the key stands in the record itself
	case *Admit:
		i, ok := g.index[body.Invite]
		if !ok || !n.past.has(i) || g.nodes[i].record.Kind != KindInvite {
			return ReasonInvite
		}
		n.invite = i
		public := g.nodes[i].record.Body.(*Invite).PublicKey
		key = public[:]
	default:
		keys, ok := g.keysOf(n.record.Author, n.past)
		if !ok {
			return ReasonAuthor
		}
		key = keys.SigningKey()
	}
	if n.record.verify(key) != nil {
		return ReasonSignature
	}
	return 0
}

// keysOf finds the keys of a device in a past. All records that give keys for one id give the same signing key: the id is
// a hash of it.
func (g *graph) keysOf(id DeviceID, past bitset) (PublicKeys, bool) {
	i := g.enters[id].firstIn(past)
	if i < 0 {
		return PublicKeys{}, false
	}
	return g.nodes[i].record.keysFor(id), true
}

// keysFor returns the keys that a record gives for a device id, or a recovery key's.
func (r *Record) keysFor(id DeviceID) PublicKeys {
	switch body := r.Body.(type) {
	case *Found:
		if id == r.Author {
			return body.Founder
		}
	case *Admit:
		return body.Keys
	case *Succeed:
		return body.Keys
	}
	return r.recovery().PublicKeys
}

// mayDecide reports whether the author of a record of an unknown kind was an admin in its past, and gives it its rank.
func (g *graph) mayDecide(n *node) bool {
	var role Role
	role, n.grant, n.rank = g.authority(n.record.Author, n.view)
	return role == Admin
}

// judgeUnknown returns an error if a record of an unknown kind may be a decision that holds. What it would need to count is
// what every other decision needs: otherwise a stolen device could stop everyone after its revocation.
func (g *graph) judgeUnknown(counts bitset) (stops *KindError) {
	for i := range g.unknown {
		n := &g.unknown[i]
		var senior bitset
		for j := range counts.all {
			if g.nodes[j].rank.before(n.rank) {
				senior = senior.with(j)
			}
		}
		switch {
		case !counts.has(n.grant):
			g.refuse(n.record, ReasonAuthorVoid, nil)
		case g.takenAway(n, senior):
			g.refuse(n.record, ReasonOverruled, nil)
		default:
			err := &KindError{Kind: n.record.Kind, Record: n.record.hash, Author: n.record.Author}
			g.refuse(n.record, ReasonKind, err)
			if stops == nil {
				stops = err
			}
		}
	}
	return stops
}

func (g *graph) refuse(record *Record, reason Reason, err error) {
	g.refused = append(g.refused, Refusal{
		Record: record.hash, Kind: record.Kind, Author: record.Author, Reason: reason, Err: err,
	})
}

// settlePending sorts the records that could not be taken: those that descend from a refused record are refused, those
// that descend from one of an unsupported kind, or from one that has not arrived, wait.
func (g *graph) settlePending(pending map[RecordHash]*Record) {
	refused := make(map[RecordHash]bool)
	for _, refusal := range g.refused {
		refused[refusal.Record] = true
	}
	for again := true; again; {
		again = false
		for hash, record := range pending {
			if slices.ContainsFunc(record.Parents, func(parent RecordHash) bool { return refused[parent] }) {
				g.refuse(record, ReasonParent, nil)
				refused[hash] = true
				delete(pending, hash)
				again = true
			}
		}
	}
	for hash := range pending {
		g.waiting = append(g.waiting, hash)
	}
	slices.SortFunc(g.waiting, compareHashes)
	slices.SortFunc(g.refused, func(a, b Refusal) int { return compareHashes(a.Record, b.Record) })
}
