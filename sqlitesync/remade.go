package sqlitesync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// What this device makes again of its log it makes of what it knows by now. Of a table
// that it has renamed, or that has lost or renamed a column, that is not what stood
// there: the rows go out by the names that they have now, under newer stamps. Who reads
// that, and has not migrated yet, knows less of the table than who had read what stood
// there before. So heads name such tables, and who has read a range of this log does
// not let them be compared.
//
//	setting "remade"   the names of rows, as a list in JSON

// remade returns the names of the rows that this device's ranges can lack changes of.
func (s *Syncer) remade(ctx context.Context) (names []string, err error) {
	text, err := load(ctx, s.handle.conn, "remade")
	if err != nil || text == "" {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return nil, fmt.Errorf("setting remade: %w", err)
	}
	return names, nil
}

// noteRemade notes that a range was made of what is known by now. It writes.
func (s *Syncer) noteRemade(ctx context.Context) error {
	apart, err := s.db.Apart(ctx)
	if err != nil || len(apart) == 0 {
		return err
	}
	before, err := s.remade(ctx)
	if err != nil {
		return err
	}
	names := slices.Concat(before, apart)
	slices.Sort(names)
	names = slices.Compact(names)
	text, err := json.Marshal(names[:min(len(names), maxDigests)])
	if err != nil {
		return err
	}
	return save(ctx, s.handle.conn, "remade", string(text))
}
