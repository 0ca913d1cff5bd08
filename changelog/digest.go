package changelog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// Digest stands for a set of changes, whatever their order: the sum modulo 2^128
// of a hash of each (Bellare and Micciancio's AdHash, "A New Paradigm for
// Collision-free Hashing", 1997). The zero Digest is that of no change. It shows
// that two devices know different things, by accident; it is no proof against a
// device that lies.
//
// What is known of a table is the changes of its rows that newer ones do not
// contain, which are the same on all devices that have read the same logs.
type Digest struct{ high, low uint64 }

// Plus returns the digest of the changes of d and those of e.
func (d Digest) Plus(e Digest) Digest {
	low, carry := bits.Add64(d.low, e.low, 0)
	high, _ := bits.Add64(d.high, e.high, carry)
	return Digest{high, low}
}

// Minus returns the digest of the changes of d without those of e.
func (d Digest) Minus(e Digest) Digest {
	low, borrow := bits.Sub64(d.low, e.low, 0)
	high, _ := bits.Sub64(d.high, e.high, borrow)
	return Digest{high, low}
}

// Bytes returns the 16 bytes of d, the most significant one first.
func (d Digest) Bytes() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, d.high), d.low)
}

// String returns d as 32 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d.Bytes()) }

// DecodeDigest reads what Bytes has returned.
func DecodeDigest(b []byte) (Digest, error) {
	if len(b) != 16 {
		return Digest{}, fmt.Errorf("a digest of %d bytes", len(b))
	}
	return Digest{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// Digest returns that of this one change.
func (c *Change) Digest() Digest { return digest(c.Stamp, c.Image()) }

// Digest returns that of the change that the clock tells of. The changes of a
// row that is held or combined are kept by package merge, which adds theirs; a
// row that no other device has heard of counts for nothing. A nil Clock is that
// of a row that is not known.
func (c *Clock) Digest() Digest {
	if c == nil || c.State != Shown && c.State != Deleted {
		return Digest{}
	}
	return digest(c.Stamp, c.Image)
}

// digest is the first 16 bytes of a SHA-256. The image names the table, the row
// and the values.
func digest(stamp Stamp, image Image) Digest {
	var space [80]byte
	b := append(space[:0], "sqlitesync/digest/v1"...)
	b = binary.BigEndian.AppendUint64(b, uint64(stamp.Time))
	b = append(b, stamp.Device[:]...)
	b = binary.BigEndian.AppendUint64(b, stamp.Batch)
	b = append(b, image[:]...)
	sum := sha256.Sum256(b)
	return Digest{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// Redigest takes changes out of the digest of the rows with this name
// ([Shape.Rows]), and adds others. It writes.
func (db *Database) Redigest(ctx context.Context, rows string, out, in Digest) error {
	if out == in {
		return nil
	}
	var before []byte
	switch err := db.Conn.Get(ctx, "SELECT digest FROM sqlitesync_digests WHERE tbl = ?", []any{rows}, &before); {
	case errors.Is(err, sql.ErrNoRows):
		return db.SetDigest(ctx, rows, in.Minus(out))
	case err != nil:
		return err
	case before == nil: // it is computed when it is asked for
		return nil
	}
	sum, err := DecodeDigest(before)
	if err != nil {
		return err
	}
	return db.SetDigest(ctx, rows, sum.Minus(out).Plus(in))
}

// DoubtDigest makes the digest of the rows with this name be computed anew when
// it is asked for: they were written in another way than one by one. It writes.
func (db *Database) DoubtDigest(ctx context.Context, rows string) error {
	_, err := db.Conn.Exec(ctx, "INSERT INTO sqlitesync_digests (tbl) VALUES (?) ON CONFLICT DO UPDATE SET digest = NULL", rows)
	return err
}

// SetDigest records a digest that was computed anew. It writes.
func (db *Database) SetDigest(ctx context.Context, rows string, digest Digest) error {
	_, err := db.Conn.Exec(ctx, "INSERT INTO sqlitesync_digests (tbl, digest) VALUES (?, ?) ON CONFLICT DO UPDATE SET digest = excluded.digest",
		rows, digest.Bytes())
	return err
}

// SetApart records that what is known of the rows with these names is not what
// other devices know, by right. It writes.
func (db *Database) SetApart(ctx context.Context, names ...string) error {
	for _, rows := range names {
		_, err := db.Conn.Exec(ctx, "INSERT INTO sqlitesync_digests (tbl, apart) VALUES (?, 1) ON CONFLICT DO UPDATE SET apart = 1", rows)
		if err != nil {
			return err
		}
	}
	return nil
}

// SetAllApart is SetApart for all tables. It writes.
func (db *Database) SetAllApart(ctx context.Context) error {
	for _, table := range db.Tables {
		if err := db.SetApart(ctx, table.Put.Rows()); err != nil {
			return err
		}
	}
	return nil
}

// Apart returns the names of rows that SetApart was called with, in ascending
// order. It reads.
func (db *Database) Apart(ctx context.Context) (names []string, err error) {
	stored, err := db.Digests(ctx)
	if err != nil {
		return nil, err
	}
	for rows, one := range stored {
		if one.Apart {
			names = append(names, rows)
		}
	}
	slices.Sort(names)
	return names, nil
}

// StoredDigest is what a database has written down of the digest of rows.
type StoredDigest struct {
	Digest  Digest
	Doubted bool // it is to be computed anew
	Apart   bool // it is not to be compared, see SetApart
}

// Digests returns the digests that are written down, by the names of the rows.
func (db *Database) Digests(ctx context.Context) (map[string]StoredDigest, error) {
	rows, err := db.Conn.Query(ctx, "SELECT tbl, digest, apart FROM sqlitesync_digests")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := make(map[string]StoredDigest)
	for rows.Next() {
		var name string
		var sum []byte
		var one StoredDigest
		if err := rows.Scan(&name, &sum, &one.Apart); err != nil {
			return nil, err
		}
		if one.Doubted = sum == nil; !one.Doubted {
			if one.Digest, err = DecodeDigest(sum); err != nil {
				return nil, err
			}
		}
		stored[name] = one
	}
	return stored, rows.Err()
}

// ClockDigest computes the digest of what clocks tell of the rows with this name.
// It reads all of them.
func (db *Database) ClockDigest(ctx context.Context, rows string) (sum Digest, err error) {
	var number int64
	err = db.Conn.Get(ctx, `SELECT number FROM sqlitesync_tables WHERE name = ?
		AND 'sqlitesync_clock_' || number IN (SELECT name FROM sqlite_schema WHERE type = 'table')`, []any{rows}, &number)
	if errors.Is(err, sql.ErrNoRows) {
		return sum, nil
	}
	if err != nil {
		return sum, err
	}
	clocks, err := db.Conn.Query(ctx, fmt.Sprintf("SELECT time, device, batch, image FROM sqlitesync_clock_%d WHERE state IN (%d, %d)", number, Shown, Deleted))
	if err != nil {
		return sum, err
	}
	defer clocks.Close()
	for clocks.Next() {
		var time, device, batch int64
		var image []byte
		if err := clocks.Scan(&time, &device, &batch, &image); err != nil {
			return sum, err
		}
		if len(image) != len(Image{}) {
			return sum, fmt.Errorf("clock has an image of %d bytes", len(image))
		}
		sum = sum.Plus(digest(Stamp{time, db.devices[device], uint64(batch)}, Image(image)))
	}
	return sum, clocks.Err()
}
