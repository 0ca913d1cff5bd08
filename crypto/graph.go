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
// counts is decided in judge.go. See FORMAT.md, "From records to the roster".
type graph struct {
	nodes   []node
	index   map[RecordHash]int
	grants  map[DeviceID][]int // nodes that give keys for the device id: found, admit
	admits  map[int][]int      // invite -> its admits
	byRank  []int              // valid nodes, by rank and then by place
	refused []Refusal
	waiting []RecordHash
	kindErr *KindError // the first authentic record of a kind that this version cannot compute
}

// A node is a sound record. Its place in graph.nodes is its place in canonical order, so its past has smaller numbers.
type node struct {
	record *Record
	past   bitset
	invite int    // of an admit: its invite
	reason Reason // why it is not valid in what its author could see; 0: it is
	grant  int    // of an invite: the record that made its author an admin
	rank   rank
}

// buildGraph takes the records in canonical order: of those whose parents have been taken, the one with the smallest
// hash. A record that comes later never changes which of two others is first.
func buildGraph(space SpaceID, records []*Record) (*graph, error) {
	g := &graph{
		index:  make(map[RecordHash]int),
		grants: make(map[DeviceID][]int),
		admits: make(map[int][]int),
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
	if record.Body == nil {
		g.takeUnsupported(&n)
		return false, nil
	}
	if len(g.nodes) == maxRecords {
		return false, fmt.Errorf("%w: more than %d records", ErrTooLarge, maxRecords)
	}

	i := len(g.nodes)
	g.validate(&n, i)
	g.nodes = append(g.nodes, n)
	g.index[record.hash] = i
	switch body := record.Body.(type) {
	case *Found:
		g.grants[record.Author] = append(g.grants[record.Author], i)
		if body.Recovery != nil {
			id := body.Recovery.ID()
			g.grants[id] = append(g.grants[id], i)
		}
	case *Admit:
		g.grants[record.Author] = append(g.grants[record.Author], i)
		g.admits[n.invite] = append(g.admits[n.invite], i)
	}
	if n.reason == 0 {
		at, _ := slices.BinarySearchFunc(g.byRank, i, func(a, b int) int {
			return compareRank(g.nodes[a].rank, g.nodes[b].rank, a, b)
		})
		g.byRank = slices.Insert(g.byRank, at, i)
	}
	return true, nil
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
	for _, i := range g.grants[id] {
		if past.has(i) {
			return g.nodes[i].record.keysFor(id), true
		}
	}
	return PublicKeys{}, false
}

// keysFor returns the keys that a found or admit record gives for a device id.
func (r *Record) keysFor(id DeviceID) PublicKeys {
	switch body := r.Body.(type) {
	case *Found:
		if id == r.Author {
			return body.Founder
		}
		return *body.Recovery
	case *Admit:
		return body.Keys
	}
	return PublicKeys{}
}

// takeUnsupported reports a record that is authentic but of a kind that this version cannot compute. Only who may write
// such a record can cause that report: admins, for a succeed record any member. Otherwise anyone could stop everyone.
func (g *graph) takeUnsupported(n *node) {
	view := g.judge(n.past, nil)
	role, _, _ := g.authority(n.record.Author, view)
	if role == 0 || n.record.Kind != KindSucceed && role != Admin {
		g.refuse(n.record, ReasonNotAdmin, nil)
		return
	}
	err := &KindError{Kind: n.record.Kind, Record: n.record.hash, Author: n.record.Author}
	g.refuse(n.record, ReasonKind, err)
	if g.kindErr == nil {
		g.kindErr = err
	}
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
		if refusal.Reason != ReasonKind {
			refused[refusal.Record] = true
		}
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

func compareHashes(a, b RecordHash) int { return bytes.Compare(a[:], b[:]) }

// A bitset is a set of places in canonical order. It has no more words than it needs; the methods that return a bitset
// may change the one they are called on.
type bitset []uint64

func (b bitset) has(i int) bool { return i>>6 < len(b) && b[i>>6]>>(i&63)&1 == 1 }

func (b bitset) with(i int) bitset {
	for len(b) <= i>>6 {
		b = append(b, 0)
	}
	b[i>>6] |= 1 << (i & 63)
	return b
}

func (b bitset) or(c bitset) bitset {
	for len(b) < len(c) {
		b = append(b, 0)
	}
	for i, word := range c {
		b[i] |= word
	}
	return b
}
