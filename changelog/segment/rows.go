package segment

import (
	"encoding/binary"

	"github.com/sqlitesync/go/changelog"
)

// repeated returns the index of a change whose row an earlier change names
// too, or -1. Keys hold only what a key may. A batch with a row twice would have
// no single meaning: its author has one image of a row.
func repeated(changes []changelog.Change) int {
	// All identities stand in one string, which spares an allocation a row.
	var identities []byte
	ends := make([]int, len(changes))
	for i := range changes {
		c := &changes[i]
		identities = binary.AppendUvarint(identities, uint64(len(c.Shape.Table)))
		identities = append(identities, c.Shape.Table...)
		identities = c.Key.AppendIdentity(identities)
		ends[i] = len(identities)
	}
	all := string(identities)
	rows := make(map[string]struct{}, len(changes))
	start := 0
	for i, end := range ends {
		rows[all[start:end]] = struct{}{}
		if len(rows) <= i {
			return i
		}
		start = end
	}
	return -1
}
