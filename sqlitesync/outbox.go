package sqlitesync

import (
	"context"
	"fmt"

	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// mergeOutbox merges what this device still has of its own segments. Rows know all
// that these say, unless their table was dropped since, or made anew: then it stands
// nowhere else, and must be known before the outbox is forgotten. What can't be read
// any more is named and left: this device would never become another one for it.
func (s *Syncer) mergeOutbox(ctx context.Context) error {
	sealed, err := s.ownSegments(ctx, "sealed IS NOT NULL")
	if err != nil {
		return err
	}
	for len(sealed) > 0 {
		n := 1
		for sealed[0].unit > 0 && n < len(sealed) && sealed[n].unit == sealed[0].unit {
			n++ // they share values in pieces
		}
		g, unreadable, err := s.decodeUnit(ctx, sealed[:n])
		if err != nil {
			return err
		}
		if unreadable != nil {
			s.log.Warn("a segment of the outbox can't be read", "batch", sealed[0].name.First, "err", unreadable)
			s.warn(fmt.Sprintf("what this device had kept of its batches %d to %d can't be read any more: all that its tables have is sent again; "+
				"if a table was dropped or made anew since, what they said of it is lost, unless the folder has them", sealed[0].name.First, sealed[n-1].name.Last))
		} else if err := s.mergeGroup(ctx, g, false, nil, nothing, nothing); err != nil {
			return err
		}
		sealed = sealed[n:]
	}
	return nil
}

// nothing is what there is to do around a merge of what was merged before, or is one's own.
func nothing() error { return nil }

// decodeUnit opens segments whose bytes are still here, and that share values in
// pieces if they are several. It tells what keeps them from being read apart from
// what keeps the database from being read, which may pass.
func (s *Syncer) decodeUnit(ctx context.Context, unit []ownSegment) (g *group, unreadable, err error) {
	g = &group{name: unit[len(unit)-1].name}
	joiner := segment.NewJoiner(maxValue)
	for _, own := range unit {
		var sealed []byte
		if err := s.handle.conn.Get(ctx, "SELECT sealed FROM sqlitesync_segments WHERE name = ?", []any{own.name.String()}, &sealed); err != nil {
			return nil, nil, err
		}
		part, unreadable := s.decodeSealed(own.name, sealed)
		if unreadable == nil {
			unreadable = joiner.Join(part) // a part that was found in the folder is not here any more
		}
		if unreadable != nil {
			return nil, unreadable, nil
		}
		g.segments = append(g.segments, part)
	}
	return g, nil, nil
}

// decodeSealed opens a segment that this device has sealed.
func (s *Syncer) decodeSealed(name folder.SegmentName, sealed []byte) (*segment.Segment, error) {
	_, packed, err := s.openOwn(sealed)
	if err != nil {
		return nil, err
	}
	body, err := segment.Unpack(packed)
	if err != nil {
		return nil, err
	}
	return segment.Decode(body, s.self(), name.First, name.Last)
}
