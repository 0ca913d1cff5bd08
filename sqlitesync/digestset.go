package sqlitesync

import (
	"context"

	"github.com/sqlitesync/go/changelog"
)

// digestSet holds the digests of changes in a temporary table, because there can
// be more than the memory should hold.
type digestSet struct{ conn *changelog.Conn }

func newDigestSet(ctx context.Context, conn *changelog.Conn) (*digestSet, error) {
	err := conn.Script(ctx, "DROP TABLE IF EXISTS temp.sqlitesync_met; CREATE TABLE temp.sqlitesync_met (digest BLOB PRIMARY KEY) WITHOUT ROWID")
	return &digestSet{conn}, err
}

func (d *digestSet) drop(ctx context.Context) {
	_ = d.conn.Script(context.WithoutCancel(ctx), "DROP TABLE temp.sqlitesync_met") // else it goes with the connection
}

func (d *digestSet) add(ctx context.Context, changes []changelog.Change) error {
	return changelog.Groups(changes, 1, func(group []changelog.Change) error {
		digests := make([]any, len(group))
		for i := range group {
			digests[i] = group[i].Digest().Bytes()
		}
		_, err := d.conn.Exec(ctx, "INSERT OR IGNORE INTO temp.sqlitesync_met VALUES "+changelog.Placeholders(len(group), 1), digests...)
		return err
	})
}

func (d *digestSet) has(ctx context.Context, digest changelog.Digest) (there bool, err error) {
	err = d.conn.Get(ctx, "SELECT EXISTS (SELECT 1 FROM temp.sqlitesync_met WHERE digest = ?)", []any{digest.Bytes()}, &there)
	return there, err
}
