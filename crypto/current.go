package crypto

import (
	"errors"
	"fmt"
	"slices"
)

// currentEpoch finds the record whose epoch is current: of those that count and start one, and that no other such has
// seen, one that is not exposed, if there is any; of these the most senior author's; of these the one with the smaller hash.
func (r *Roster) currentEpoch() (current int, exposed bool) {
	current = -1
	var starts bitset
	for i := range r.counts.all {
		if len(r.graph.nodes[i].record.epochs()) > 0 {
			starts = starts.with(i)
		}
	}
	for i := range starts.all {
		n := &r.graph.nodes[i]
		if starts.meets(n.future) {
			continue
		}
		open := r.exposes(i)
		if current >= 0 {
			best := &r.graph.nodes[current]
			junior := best.rank.before(n.rank) || !n.rank.before(best.rank) && compareHashes(best.record.hash, n.record.hash) < 0
			if open && !exposed || open == exposed && junior {
				continue
			}
		}
		current, exposed = i, open
	}
	return current, exposed
}

// exposes reports whether a record gives the epoch that it starts to somebody who was revoked or replaced, because its
// author did not know that. (Who knows it and does so all the same could as well hand out the key.)
func (r *Roster) exposes(start int) bool {
	epochs, knew := r.graph.nodes[start].record.epochs(), r.graph.nodes[start].past
	return slices.ContainsFunc(epochs[len(epochs)-1].Wraps, func(w Wrap) bool {
		return r.graph.takers[taking{w.Member, Reader}].meets(r.counts, knew, bitset(nil).with(start))
	})
}

// Exposed reports whether somebody who was revoked, or a recovery code that was replaced, can open the current epoch: it was
// started at the same time. Nothing may be sealed for it. The join that ends this is a duty of admins.
func (r *Roster) Exposed() bool { return r.exposed }

// CurrentEpoch returns the epoch that everything new must be sealed for. It is zero if the found record has not arrived.
func (r *Roster) CurrentEpoch() EpochID {
	if r.current < 0 {
		return EpochID{}
	}
	epochs := r.graph.nodes[r.current].record.epochs()
	return epochs[len(epochs)-1].ID
}

// Epochs returns the epochs of all records that count, oldest first, the current one last. An epoch that several records
// hand out stands there several times.
func (r *Roster) Epochs() []WrappedEpoch {
	var epochs []WrappedEpoch
	for i := range r.counts.all {
		if i != r.current {
			epochs = append(epochs, r.graph.nodes[i].record.epochs()...)
		}
	}
	if r.current >= 0 {
		epochs = append(epochs, r.graph.nodes[r.current].record.epochs()...)
	}
	return epochs
}

// OpenEpochs returns known and all epochs that records that count wrap for the keys of a device, or for recovery keys:
// oldest first, the current one last, if it is among them. A wrap that holds something else, or too many epochs to keep,
// give an error that says so; the others are returned all the same.
func (r *Roster) OpenEpochs(keys *DeviceKeys, known []*Epoch) ([]*Epoch, error) {
	epochs := slices.Clone(known)
	has := make(map[EpochID]bool)
	for _, epoch := range epochs {
		has[epoch.id] = true
	}
	var errs []error
	wrapped := r.Epochs()
	slices.Reverse(wrapped) // should there be too many, the current one is among those that are kept
	var opened []*Epoch
	for _, w := range wrapped {
		if has[w.ID] || !w.isFor(keys.id) {
			continue
		}
		if len(epochs)+len(opened) == maxEpochKeys {
			errs = append(errs, fmt.Errorf("open epochs: %w: more than %d", ErrTooLarge, maxEpochKeys))
			break
		}
		epoch, err := w.Open(keys)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		has[epoch.id] = true
		opened = append(opened, epoch)
	}
	slices.Reverse(opened)
	epochs = append(epochs, opened...)
	current := r.CurrentEpoch()
	slices.SortStableFunc(epochs, func(a, b *Epoch) int {
		switch {
		case a.id == current && b.id != current:
			return 1
		case b.id == current && a.id != current:
			return -1
		}
		return 0
	})
	return epochs, errors.Join(errs...)
}

// FindEpoch looks for one epoch in all records of the history, and opens its wrap for the keys of a device. Records that
// do not count are looked into because a member may have sealed for their epoch before it saw what overrules them. It
// returns ErrWrongKey if there is no wrap.
func (r *Roster) FindEpoch(keys *DeviceKeys, id EpochID) (*Epoch, error) {
	err := fmt.Errorf("find epoch %s: %w: no wrap for device %s", id, ErrWrongKey, keys.id.Short())
	for i := range r.graph.started[id].all {
		for _, w := range r.graph.nodes[i].record.epochs() {
			if w.ID != id || !w.isFor(keys.id) {
				continue
			}
			epoch, failed := w.Open(keys)
			if failed == nil {
				return epoch, nil
			}
			err = failed
		}
	}
	return nil, err
}

// Recovery returns the public halves of the recovery keys, if the space has a recovery code.
func (r *Roster) Recovery() (PublicKeys, bool) {
	i := r.graph.keys.lastIn(r.counts)
	if i < 0 {
		return PublicKeys{}, false
	}
	return r.graph.nodes[i].record.recovery().PublicKeys, true
}

// KnowsRecovery reports whether who has held a device may know the recovery code of the space: it has made the code or entered
// with it, or continues a device that has.
func (r *Roster) KnowsRecovery(id DeviceID) bool {
	g := r.graph
	i := g.keys.lastIn(r.counts)
	if i < 0 {
		return false
	}
	maker, recovery := g.nodes[i].record.Author, g.nodes[i].recovery
	for before := len(g.nodes); id != maker; {
		entered := g.enters[id].firstIn(r.counts)
		if entered < 0 || entered >= before { // or two that name each other would be asked for ever
			return false
		}
		before = entered
		switch n := &g.nodes[entered]; n.record.Kind {
		case KindAdmit:
			return g.nodes[n.invite].record.Author == recovery
		case KindSucceed:
			id = n.record.Author
		default:
			return false
		}
	}
	return true
}

// readers returns everybody whom an epoch is for: the members and the recovery key. Invites keep to what fits a record, but a
// member can make itself any number of devices. Those are junior to all before them, and the most senior ones are served.
func (r *Roster) readers() []PublicKeys {
	readers := make([]PublicKeys, 0, maxMembers+1)
	for _, m := range r.members[:min(len(r.members), maxMembers)] {
		readers = append(readers, m.Keys)
	}
	if recovery, ok := r.Recovery(); ok {
		readers = append(readers, recovery)
	}
	return readers
}

// A gift is an epoch in the hands of somebody.
type gift struct {
	reader DeviceID
	epoch  EpochID
}

// given returns who was given which epochs: in wraps that count, and, with an invite or the keys that a device had before,
// when it entered.
func (r *Roster) given() map[gift]bool {
	given := make(map[gift]bool)
	for i := range r.counts.all {
		n := &r.graph.nodes[i]
		for _, epoch := range n.record.epochs() {
			for _, wrap := range epoch.Wraps {
				given[gift{wrap.Member, epoch.ID}] = true
			}
		}
		past := n.past
		switch n.record.Kind {
		case KindAdmit:
			past = r.graph.nodes[n.invite].past
		case KindSucceed:
		default:
			continue
		}
		for j := range past.all {
			if !r.counts.has(j) {
				continue
			}
			for _, epoch := range r.graph.nodes[j].record.epochs() {
				given[gift{n.device, epoch.ID}] = true
			}
		}
	}
	return given
}
