package sqlitesync

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// The way out, in this order:
//
//	fold      log -> changes -> batch -> sealed segment in the outbox    one transaction
//	reseal    what is sealed for an epoch that is not current any more   one transaction
//	announce  that they go out                                           one durable transaction
//	keys      KeyStore: newest batch and tail                            durable
//	publish   outbox -> folder                                           durable
//
// The outbox is what stands in sqlitesync_segments and was not published yet.
// Between fold and announce a power cut may take the batch back, and with it
// the app's own commits that were as fresh; announcing commits durably, which
// makes all before it durable too. So a batch number never stands for two
// contents in the folder, and nothing is in the folder that the database can
// forget.

// self is this device as package changelog names it.
func (s *Syncer) self() changelog.DeviceID { return changelog.DeviceID(s.identity.device) }

// publish writes sealed segments into the folder, oldest first; nothing, if this
// device only reads.
func (s *Syncer) publish(ctx context.Context, f *folder.Folder) error {
	if s.reads() {
		return nil
	}
	if !s.tidied {
		if err := s.own(f).RemoveTemporaries(); err != nil {
			s.log.Debug("temporary files not removed", "err", err)
		}
		s.tidied = true
	}
	if _, err := s.currentEpoch(); err != nil {
		return err
	}
	total := 0
	for {
		segments, err := s.outbox(ctx)
		if err != nil || len(segments) == 0 {
			if total > 0 {
				s.state.update(func(st *Status) { st.LastPublished = s.environment.Now() })
				s.events.send(Event{Kind: EventPublished, Rows: total})
			}
			return err
		}
		if err := s.ownDirectory(ctx, f); err != nil {
			return err
		}
		if again, err := s.reseal(ctx, segments); err != nil {
			return err
		} else if again {
			continue
		}
		if err := s.announceSegments(ctx, segments); err != nil {
			return err
		}
		for _, out := range segments {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.own(f).PublishSegment(out.name, out.sealed); err != nil {
				return s.segmentFault(f, out.name, err)
			}
			if err := s.setState(ctx, out.name, segmentPublished); err != nil {
				return err
			}
			if out.name.Generation == 0 {
				total += out.rows
			}
			s.log.Debug("published", "segment", out.name, "changes", out.rows)
		}
	}
}

// announceSegments writes down, before they go out, which segments do: durably in
// the database, then in the KeyStore, against which Open compares a database that
// may be a restored one.
func (s *Syncer) announceSegments(ctx context.Context, segments []ownSegment) error {
	newest := segments[len(segments)-1]
	err := s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		return save(ctx, s.handle.conn, "announced", newest.name.String())
	})
	if err != nil {
		return err
	}
	file, err := crypto.ParseSegment(newest.sealed)
	if err != nil {
		return err
	}
	return s.keys.publishing(ctx, newest.name.Last, file.Tail())
}

// segmentFault tells a twin from a file that somebody has planted: only who has
// this device's keys can have signed what stands under the name.
func (s *Syncer) segmentFault(f *folder.Folder, name folder.SegmentName, err error) error {
	if _, unsigned := s.openNamed(f, s.ownReading(), name); !errors.Is(err, folder.ErrTwin) || unsigned == nil {
		return s.publishFault(err, name.Last)
	}
	return &Error{
		Op: "publish", Device: s.identity.device, Batch: name.Last, Path: "devices/" + s.identity.device.String() + "/" + name.String(),
		Err:  fmt.Errorf("%w: a file that this device has not written, or that was damaged, has the name of its next segment", ErrFolder),
		Hint: "Remove the file: what this device has to say is kept, and the next pass publishes it.",
	}
}

func (s *Syncer) publishFault(err error, batch uint64) error {
	e := &Error{Op: "publish", Device: s.identity.device, Batch: batch, Hint: hint(err), Err: fmt.Errorf("%w: %w", ErrFolder, err)}
	if errors.Is(err, folder.ErrTwin) {
		e.Hint = "Another copy of this database publishes with its keys. The next pass goes on as a new device; nothing is lost."
	}
	return e
}
