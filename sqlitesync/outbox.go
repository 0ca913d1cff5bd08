package sqlitesync

import (
	"context"

	"github.com/sqlitesync/go/changelog/segment"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// mergeOutbox merges what this device still has of its own segments. Rows know all
// that these say, unless their table was dropped since, or made anew: then it stands
// nowhere else, and must be known before the outbox is forgotten.
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
		g := &group{name: sealed[n-1].name}
		for _, own := range sealed[:n] {
			part, err := s.decodeOutbox(ctx, own.name)
			if err != nil {
				return err
			}
			g.segments = append(g.segments, part)
		}
		if err := s.mergeGroup(ctx, g, false, nil, func() error { return nil }); err != nil {
			return err
		}
		sealed = sealed[n:]
	}
	return nil
}

// decodeOutbox opens a segment whose bytes are still here.
func (s *Syncer) decodeOutbox(ctx context.Context, name folder.SegmentName) (*segment.Segment, error) {
	var sealed []byte
	if err := s.handle.conn.Get(ctx, "SELECT sealed FROM sqlitesync_segments WHERE name = ?", []any{name.String()}, &sealed); err != nil {
		return nil, err
	}
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
