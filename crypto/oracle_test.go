package crypto

import (
	"bytes"
	"math/bits"
	"slices"
)

// An oracle decides which records count, straight from the text of FORMAT.md: every rule is a recursive function over
// all records, and it shares no code with the graph. It takes sound records only, at most 64 of them. What it has found
// out about a record in a set is kept, or it would never end.
type oracle struct {
	records []*Record // in canonical order
	pos     map[RecordHash]int
	known   map[oracleQuestion]bool
	ranks   map[int]oracleRank
}

// An oracleSet has a bit for each place in canonical order.
type oracleSet uint64

func (s oracleSet) has(i int) bool { return s>>i&1 == 1 }

func (s oracleSet) list() (list []int) {
	for ; s != 0; s &= s - 1 {
		list = append(list, bits.TrailingZeros64(uint64(s)))
	}
	return list
}

type oracleQuestion struct {
	record int
	set    oracleSet
	valid  bool
}

func newOracle(records []*Record) *oracle {
	o := &oracle{pos: map[RecordHash]int{}, known: map[oracleQuestion]bool{}, ranks: map[int]oracleRank{}}
	for len(o.records) < len(records) {
		var next *Record
		for _, r := range records {
			if _, taken := o.pos[r.Hash()]; taken {
				continue
			}
			if slices.ContainsFunc(r.Parents, func(p RecordHash) bool { _, taken := o.pos[p]; return !taken }) {
				continue
			}
			if next == nil || r.Hash().String() < next.Hash().String() {
				next = r
			}
		}
		o.pos[next.Hash()] = len(o.records)
		o.records = append(o.records, next)
	}
	return o
}

func (o *oracle) all() oracleSet { return 1<<len(o.records) - 1 }

func (o *oracle) past(i int) (past oracleSet) {
	for _, p := range o.records[i].Parents {
		past |= 1<<o.pos[p] | o.past(o.pos[p])
	}
	return past
}

// oracleRank is class and place.
type oracleRank [2]int

func (a oracleRank) less(b oracleRank) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }

// recovery returns the record that set the recovery key of a set, and its id.
func (o *oracle) recovery(set oracleSet) (grant int, id DeviceID) {
	grant = -1
	for _, i := range set.list() {
		var keys *RecoveryKey
		switch body := o.records[i].Body.(type) {
		case *Found:
			keys = body.Recovery
		case *Join:
			keys = body.Recovery
		}
		if keys != nil && o.counts(i, set) {
			grant, id = i, keys.ID()
		}
	}
	return grant, id
}

// member returns grant, role and rank of a device or recovery key in the roster of a set.
func (o *oracle) member(id DeviceID, set oracleSet) (grant int, role Role, rank oracleRank) {
	if grant, key := o.recovery(set); grant >= 0 && key == id {
		return grant, Admin, oracleRank{1, grant}
	}
	grant = -1
	for _, i := range set.list() {
		r := o.records[i]
		switch body := r.Body.(type) {
		case *Revoke:
			if o.takes(i, id, Reader) && o.counts(i, set) {
				return -1, 0, oracleRank{}
			}
		case *Found:
			if r.Author == id {
				grant, role, rank = i, Admin, oracleRank{0, 0}
			}
		case *Admit:
			if r.Author == id && o.counts(i, set) {
				invite := o.pos[body.Invite]
				grant, role, rank = i, o.records[invite].Body.(*Invite).Role, oracleRank{o.class(invite), i}
			}
		case *Succeed:
			if body.Keys.ID() == id && o.counts(i, set) {
				_, role, rank = o.member(r.Author, o.past(i))
				grant, rank = i, oracleRank{rank[0], i}
			}
		case *RoleChange:
			if body.Cut.Device == id && o.counts(i, set) {
				grant, role, rank = i, body.Role, oracleRank{2, i}
				if role == Admin {
					rank[0] = o.rank(i)[0]
				}
			}
		}
	}
	return grant, role, rank
}

// class of the device that an invite admits.
func (o *oracle) class(invite int) int {
	if o.records[invite].Body.(*Invite).Role != Admin {
		return 2
	}
	return o.rank(invite)[0]
}

func (o *oracle) rank(i int) oracleRank {
	if rank, ok := o.ranks[i]; ok {
		return rank
	}
	r := o.records[i]
	var rank oracleRank
	switch body := r.Body.(type) {
	case *Found:
	case *Admit:
		rank = oracleRank{o.class(o.pos[body.Invite]), i}
	default:
		_, _, rank = o.member(r.Author, o.past(i))
	}
	o.ranks[i] = rank
	return rank
}

// entered reports whether an id was ever a member, or a recovery key, in a set.
func (o *oracle) entered(id DeviceID, set oracleSet) bool {
	return slices.ContainsFunc(set.list(), func(i int) bool {
		change, ok := o.records[i].Body.(*RoleChange)
		return (slices.Contains(o.admitted(i), id) || ok && change.Cut.Device == id) && o.counts(i, set)
	})
}

// wasMember is entered for devices alone.
func (o *oracle) wasMember(id DeviceID, set oracleSet) bool {
	return slices.ContainsFunc(set.list(), func(i int) bool {
		r := o.records[i]
		is := false
		switch body := r.Body.(type) {
		case *Found, *Admit:
			is = r.Author == id
		case *Succeed:
			is = body.Keys.ID() == id
		case *RoleChange:
			is = body.Cut.Device == id
		}
		return is && o.counts(i, set)
	})
}

// admitted returns the ids that enter by a record.
func (o *oracle) admitted(i int) (ids []DeviceID) {
	r := o.records[i]
	switch body := r.Body.(type) {
	case *Found:
		ids = []DeviceID{r.Author}
		if body.Recovery != nil {
			ids = append(ids, body.Recovery.ID())
		}
	case *Admit:
		ids = []DeviceID{r.Author}
	case *Succeed:
		ids = []DeviceID{body.Keys.ID()}
	case *Join:
		if body.Recovery != nil {
			ids = []DeviceID{body.Recovery.ID()}
		}
	}
	return ids
}

func oracleEpochs(r *Record) []WrappedEpoch {
	switch body := r.Body.(type) {
	case *Found:
		return []WrappedEpoch{body.Epoch}
	case *Withdraw:
		return body.Epochs
	case *Revoke:
		return body.Epochs
	case *Join:
		return body.Epochs
	}
	return nil
}

// takes reports whether a record takes from a device what needs a role.
func (o *oracle) takes(i int, id DeviceID, need Role) bool {
	switch body := o.records[i].Body.(type) {
	case *Revoke:
		return slices.ContainsFunc(body.Cuts, func(cut Cut) bool { return cut.Device == id })
	case *RoleChange:
		return body.Cut.Device == id && body.Role > need
	case *Join:
		if body.Recovery != nil {
			grant, key := o.recovery(o.past(i))
			return grant >= 0 && key == id && need == Admin
		}
	}
	return false
}

// closed reports whether an invite was withdrawn in a set, or has lost its author there.
func (o *oracle) closed(invite int, set oracleSet) bool {
	for _, i := range set.list() {
		withdraw, ok := o.records[i].Body.(*Withdraw)
		ends := ok && o.pos[withdraw.Invite] == invite
		if (ends || o.takes(i, o.records[invite].Author, Admin) && !o.past(invite).has(i)) && o.counts(i, set) {
			return true
		}
	}
	return false
}

// valid is C1.
func (o *oracle) valid(i int) bool {
	question := oracleQuestion{record: i, valid: true}
	answer, ok := o.known[question]
	if !ok {
		answer = o.isValid(i)
		o.known[question] = answer
	}
	return answer
}

func (o *oracle) isValid(i int) bool {
	r, past := o.records[i], o.past(i)
	if r.Kind == KindFound {
		return true
	}
	if admit, ok := r.Body.(*Admit); ok {
		invite := o.pos[admit.Invite]
		for _, j := range past.list() {
			if other, ok := o.records[j].Body.(*Admit); ok && other.Invite == admit.Invite && o.valid(j) {
				return false
			}
		}
		return o.counts(invite, past) && !o.closed(invite, past) &&
			admit.Created <= o.records[invite].Body.(*Invite).Expires && !o.entered(r.Author, past)
	}
	_, role, _ := o.member(r.Author, past)
	if succeed, ok := r.Body.(*Succeed); ok {
		_, recovery := o.recovery(past)
		return role != 0 && recovery != r.Author && !o.entered(succeed.Keys.ID(), past)
	}
	if role != Admin {
		return false
	}
	if epochs := oracleEpochs(r); len(epochs) > 0 {
		for _, j := range past.list() {
			for _, epoch := range oracleEpochs(o.records[j]) {
				if epoch.ID == epochs[len(epochs)-1].ID {
					return false
				}
			}
		}
	}
	switch body := r.Body.(type) {
	case *Withdraw:
		invite, ok := o.pos[body.Invite]
		return ok && past.has(invite) && o.records[invite].Kind == KindInvite
	case *RoleChange:
		_, had, _ := o.member(body.Cut.Device, past)
		_, recovery := o.recovery(past)
		return had != 0 && (had != body.Role || had == Reader) && body.Cut.Device != recovery
	case *Revoke:
		return !slices.ContainsFunc(body.Cuts, func(cut Cut) bool { return !o.wasMember(cut.Device, past) })
	case *Join:
		return body.Recovery == nil || !o.entered(body.Recovery.ID(), past)
	}
	return true
}

func (o *oracle) counts(i int, set oracleSet) bool {
	question := oracleQuestion{record: i, set: set}
	answer, ok := o.known[question]
	if !ok {
		answer = o.valid(i) && o.stands(i, set) && !o.overruled(i, set)
		o.known[question] = answer
	}
	return answer
}

// stands is C2, C4 and C5.
func (o *oracle) stands(i int, set oracleSet) bool {
	r := o.records[i]
	switch body := r.Body.(type) {
	case *Found:
		return true
	case *Admit:
		if !o.counts(o.pos[body.Invite], set) || o.chosen(body.Invite, set) != i {
			return false
		}
	default:
		if grant, _, _ := o.member(r.Author, o.past(i)); !o.counts(grant, set) {
			return false
		}
	}
	for _, j := range set.list() {
		first := o.rank(j).less(o.rank(i)) || o.rank(j) == o.rank(i) && j < i
		same := slices.ContainsFunc(o.admitted(j), func(id DeviceID) bool { return slices.Contains(o.admitted(i), id) })
		if j != i && first && same && o.counts(j, set) {
			return false
		}
	}
	return true
}

// overruled is C3.
func (o *oracle) overruled(i int, set oracleSet) bool {
	r := o.records[i]
	author, need, invite := r.Author, Admin, -1
	switch body := r.Body.(type) {
	case *Found:
		return false
	case *Admit:
		invite = o.pos[body.Invite]
		author = o.records[invite].Author
	case *Succeed:
		_, need, _ = o.member(author, o.past(i))
	}
	for _, v := range set.list() {
		if v == i || o.past(i).has(v) || o.past(v).has(i) || !o.rank(v).less(o.rank(i)) {
			continue
		}
		withdraw, ok := o.records[v].Body.(*Withdraw)
		if (ok && invite >= 0 && o.pos[withdraw.Invite] == invite || o.takes(v, author, need)) && o.counts(v, set) {
			return true
		}
	}
	return false
}

func (o *oracle) candidates(invite RecordHash, set oracleSet) (candidates oracleSet) {
	for _, i := range set.list() {
		if admit, ok := o.records[i].Body.(*Admit); ok && admit.Invite == invite && o.valid(i) {
			candidates |= 1 << i
		}
	}
	return candidates
}

// chosen is C4.
func (o *oracle) chosen(invite RecordHash, set oracleSet) int {
	candidates := o.candidates(invite, set)
	place := oracleRank{o.class(o.pos[invite]), o.pos[invite]}
	confirming, confirmed := -1, -1
	for _, i := range set.list() {
		if o.records[i].Kind == KindAdmit || !o.valid(i) || o.rank(i)[0] == 2 || !o.rank(i).less(place) || !o.counts(i, set) {
			continue
		}
		seen := (o.past(i) & candidates).list()
		if len(seen) != 1 {
			continue
		}
		if confirming < 0 || o.rank(i).less(o.rank(confirming)) ||
			o.rank(i) == o.rank(confirming) && o.records[i].Hash().String() < o.records[confirming].Hash().String() {
			confirming, confirmed = i, seen[0]
		}
	}
	if confirming >= 0 {
		return confirmed
	}
	best := -1
	for _, i := range candidates.list() {
		if best < 0 || o.records[i].Hash().String() < o.records[best].Hash().String() {
			best = i
		}
	}
	return best
}

// members returns the living devices by rank.
func (o *oracle) members() (members []Member) {
	ids := map[DeviceID]bool{}
	for i := range o.records {
		for _, id := range o.admitted(i) {
			ids[id] = true
		}
	}
	ranks := map[DeviceID][3]int{}
	_, recovery := o.recovery(o.all())
	for id := range ids {
		if grant, role, rank := o.member(id, o.all()); role != 0 && id != recovery {
			members = append(members, Member{ID: id, Role: role})
			ranks[id] = [3]int{rank[0], rank[1], grant}
		}
	}
	slices.SortFunc(members, func(a, b Member) int { x, y := ranks[a.ID], ranks[b.ID]; return slices.Compare(x[:], y[:]) })
	return members
}

func (o *oracle) openInvites() (open []RecordHash) {
	for i, r := range o.records {
		if r.Kind == KindInvite && o.counts(i, o.all()) && o.candidates(r.Hash(), o.all()) == 0 && !o.closed(i, o.all()) {
			open = append(open, r.Hash())
		}
	}
	return open
}

func (o *oracle) currentEpoch() (current EpochID, exposed bool) {
	best := -1
	for i := range o.records {
		if len(oracleEpochs(o.records[i])) == 0 || !o.counts(i, o.all()) {
			continue
		}
		seen := slices.ContainsFunc(o.all().list(), func(j int) bool {
			return len(oracleEpochs(o.records[j])) > 0 && o.counts(j, o.all()) && o.past(j).has(i)
		})
		if seen {
			continue
		}
		safe := best >= 0 && o.exposed(best) && !o.exposed(i)
		same := best >= 0 && o.exposed(best) == o.exposed(i)
		if best < 0 || safe || same && (o.rank(i).less(o.rank(best)) ||
			o.rank(i) == o.rank(best) && o.records[i].Hash().String() < o.records[best].Hash().String()) {
			best = i
		}
	}
	epochs := oracleEpochs(o.records[best])
	return epochs[len(epochs)-1].ID, o.exposed(best)
}

// exposed reports whether the epoch that a record starts is wrapped for who was revoked or replaced without its knowledge.
func (o *oracle) exposed(start int) bool {
	epochs := oracleEpochs(o.records[start])
	wraps := epochs[len(epochs)-1].Wraps
	for i, r := range o.records {
		if i == start || o.past(start).has(i) || !o.counts(i, o.all()) {
			continue
		}
		var ended []DeviceID
		switch body := r.Body.(type) {
		case *Revoke:
			for _, cut := range body.Cuts {
				ended = append(ended, cut.Device)
			}
		case *Join:
			if _, old := o.recovery(o.past(i)); body.Recovery != nil {
				ended = append(ended, old)
			}
		}
		if slices.ContainsFunc(wraps, func(w Wrap) bool { return slices.Contains(ended, w.Member) }) {
			return true
		}
	}
	return false
}

// cut returns the largest number and the files of all records that end a device's writing.
func (o *oracle) cut(id DeviceID) (ended bool, last uint64, files []FileHash) {
	for i, r := range o.records {
		if !o.counts(i, o.all()) {
			continue
		}
		var cuts []Cut
		switch body := r.Body.(type) {
		case *Revoke:
			cuts = body.Cuts
		case *RoleChange:
			if body.Role == Reader {
				cuts = []Cut{body.Cut}
			}
		}
		for _, cut := range cuts {
			if cut.Device == id {
				ended, last, files = true, max(last, cut.Last), append(files, cut.Files...)
			}
		}
	}
	slices.SortFunc(files, func(a, b FileHash) int { return bytes.Compare(a[:], b[:]) })
	return ended, last, slices.Compact(files)
}
