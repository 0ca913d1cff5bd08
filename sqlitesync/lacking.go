package sqlitesync

import (
	"context"
	"fmt"
	"slices"

	"github.com/sqlitesync/go/changelog"
)

// lackingRows are the keys of rows that may have lost a column since they were written.
type lackingRows map[*changelog.Table][]changelog.Key

// add takes a row that is not as it was written.
func (l lackingRows) add(table *changelog.Table, key changelog.Key) error {
	if table == nil {
		return alteredRow(table, key)
	}
	l[table] = append(l[table], key)
	return nil
}

// tellLacking lets rows that have lost a column since they were written, in these batches of this device, go out as they are, in a new
// batch: nobody can make them again as they were. What is altered otherwise is an error. It writes.
func (s *Syncer) tellLacking(ctx context.Context, first, last uint64, lacking lackingRows) error {
	if len(lacking) == 0 {
		return nil
	}
	if err := s.fold(ctx); err != nil { // what the app has written since keeps its time
		return err
	}
	for table, keys := range lacking {
		clocks, err := s.db.Clocks(ctx, table, keys)
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(key changelog.Key) bool { // what it has written tells of its rows
			clock, known := clocks[table.Identity(key)]
			return !known || clock.Stamp.Device != s.self() || clock.Stamp.Batch < first || clock.Stamp.Batch > last
		})
		noted, err := s.db.NoteLacking(ctx, table, keys, nil)
		if err == nil && noted < len(keys) {
			err = alteredRow(table, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alteredRow is the error about a row whose change can't be made again.
func alteredRow(table *changelog.Table, _ changelog.Key) error {
	if table == nil {
		return fmt.Errorf("a table that does not take part any more: %w", changelog.ErrAltered)
	}
	return fmt.Errorf("table %q: %w", table.Name, changelog.ErrAltered)
}
