package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// CutKeys returns keys that cut what is known of the rows of a table into ranges of
// about as many rows each: fewer keys than limit, in ascending order, none of which
// takes more than size bytes. It reads all that is known of the table.
func CutKeys(ctx context.Context, db *changelog.Database, table *changelog.Table, limit, size int) ([]changelog.Key, error) {
	var cuts []changelog.Key
	every, n := 1, 0 // one key in so many is taken
	err := EachKnown(ctx, db, table, func(key changelog.Key, _ changelog.Digest) error {
		if n++; n%every != 0 || len(key.Identity()) > size {
			return nil
		}
		if cuts = append(cuts, table.Fold(key)); len(cuts) == limit {
			for i := range limit / 2 {
				cuts[i] = cuts[2*i+1]
			}
			cuts, every = cuts[:limit/2], 2*every
		}
		return nil
	})
	slices.SortFunc(cuts, changelog.Key.Compare)
	return slices.CompactFunc(cuts, func(a, b changelog.Key) bool { return a.Compare(b) == 0 }), err
}

// RangeDigests returns the digests of what is known of the rows of a table, by
// ranges of keys: up to the first of the cuts, that one included, from there to the
// next, and after the last. It reads all that is known of the table.
func RangeDigests(ctx context.Context, db *changelog.Database, table *changelog.Table, cuts []changelog.Key) ([]changelog.Digest, error) {
	sums := make([]changelog.Digest, len(cuts)+1)
	err := EachKnown(ctx, db, table, func(key changelog.Key, digest changelog.Digest) error {
		at, _ := slices.BinarySearchFunc(cuts, table.Fold(key), changelog.Key.Compare)
		sums[at] = sums[at].Plus(digest)
		return nil
	})
	return sums, err
}
