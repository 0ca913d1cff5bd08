package sqlitesync

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// recognizes reports whether the folder holds this device's own directory and
// a record that it knows, and so is its space's whatever the marker says.
func (s *Syncer) recognizes(f *folder.Folder) bool {
	listing, err := f.List(s.identity.device.String())
	if err != nil || len(listing.Segments) == 0 && !listing.Head {
		return false
	}
	names, err := f.Records()
	return err == nil && slices.ContainsFunc(names, func(name string) bool { return s.records[name] != nil })
}

// confirm looks at this device's own directory, before anything is published
// in it: what an earlier pass has published is done with if it stands there
// whole, and goes out again if it does not stand there.
func (s *Syncer) confirm(ctx context.Context, f *folder.Folder, p *problems) error {
	listing, err := f.List(s.identity.device.String())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.publishFault(err, 0)
	}
	if err := s.checkTwin(ctx, f, listing); err != nil {
		return err
	}
	if !listing.Head {
		if err := save(ctx, s.handle.conn, "head", ""); err != nil {
			return err
		}
	}
	standing := make(map[folder.SegmentName]bool, len(listing.Segments))
	for _, name := range listing.Segments {
		standing[name] = true
	}
	waiting, err := s.forget(ctx, f, standing, p)
	if err != nil {
		return err
	}
	return s.checkVanished(ctx, standing, waiting, p)
}

// checkTwin looks for batches that this device has signed and this database
// does not know. Files of such names that it has not signed are junk.
func (s *Syncer) checkTwin(ctx context.Context, f *folder.Folder, listing folder.Listing) error {
	position, _, err := s.db.Position(ctx, s.self())
	if err != nil {
		return err
	}
	own := &reading{device: s.identity.device, key: s.keys.entry.Device.Public().SigningKey()}
	for _, name := range listing.Segments {
		if name.Last <= position {
			continue
		}
		if _, err := s.openNamed(f, own, name); err == nil {
			return s.publishFault(fmt.Errorf("%w: this database has not made %s", folder.ErrTwin, name), name.Last)
		}
	}
	return nil
}

// forget removes from the outbox what stands in the folder with the bytes that
// were published. It returns how many published batches it keeps.
func (s *Syncer) forget(ctx context.Context, f *folder.Folder, standing map[folder.SegmentName]bool, p *problems) (kept map[uint64]bool, err error) {
	rows, err := s.handle.conn.Query(ctx, "SELECT batch, published FROM sqlitesync_outbox")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	kept = make(map[uint64]bool)
	var published []uint64
	for rows.Next() {
		var batch int64
		var done bool
		if err := rows.Scan(&batch, &done); err != nil {
			return nil, err
		}
		kept[uint64(batch)] = true
		if done {
			published = append(published, uint64(batch))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, batch := range published {
		if !standing[original(batch)] { // it was there and is gone: publish it again
			_, err := s.handle.conn.Exec(ctx, "UPDATE sqlitesync_outbox SET published = 0 WHERE batch = ?", int64(batch))
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := s.compareOwn(ctx, f, batch); err != nil {
			p.add(&Error{Op: "check published segment", Device: s.identity.device, Batch: batch,
				Path: "devices/" + s.identity.device.String() + "/" + original(batch).String(), Err: err,
				Hint: "Another program has damaged the file. Remove it: its content is kept, and the next pass writes it again."})
			continue
		}
		if _, err := s.handle.conn.Exec(ctx, "DELETE FROM sqlitesync_outbox WHERE batch = ?", int64(batch)); err != nil {
			return nil, err
		}
		delete(kept, batch)
	}
	return kept, nil
}

// compareOwn reads a published file once more, and compares it with what was
// published.
func (s *Syncer) compareOwn(ctx context.Context, f *folder.Folder, batch uint64) error {
	data, err := f.ReadSegment(s.identity.device.String(), original(batch), maxSegment)
	if err != nil {
		return err
	}
	var want []byte
	err = s.handle.conn.Get(ctx, "SELECT hash FROM sqlitesync_segments WHERE name = ?", []any{original(batch).String()}, &want)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); string(sum[:]) != string(want) {
		return fmt.Errorf("%w: it is not what was published", crypto.ErrDamaged)
	}
	return nil
}

// checkVanished tells if segments that stood in the folder are gone. Devices
// that have not read them can't get them any more.
func (s *Syncer) checkVanished(ctx context.Context, standing map[folder.SegmentName]bool, kept map[uint64]bool, p *problems) error {
	rows, err := s.handle.conn.Query(ctx, "SELECT name FROM sqlitesync_segments ORDER BY name")
	if err != nil {
		return err
	}
	defer rows.Close()
	vanished, first := 0, ""
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if name, ok := folder.ParseSegmentName(text); ok && !standing[name] && !kept[name.Last] {
			if vanished++; first == "" {
				first = text
			}
		}
	}
	if vanished > 0 {
		p.add(&Error{Op: "check published segments", Device: s.identity.device, Path: "devices/" + s.identity.device.String() + "/" + first,
			Err:  fmt.Errorf("%w: %d segments that this device has published are gone", ErrFolder, vanished),
			Hint: "Restore them from the file-sync service's history: devices that have not read them wait for them. No row of this database is lost."})
	}
	return rows.Err()
}
