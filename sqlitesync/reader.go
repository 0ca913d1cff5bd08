package sqlitesync

import (
	"context"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
	"github.com/sqlitesync/go/crypto"
)

// reads reports whether this device only reads: it publishes no segment, and what
// the app writes is undone. No device is one before it knows its roster.
func (s *Syncer) reads() bool {
	if s.roster == nil {
		return false
	}
	member, ok := s.roster.Member(s.identity.device)
	return ok && member.Role == crypto.Reader && !s.madeWriter()
}

// madeWriter reports whether this is a copy, by whose keys something was published:
// if it only read when it was made, it was made a writer since, by a record that it may
// not have. What the app writes is kept until that is read.
func (s *Syncer) madeWriter() bool { return s.succeeds != "" && s.keys.entry().Batch > 0 }

// undo takes back what the log holds, on a device that only reads. Nothing of it
// gets a stamp: it would keep out what others write.
func (s *Syncer) undo(ctx context.Context, page changelog.LogPage, edits []changelog.Edit) error {
	result, err := merge.Undo(ctx, s.db, edits, page.More)
	if err != nil {
		return err
	}
	s.merged(s.identity.device, result)
	s.undone += len(edits)
	return s.db.ClearLog(ctx, page)
}

// announceUndone tells of the edits that a transaction took back. That is committed,
// and no error: whoever takes it for one does all again, or leaves it half done.
func (s *Syncer) announceUndone(ctx context.Context) {
	if s.undone == 0 {
		return
	}
	tables := make(map[string]bool)
	for _, o := range s.outcomes {
		for name := range o.result.Rows {
			tables[name] = true
		}
	}
	s.log.Warn("local edits undone, this device only reads", "rows", s.undone)
	s.events.send(Event{Kind: EventUndone, Rows: s.undone, Tables: slices.Sorted(maps.Keys(tables))})
	s.undone = 0
	n, err := merge.CountUndone(context.WithoutCancel(ctx), s.handle.conn)
	if err != nil {
		s.log.Warn("undone edits not counted", "err", err)
		return
	}
	s.state.update(func(st *Status) { st.Undone = n })
}
