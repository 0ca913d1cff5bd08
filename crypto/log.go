package crypto

import "slices"

// A Log says which segments in the directory of a device are accepted. A reader's own are not; those of a device that may
// write no more are up to its cut.
type Log struct {
	Keys   PublicKeys // to verify them with
	Writes bool       // the device may write: everything after From is accepted
	From   uint64     // the batches up to here are those of a time as reader; 0: there was none
	Cut    bool       // a record has ended its writing
	Last   uint64     // the largest number in such a record
	Files  []FileHash // the files that such records list, rising
}

// Log returns what is accepted of a device, which may be a member no longer. It reports false if it never was one.
func (r *Roster) Log(id DeviceID) (Log, bool) {
	g := r.graph
	grant := g.grants[id].lastIn(r.counts)
	if grant < 0 {
		return Log{}, false
	}
	keys, _ := r.entry(id, grant)
	role, _, _ := g.authority(id, r.counts)
	l := Log{Keys: keys, Writes: role == Admin || role == Writer}
	for i := range r.counts.all {
		switch body := g.nodes[i].record.Body.(type) {
		case *Revoke:
			for _, cut := range body.Cuts {
				if cut.Device == id {
					l.end(cut)
				}
			}
		case *RoleChange:
			switch {
			case body.Cut.Device != id:
			case body.Role == Reader:
				l.end(body.Cut)
			case g.nodes[i].role == Reader:
				l.From = max(l.From, body.Cut.Last)
			}
		}
	}
	slices.SortFunc(l.Files, compareHashes)
	l.Files = slices.Compact(l.Files)
	return l, true
}

func (l *Log) end(cut Cut) {
	l.Cut = true
	l.Last = max(l.Last, cut.Last)
	l.Files = append(l.Files, cut.Files...)
}

// Accepts reports whether a segment of the device is accepted, by its header and the hash of its file. It
// must continue the log as far as that was accepted. vouched is the largest number of the device in the seen vectors of
// accepted segments and heads of others: nobody has to take back what it has merged before it knew of the end. Nobody
// vouches for a range above the cut: it need not say what the batches said that others have merged.
func (l *Log) Accepts(header *SegmentHeader, file FileHash, vouched uint64) bool {
	if l.Writes && header.First > l.From {
		return true
	}
	if _, listed := slices.BinarySearchFunc(l.Files, file, compareHashes); listed {
		return true
	}
	return l.Cut && !l.Writes && header.First > l.Last && header.Last <= vouched && header.Generation == 0
}
