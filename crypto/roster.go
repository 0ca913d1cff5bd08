package crypto

import (
	"fmt"
	"slices"
)

const (
	// maxMembers is how many wraps of an epoch fit a record, less the one for the recovery key.
	maxMembers = 128

	labelRoster = "sqlitesync/roster/v1"
)

// A Member is a device that belongs to a space.
type Member struct {
	ID        DeviceID
	Keys      PublicKeys
	Role      Role
	Admitted  uint64 // Unix milliseconds, by the clock of the device when it entered
	Seniority int    // 0: the most senior, at first the founder
}

// An OpenInvite is an invite that can still admit a device, unless it has expired.
type OpenInvite struct {
	Record RecordHash
	Author DeviceID
	Invite
}

// A Roster says who is a member of a space. It is a function of the set of records, whatever their order, and does not
// change.
type Roster struct {
	space   SpaceID
	graph   *graph
	all     bitset
	counts  bitset
	current int      // the record that starts the current epoch; -1: there is none
	exposed bool     // see Exposed
	members []Member // by seniority
	invites []OpenInvite
	heads   []RecordHash
	refused []Refusal
	kindErr *KindError // of a record that may be a decision of a kind that this version does not know
}

// ReadRoster computes the roster of a space from all records that [ParseRecord] decoded. Records that are invalid, have
// no right, or wait for others never make it fail; they are listed. It returns ErrTooLarge if there are more than 8192
// valid records. Before the found record has arrived the roster is empty. A caller must look at [Roster.Supported], and
// hold the result against what it has seen before with [Roster.Missing].
func ReadRoster(space SpaceID, records []*Record) (*Roster, error) {
	g, err := buildGraph(space, records)
	if err != nil {
		return nil, fmt.Errorf("read roster: %w", err)
	}
	r := &Roster{space: space, graph: g}

	named := make(map[RecordHash]bool)
	for i, n := range g.nodes {
		r.all = r.all.with(i)
		for _, parent := range n.record.Parents {
			named[parent] = true
		}
	}
	why := make([]Reason, len(g.nodes))
	r.counts = g.judge(r.all, why)
	r.kindErr = g.judgeUnknown(r.counts)
	for i, n := range g.nodes {
		if !named[n.record.hash] {
			r.heads = append(r.heads, n.record.hash)
		}
		if reason := max(n.reason, why[i]); reason != 0 {
			g.refuse(n.record, reason, nil)
		}
	}
	slices.SortFunc(r.heads, compareHashes)
	r.refused = g.refused
	slices.SortFunc(r.refused, func(a, b Refusal) int { return compareHashes(a.Record, b.Record) })

	r.collectMembers()
	for i := range r.counts.all {
		record := g.nodes[i].record
		if invite, ok := record.Body.(*Invite); ok && len(g.candidates(i, r.all)) == 0 && !g.closed(i, r.counts) {
			r.invites = append(r.invites, OpenInvite{Record: record.hash, Author: record.Author, Invite: *invite})
		}
	}
	r.current, r.exposed = r.currentEpoch()
	return r, nil
}

// collectMembers lists the devices that have a role.
func (r *Roster) collectMembers() {
	type ranked struct {
		Member
		rank  rank
		grant int
	}
	var found []ranked
	for id := range r.graph.grants {
		role, grant, rank := r.graph.authority(id, r.counts)
		if role == 0 || r.graph.isRecovery(grant, id) {
			continue
		}
		keys, admitted := r.entry(id, grant)
		found = append(found, ranked{Member{ID: id, Keys: keys, Role: role, Admitted: admitted}, rank, grant})
	}
	slices.SortFunc(found, func(a, b ranked) int { return compareRank(a.rank, b.rank, a.grant, b.grant) })
	for i, m := range found {
		m.Seniority = i
		r.members = append(r.members, m.Member)
	}
}

// entry returns with which keys a member entered, and when. Should the record by which it did not count any more, because
// another one has given it a role since, it is the one that this other one's author saw.
func (r *Roster) entry(id DeviceID, grant int) (PublicKeys, uint64) {
	enters := r.graph.enters[id]
	i := enters.firstIn(r.counts)
	if i < 0 {
		i = enters.firstIn(r.graph.nodes[grant].past)
	}
	record := r.graph.nodes[i].record
	keys := record.keysFor(id)
	switch body := record.Body.(type) {
	case *Found:
		return keys, body.Created
	case *Admit:
		return keys, body.Created
	case *Succeed:
		return keys, body.Created
	}
	return keys, 0
}

// Space returns the id of the space.
func (r *Roster) Space() SpaceID { return r.space }

// Found returns the rules of the space, or nil if the found record has not arrived. The result must not be changed.
func (r *Roster) Found() *Found {
	for _, n := range r.graph.nodes {
		if body, ok := n.record.Body.(*Found); ok {
			return body
		}
	}
	return nil
}

// Supported returns a [*KindError] if an admin whom no senior one has stopped wrote a record of a kind that this version does
// not know. The roster may then be wrong, since the record may be a revocation: nothing may be merged or published until the program is updated.
func (r *Roster) Supported() error {
	if r.kindErr == nil {
		return nil
	}
	return r.kindErr
}

// Member returns the member with the id.
func (r *Roster) Member(id DeviceID) (Member, bool) {
	for _, m := range r.members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Members returns all members, the most senior first.
func (r *Roster) Members() []Member { return slices.Clone(r.members) }

// Invites returns the open invites. Whether one has expired is for a clock to say, which the roster does not have.
func (r *Roster) Invites() []OpenInvite { return slices.Clone(r.invites) }

// Has reports whether the record is a valid part of the history, with or without effect.
func (r *Roster) Has(hash RecordHash) bool {
	_, ok := r.graph.index[hash]
	return ok
}

// Missing returns which of the records the roster does not have. History only grows: a roster that lacks what was seen
// before, or what an invite names, is an older one, or has not arrived yet.
func (r *Roster) Missing(records []RecordHash) []RecordHash {
	var missing []RecordHash
	for _, hash := range records {
		if !r.Has(hash) {
			missing = append(missing, hash)
		}
	}
	return missing
}

// Heads returns the records that no other one names as its parent, in rising order. They stand for the whole history:
// who remembers them can tell an older roster.
func (r *Roster) Heads() []RecordHash { return slices.Clone(r.heads) }

// Hash returns a hash of the history. Equal hashes mean equal rosters.
func (r *Roster) Hash() [32]byte {
	hashes := make([]RecordHash, 0, len(r.graph.nodes))
	for _, n := range r.graph.nodes {
		hashes = append(hashes, n.record.hash)
	}
	slices.SortFunc(hashes, compareHashes)
	parts := make([][]byte, len(hashes))
	for i := range hashes {
		parts[i] = hashes[i][:]
	}
	return hashLabelled(labelRoster, parts...)
}

// Refused returns the records without effect and why, by hash.
func (r *Roster) Refused() []Refusal { return slices.Clone(r.refused) }

// Waiting returns the records that wait for others to arrive, by hash.
func (r *Roster) Waiting() []RecordHash { return slices.Clone(r.graph.waiting) }
