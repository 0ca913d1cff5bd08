package merge

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sqlitesync/go/changelog"
)

// Live calls each with the changes of a device in batches first to last that still
// decide what a row is, or only with those that are wanted, unless that is nil. None
// comes twice: those that did are in memory. See [changelog.Database.Live], and
// for the rows of a baseline [KeptBaselines].
func Live(ctx context.Context, db *changelog.Database, device changelog.DeviceID, first, last uint64,
	wanted func(*changelog.Change) (bool, error), each func(changelog.Change) error, altered func(*changelog.Table, changelog.Key) error,
) error {
	met := make(map[string]bool)
	once := func(c changelog.Change) error {
		if wanted != nil {
			if is, err := wanted(&c); err != nil || !is {
				return err
			}
		}
		row := fmt.Sprint(c.Shape.Rows(), c.Key.Identity(), c.Stamp)
		if met[row] {
			return nil
		}
		met[row] = true
		return each(c)
	}
	if err := db.Live(ctx, device, first, last, once, altered); err != nil {
		return err
	}
	return eachKept(ctx, db.Conn, func(c *changelog.Change) error {
		if c.Stamp.Device == device && first <= c.Stamp.Batch && c.Stamp.Batch <= last {
			return once(*c)
		}
		return nil
	}, "ORDER BY tbl, row, n")
}

// ErrTooMuch means that changes hold more than is good to have in memory.
var ErrTooMuch = errors.New("too much at once")

// Layers returns what Live calls each with in layers that have no row twice: a
// batch says one thing of a row. A row that was told of under two names of its key
// is one to a batch, though it is two here. If all have more bytes than size the
// error is ErrTooMuch.
func Layers(ctx context.Context, db *changelog.Database, device changelog.DeviceID, first, last uint64, size int,
	wanted func(*changelog.Change) (bool, error), altered func(*changelog.Table, changelog.Key) error,
) (layers [][]changelog.Change, err error) {
	l := layering{met: make(map[string]int)}
	err = Live(ctx, db, device, first, last, wanted, func(c changelog.Change) error {
		if size -= c.Size(); size < 0 {
			return ErrTooMuch
		}
		l.add(c)
		return nil
	}, altered)
	return l.layers, err
}

// layering puts changes into layers that have no row twice.
type layering struct {
	met    map[string]int
	layers [][]changelog.Change
}

func (l *layering) add(c changelog.Change) {
	row := changelog.Quote(c.Shape.Table) + c.Key.Identity()
	n := l.met[row]
	l.met[row]++
	if n == len(l.layers) {
		l.layers = append(l.layers, nil)
	}
	l.layers[n] = append(l.layers[n], c)
}

// KeptBaselines returns, in layers like those of Layers, the rows of a baseline
// that are kept, whoever has published them, of the next rows after the cursor,
// which it moves behind these, and whether there are more: as many as are good to
// have in memory. Those that show are no part of it: see [changelog.Database.Unpublish].
func KeptBaselines(ctx context.Context, c *changelog.Conn, after *Cursor, limit int) (layers [][]changelog.Change, more bool, err error) {
	if after.Row == nil {
		after.Row = []byte{} // a nil slice would be bound as NULL
	}
	rows, err := c.Query(ctx, "SELECT tbl, row, change FROM sqlitesync_kept WHERE (tbl, row) > (?, ?) ORDER BY tbl, row, n", after.Table, after.Row)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	l, bytesRead := layering{met: make(map[string]int)}, 0
	for n := 0; rows.Next(); n++ {
		var table string
		var row, encoded []byte
		if err := rows.Scan(&table, &row, &encoded); err != nil {
			return nil, false, err
		}
		same := table == after.Table && bytes.Equal(row, after.Row)
		if !same && (n >= limit || bytesRead >= maxKeptPage) {
			return l.layers, true, rows.Err()
		}
		bytesRead += len(encoded)
		after.Table, after.Row = table, bytes.Clone(row)
		change, err := changelog.ParseChange(encoded)
		if err != nil {
			return nil, false, fmt.Errorf("kept row of table %q: %w", table, err)
		}
		if change.Stamp.Baseline() {
			l.add(*change)
		}
	}
	return l.layers, false, rows.Err()
}

// maxKeptPage is how many bytes of kept changes are good to have in memory.
const maxKeptPage = 4 << 20
