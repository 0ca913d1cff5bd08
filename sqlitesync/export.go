package sqlitesync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The way out, in this order:
//
//	fold      log -> changes -> batch -> sealed segment in the outbox    one transaction
//	remember  names and hashes of the segments                           one durable transaction
//	keys      KeyStore: newest batch and tail                            durable
//	publish   outbox -> folder                                           durable
//
// Between fold and remember a power cut may take the batch back, and with it
// the app's own commits that were as fresh; remembering commits durably, which
// makes all before it durable too. So a batch number never stands for two
// contents in the folder, and nothing is in the folder that the database can
// forget.

// self is this device as package changelog names it.
func (s *Syncer) self() changelog.DeviceID { return changelog.DeviceID(s.identity.device) }

// outgoing is a row of the outbox.
type outgoing struct {
	batch  uint64
	rows   int
	sealed []byte
}

// outbox returns what is to be published, oldest first, up to a size that is
// good to have in memory.
func (s *Syncer) outbox(ctx context.Context) ([]outgoing, error) {
	rows, err := s.handle.conn.Query(ctx, "SELECT batch, rows, sealed FROM sqlitesync_outbox WHERE NOT published ORDER BY batch")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []outgoing
	for size := 0; size < maxBody && rows.Next(); {
		var out outgoing
		var batch int64
		if err := rows.Scan(&batch, &out.rows, &out.sealed); err != nil {
			return nil, err
		}
		out.batch = uint64(batch)
		found = append(found, out)
		size += len(out.sealed)
	}
	return found, rows.Err()
}

// rememberSegments writes down durably which segments are about to be published.
func (s *Syncer) rememberSegments(ctx context.Context, segments []outgoing) error {
	return s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		for _, out := range segments {
			hash := sha256.Sum256(out.sealed)
			_, err := s.handle.conn.Exec(ctx, "INSERT OR REPLACE INTO sqlitesync_segments (name, hash) VALUES (?, ?)",
				original(out.batch).String(), hash[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// original returns the file name of a batch as it is first published.
func original(batch uint64) folder.SegmentName { return folder.SegmentName{First: batch, Last: batch} }

// publish writes sealed segments into the folder, oldest first.
func (s *Syncer) publish(ctx context.Context, f *folder.Folder) error {
	if err := f.MakeDevice(s.identity.device.String()); err != nil {
		return s.publishFault(err, 0)
	}
	if !s.tidied {
		if err := f.RemoveTemporaries(s.identity.device.String()); err != nil {
			s.log.Debug("temporary files not removed", "err", err)
		}
		s.tidied = true
	}
	total := 0
	for {
		segments, err := s.outbox(ctx)
		if err != nil || len(segments) == 0 {
			if total > 0 {
				s.state.update(func(st *Status) { st.LastPublished = time.Now() })
				s.events.send(Event{Kind: EventPublished, Rows: total})
			}
			return err
		}
		newest := segments[len(segments)-1]
		header, err := crypto.ParseSegment(newest.sealed)
		if err != nil {
			return err
		}
		if err := s.rememberSegments(ctx, segments); err != nil {
			return err
		}
		if err := s.keys.publishing(ctx, newest.batch, header.Tail()); err != nil {
			return err
		}
		for _, out := range segments {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f.PublishSegment(s.identity.device.String(), original(out.batch), out.sealed); err != nil {
				return s.publishFault(err, out.batch)
			}
			_, err := s.handle.conn.Exec(ctx, "UPDATE sqlitesync_outbox SET published = 1 WHERE batch = ?", int64(out.batch))
			if err != nil {
				return err
			}
			total += out.rows
		}
		s.log.Debug("published", "first", segments[0].batch, "last", newest.batch, "changes", total)
	}
}

func (s *Syncer) publishFault(err error, batch uint64) error {
	e := &Error{Op: "publish", Device: s.identity.device, Batch: batch, Hint: hint(err), Err: fmt.Errorf("%w: %w", ErrFolder, err)}
	if errors.Is(err, folder.ErrTwin) {
		e.Hint = "Another machine publishes with this device's keys: one of the two is a copy. Uninstall one of them and let it join again."
	}
	return e
}
