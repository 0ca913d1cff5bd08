package sqlitesync

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// Once two devices know different things of a table, each tells in its head digests
// of ranges of the table's keys too, so that the other can say where they differ.

// KeyRange is a range of the keys of a table: text and blobs by their bytes,
// numbers before them. Keys have their values in the order of the PRIMARY KEY,
// text as the column's collation folds it.
type KeyRange struct {
	After   []any // the key before the range; nil: it begins with the smallest
	Through []any // the last key of the range; nil: it ends with the greatest
}

// headRanges is what a head says of the ranges of the keys of a table.
type headRanges struct {
	Through []string `json:"through"` // the last keys of all ranges but the last, in hexadecimal
	Digests []string `json:"digests"`
}

const (
	maxRanges      = 32  // of a table
	maxRangeKey    = 256 // bytes of a key that ends a range
	maxRangeTables = 4   // that a head has ranges of
)

// ownRanges returns the ranges of the tables of which a device that has read just
// what this one has knows something else.
func (s *Syncer) ownRanges(ctx context.Context, known *knowledge) (map[string]headRanges, error) {
	ranges := make(map[string]headRanges)
	for _, d := range s.Status().Diverged {
		table := s.db.Table(changelog.CanonicalName(d.Table))
		if table == nil || !s.clocks[d.Device].differs || known.digests[table.Put.Rows()] == "" || len(ranges) == maxRangeTables {
			continue
		}
		own, err := s.ranges(ctx, known, table, "own", func() ([]changelog.Key, error) {
			return merge.CutKeys(ctx, s.db, table, maxRanges, maxRangeKey)
		})
		if err != nil {
			return nil, err
		}
		ranges[table.Put.Rows()] = own
	}
	return ranges, nil
}

// differing returns the ranges of a table's keys, as another device has cut them,
// of which that device knows something else than this one. None: it has not said,
// or not as it should.
func (s *Syncer) differing(ctx context.Context, known *knowledge, table *changelog.Table, theirs headRanges) (differing []KeyRange, err error) {
	keys := make([]changelog.Key, len(theirs.Through))
	for i, encoded := range theirs.Through {
		identity, err := hex.DecodeString(encoded)
		if err == nil {
			keys[i], err = changelog.ParseKey(identity, len(table.Key))
		}
		if err != nil || i > 0 && keys[i-1].Compare(keys[i]) >= 0 {
			return nil, nil //nolint:nilerr // Verify finds the rows all the same
		}
	}
	if len(theirs.Digests) != len(keys)+1 || len(keys) >= maxRanges {
		return nil, nil
	}
	ours, err := s.ranges(ctx, known, table, strings.Join(theirs.Through, " "), func() ([]changelog.Key, error) { return keys, nil })
	if err != nil {
		return nil, err
	}
	key := func(i int) []any {
		if i < 0 || i == len(keys) {
			return nil
		}
		return keys[i]
	}
	for i := range ours.Digests {
		switch last := len(differing) - 1; {
		case ours.Digests[i] == theirs.Digests[i]:
		case i > 0 && ours.Digests[i-1] != theirs.Digests[i-1]:
			differing[last].Through = key(i)
		default:
			differing = append(differing, KeyRange{key(i - 1), key(i)})
		}
	}
	return differing, nil
}

// ranges returns what is known of a table, in the ranges that end with these keys.
// It reads all of that, so what it has found stands until something else is known.
func (s *Syncer) ranges(ctx context.Context, known *knowledge, table *changelog.Table, name string, keys func() ([]changelog.Key, error)) (headRanges, error) {
	rows := table.Put.Rows()
	name = strings.Join([]string{rows, known.digests[rows], name}, "\n")
	if found, there := s.ranged[name]; there {
		return found, nil
	}
	through, err := keys()
	if err != nil {
		return headRanges{}, err
	}
	digests, err := merge.RangeDigests(ctx, s.db, table, through)
	if err != nil {
		return headRanges{}, err
	}
	found := headRanges{Through: []string{}}
	for _, key := range through {
		found.Through = append(found.Through, hex.EncodeToString([]byte(key.Identity())))
	}
	for _, digest := range digests {
		found.Digests = append(found.Digests, digest.String())
	}
	if s.ranged == nil || len(s.ranged) >= maxListed {
		s.ranged = make(map[string]headRanges)
	}
	s.ranged[name] = found
	return found, nil
}
