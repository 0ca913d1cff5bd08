package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Digests returns the digest of what is known of the rows of each table, by
// [changelog.Shape.Rows]: of rows that are shown, held or deleted, also of
// tables that are not there. Those in doubt are computed, and, if record is set,
// written down.
func Digests(ctx context.Context, db *changelog.Database, record bool) (map[string]changelog.StoredDigest, error) {
	stored, err := db.Digests(ctx)
	if err != nil {
		return nil, err
	}
	for rows, one := range stored {
		if !one.Doubted {
			continue
		}
		if one.Digest, err = computeDigest(ctx, db, rows); err == nil && record {
			err = db.SetDigest(ctx, rows, one.Digest)
		}
		if err != nil {
			return nil, err
		}
		one.Doubted = false
		stored[rows] = one
	}
	return stored, nil
}

// computeDigest reads all that is known of the rows of a table.
func computeDigest(ctx context.Context, db *changelog.Database, rows string) (changelog.Digest, error) {
	clocks, err := db.ClockDigest(ctx, rows)
	if err != nil {
		return clocks, err
	}
	kept, err := newMerger(db).keptDigest(ctx, "WHERE tbl = ? AND n = 0", rows)
	return clocks.Plus(kept), err
}

// WrongDigests returns the names of the rows whose digest is not what computing it
// anew gives: somebody has written to our tables, or this program is wrong. It
// reads all that is known.
func WrongDigests(ctx context.Context, db *changelog.Database) (wrong []string, err error) {
	stored, err := db.Digests(ctx)
	if err != nil {
		return nil, err
	}
	for _, table := range db.Tables { // of what has no digest nothing is known
		if _, there := stored[table.Put.Rows()]; !there {
			stored[table.Put.Rows()] = changelog.StoredDigest{}
		}
	}
	for rows, one := range stored {
		if one.Doubted {
			continue
		}
		computed, err := computeDigest(ctx, db, rows)
		if err != nil {
			return nil, err
		}
		if computed != one.Digest {
			wrong = append(wrong, rows)
		}
	}
	slices.Sort(wrong)
	return wrong, nil
}

// keptDigest returns the digest of the kept rows that a part of a query chooses.
func (m *merger) keptDigest(ctx context.Context, which string, args ...any) (sum changelog.Digest, err error) {
	rows, err := m.db.Conn.Query(ctx, "SELECT digest FROM sqlitesync_kept "+which, args...)
	if err != nil {
		return sum, err
	}
	defer rows.Close()
	for rows.Next() {
		var encoded []byte
		if err := rows.Scan(&encoded); err != nil {
			return sum, err
		}
		one, err := changelog.DecodeDigest(encoded)
		if err != nil {
			return sum, err
		}
		sum = sum.Plus(one)
	}
	return sum, rows.Err()
}

// digestOfAll returns the digest of changes of a row: of those that are needed, which
// other devices know too, however they came to them.
func digestOfAll(needed []changelog.Change) (sum changelog.Digest) {
	for i := range needed {
		sum = sum.Plus(needed[i].Digest())
	}
	return sum
}
