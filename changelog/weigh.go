package changelog

import (
	"context"
	"fmt"
)

// Weigh returns how many rows show, or are gone by, what a device has said in each
// of its batches; those of batch 0 are the rows that show their baseline, whoever
// has published it. Winners that are combined of several changes count as the
// newest of them. The cost is that of reading all clocks.
func (db *Database) Weigh(ctx context.Context, device DeviceID) (map[uint64]int, error) {
	weights := make(map[uint64]int)
	tables, err := db.clockTables(ctx)
	if err != nil {
		return nil, err
	}
	for _, number := range tables {
		if err := db.weigh(ctx, number, device, weights); err != nil {
			return nil, err
		}
	}
	return weights, nil
}

func (db *Database) weigh(ctx context.Context, table int64, device DeviceID, weights map[uint64]int) error {
	rows, err := db.Conn.Query(ctx, fmt.Sprintf(`SELECT batch, count(*) FROM sqlitesync_clock_%d
		WHERE device IN (0, (SELECT number FROM sqlitesync_devices WHERE id = ?)) AND state <> %d GROUP BY batch`, table, Unsent), device[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var batch int64
		var n int
		if err := rows.Scan(&batch, &n); err != nil {
			return err
		}
		weights[uint64(batch)] += n
	}
	return rows.Err()
}

// clockTables returns the numbers of all tables that have clocks, those that are
// gone too.
func (db *Database) clockTables(ctx context.Context) (numbers []int64, err error) {
	rows, err := db.Conn.Query(ctx, `SELECT number FROM sqlitesync_tables WHERE 'sqlitesync_clock_' || number
		IN (SELECT name FROM sqlite_schema WHERE type = 'table') ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		if err := rows.Scan(&number); err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, rows.Err()
}
