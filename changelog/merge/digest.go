package merge

import (
	"context"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// Digests returns the digest of what is known of the rows of each table, by
// [changelog.Shape.Rows]: of rows that are shown, held or deleted, also of
// tables that are not there. It only reads.
func Digests(ctx context.Context, db *changelog.Database) (map[string]changelog.Digest, error) {
	digests, doubted, err := db.Digests(ctx)
	if err != nil {
		return nil, err
	}
	for _, rows := range doubted {
		if digests[rows], err = computeDigest(ctx, db, rows); err != nil {
			return nil, err
		}
	}
	return digests, nil
}

// ComputeDigests computes the digests that are in doubt. It writes.
func ComputeDigests(ctx context.Context, db *changelog.Database) error {
	_, doubted, err := db.Digests(ctx)
	for _, rows := range doubted {
		var digest changelog.Digest
		if err == nil {
			digest, err = computeDigest(ctx, db, rows)
		}
		if err == nil {
			err = db.SetDigest(ctx, rows, digest)
		}
	}
	return err
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
	digests, _, err := db.Digests(ctx)
	if err != nil {
		return nil, err
	}
	for rows, digest := range digests {
		computed, err := computeDigest(ctx, db, rows)
		if err != nil {
			return nil, err
		}
		if computed != digest {
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

// neededDigest returns the digest of those of the changes of a row that other
// devices know too, however they came to them.
func neededDigest(changes []changelog.Change) (sum changelog.Digest) {
	for _, c := range Combine(changes).Needed {
		sum = sum.Plus(c.Digest())
	}
	return sum
}
