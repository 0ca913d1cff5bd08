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

// A Reason says why a record has no effect.
type Reason uint8

// The reasons. The first group makes a record a stranger, which is as good as absent. The second group leaves it in the
// history, without effect.
const (
	ReasonSpace     Reason = 1 + iota // of another space
	ReasonParent                      // descends from a refused record
	ReasonAuthor                      // its past has no such author
	ReasonInvite                      // its past has no such invite
	ReasonSignature                   // not signed with the right key
	ReasonKind                        // authentic, of a kind that this version cannot compute: see Roster.Supported

	ReasonNotAdmin   // its author had no right to write it
	ReasonAuthorVoid // what gave its author the right does not count
	ReasonInviteVoid // its invite does not count
	ReasonExpired    // made after the invite's expiry, as it says itself
	ReasonSpent      // its invite has admitted another device
	ReasonDevice     // its device was a member before
)

// String returns a clause that completes "the record …".
func (r Reason) String() string {
	switch r {
	case ReasonSpace:
		return "belongs to another space"
	case ReasonParent:
		return "descends from a refused record"
	case ReasonAuthor:
		return "has an unknown author"
	case ReasonInvite:
		return "names an unknown invite"
	case ReasonSignature:
		return "is not signed with the right key"
	case ReasonKind:
		return "is of a kind that this version does not support"
	case ReasonNotAdmin:
		return "has an author without the right to write it"
	case ReasonAuthorVoid:
		return "has an author whose own admission does not count"
	case ReasonInviteVoid:
		return "uses an invite that does not count"
	case ReasonExpired:
		return "uses an expired invite"
	case ReasonSpent:
		return "uses an invite that has admitted another device"
	case ReasonDevice:
		return "admits a device that was a member before"
	}
	return fmt.Sprintf("has no effect (reason %d)", uint8(r))
}

// A Refusal names a record without effect.
type Refusal struct {
	Record RecordHash
	Kind   Kind
	Author DeviceID
	Reason Reason
	Err    error // with ReasonKind a *KindError, else nil
}

// A Member is a device that belongs to a space.
type Member struct {
	ID        DeviceID
	Keys      PublicKeys
	Role      Role
	Admitted  uint64 // Unix milliseconds, by the clock of the device when it entered
	Seniority int    // 0: the founder; larger: later
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
	counts  bitset
	members []Member // by seniority
	invites []OpenInvite
	heads   []RecordHash
	refused []Refusal
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

	var all bitset
	named := make(map[RecordHash]bool)
	for i, n := range g.nodes {
		all = all.with(i)
		for _, parent := range n.record.Parents {
			named[parent] = true
		}
	}
	why := make([]Reason, len(g.nodes))
	r.counts = g.judge(all, why)
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

	for _, i := range g.byRank {
		if r.counts.has(i) {
			r.collect(i, all)
		}
	}
	return r, nil
}

// collect adds what a counting record brings. It is called in the order of rank.
func (r *Roster) collect(i int, all bitset) {
	record := r.graph.nodes[i].record
	switch body := record.Body.(type) {
	case *Found:
		if len(r.members) == 0 { // a found record that was signed twice is one founding
			r.admit(record.Author, body.Founder, Admin, body.Created)
		}
	case *Admit:
		role, _, _ := r.graph.authority(record.Author, r.counts)
		r.admit(record.Author, body.Keys, role, body.Created)
	case *Invite:
		if len(r.graph.candidates(i, all)) == 0 {
			r.invites = append(r.invites, OpenInvite{Record: record.hash, Author: record.Author, Invite: *body})
		}
	}
}

func (r *Roster) admit(id DeviceID, keys PublicKeys, role Role, admitted uint64) {
	r.members = append(r.members, Member{
		ID: id, Keys: keys, Role: role, Admitted: admitted, Seniority: len(r.members),
	})
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

// Supported returns a [*KindError] if a member wrote a record that this version cannot compute. The roster may then be
// wrong, since the record may be a revocation: nothing may be merged or published until the program is updated.
func (r *Roster) Supported() error {
	if r.graph.kindErr == nil {
		return nil
	}
	return r.graph.kindErr
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

// Epochs returns the epochs of all records that count, the current one last.
func (r *Roster) Epochs() []WrappedEpoch {
	if found := r.Found(); found != nil {
		return []WrappedEpoch{found.Epoch}
	}
	return nil
}

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
