package changelog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// Look reads the app's schema as [Database.Capture] does, and changes nothing.
// It returns the names of the tables that Capture would see to: those of which
// triggers are missing or out of date, so that what is written to them is not
// noted, and those that it has not met.
func (db *Database) Look(ctx context.Context, selection Selection) (due []string, err error) {
	if err := db.readTables(ctx, selection); err != nil {
		return nil, err
	}
	present, err := db.triggers(ctx)
	if err != nil {
		return nil, err
	}
	for _, table := range db.Tables {
		err := db.Conn.Get(ctx, "SELECT number, phase, incomplete FROM sqlitesync_tables WHERE name = ?", []any{table.Put.Rows()},
			&table.Number, &table.Phase, &table.Incomplete)
		if errors.Is(err, sql.ErrNoRows) {
			due = append(due, table.Name)
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, wanted := range triggers(table) {
			if present[wanted.name].sql == wanted.sql {
				continue
			}
			// Capture may have made none over an index, and must have tried.
			understood, err := db.understands(ctx, wanted)
			if err != nil {
				return nil, err
			}
			if understood {
				due = append(due, table.Name)
				break
			}
		}
	}
	slices.Sort(due)
	return due, nil
}
