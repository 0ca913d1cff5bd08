package segment

import "github.com/sqlitesync/go/changelog"

// Upper bounds of what things take in a body. Split cuts by them, so that it
// need not encode twice; Encode allocates by them.
const (
	deviceSize    = len(changelog.DeviceID{})
	referenceSize = 2  // a device reference, at most 1,000
	stampSize     = 18 // 9 for the time, a reference, 7 for the batch
	lengthSize    = 5
	pieceSize     = 32 + 2*lengthSize // besides its bytes
	groupSize     = 8                 // index of the shape, number of rows
	entrySize     = referenceSize + 7 // of a seen vector
	batchSize     = 16                // number, flags, count of entries
	layoutSize    = 160               // horizon, counts of the parts, and 16 groups more than shapes
)

func valueSize(v changelog.Value) int {
	switch v := v.(type) {
	case nil:
		return 1
	case string:
		return 1 + lengthSize + len(v)
	case []byte:
		return 1 + lengthSize + len(v)
	case Ref:
		return 1 + lengthSize + len(v.Hash)
	default:
		return 1 + 10
	}
}

func valuesSize(values []changelog.Value) int {
	n := 0
	for _, v := range values {
		n += valueSize(v)
	}
	return n
}

func changeSize(c *changelog.Change) int {
	n := stampSize + 1 + valuesSize(c.Key) + valuesSize(c.Values)
	if c.Birth != c.Stamp {
		n += stampSize
	}
	return n
}

func shapeSize(s *changelog.Shape) int {
	n := groupSize + 1 + 3*lengthSize + len(s.Table)
	for _, names := range [][]string{s.Key, s.Columns} {
		for _, name := range names {
			n += 2 + len(name) // names have at most 1,024 bytes
		}
	}
	return n
}
