package sqlitesync

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

const (
	// maxHead is FORMAT.md's limit for a head file.
	maxHead = 2 << 20
	// maxManifest is how many segments a head lists, the newest ones.
	maxManifest = 1000
	// headInterval bounds how often a head is written only to say what was read.
	headInterval = time.Minute
)

// head is the content of a head file (FORMAT.md, chapter 9).
type head struct {
	Name     string            `json:"name"`
	Time     int64             `json:"time"`
	Segments []headSegment     `json:"segments"`
	Seen     map[string]uint64 `json:"seen"`
	Roster   string            `json:"roster"`
}

type headSegment struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// publishHead writes this device's head if it would say something new. With
// background work on, what was merely read is told at most once a minute, so
// that devices do not answer each other for ever.
func (s *Syncer) publishHead(ctx context.Context, f *folder.Folder) error {
	content, own, err := s.composeHead(ctx)
	if err != nil {
		return err
	}
	said, err := json.Marshal(content)
	if err != nil {
		return err
	}
	last, err := load(ctx, s.handle.conn, "head")
	if err != nil {
		return err
	}
	if string(said) == last {
		return nil
	}
	if !s.options.Manual && own == s.headOwn && time.Since(s.headTime) < headInterval {
		return nil
	}
	counter, err := loadNumber(ctx, s.handle.conn, "head_counter")
	if err != nil {
		return err
	}
	counter++
	err = s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		return saveNumber(ctx, s.handle.conn, "head_counter", counter)
	})
	if err != nil {
		return err
	}
	content.Time = s.options.wall().UnixMilli()
	plain, err := json.Marshal(content)
	if err != nil {
		return err
	}
	header := crypto.HeadHeader{Space: s.identity.space, Device: s.identity.device, Counter: counter}
	file, err := crypto.SealHead(header, plain, s.keys.epoch(), s.keys.entry.Device)
	if err != nil {
		return fmt.Errorf("seal head: %w", err)
	}
	if err := f.ReplaceHead(s.identity.device.String(), file); err != nil {
		return s.publishFault(err, 0)
	}
	s.headTime, s.headOwn = time.Now(), own
	if own != s.told.batch {
		s.told = told{own, time.UnixMilli(content.Time)}
		if err := s.told.save(ctx, s.handle.conn); err != nil {
			return err
		}
	}
	return save(ctx, s.handle.conn, "head", string(said)) // only now: what was not written is written again
}

// composeHead returns the head without its time, and the newest own batch in it.
func (s *Syncer) composeHead(ctx context.Context) (*head, uint64, error) {
	rosterHash := s.roster.Hash()
	content := &head{Name: s.options.DeviceName, Segments: []headSegment{}, Seen: make(map[string]uint64), Roster: hex.EncodeToString(rosterHash[:])}
	rows, err := s.handle.conn.Query(ctx, `SELECT name, lower(hex(hash)) FROM
		(SELECT name, hash FROM sqlitesync_segments ORDER BY name DESC LIMIT ?) ORDER BY name`, maxManifest)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var entry headSegment
		if err := rows.Scan(&entry.Name, &entry.Hash); err != nil {
			return nil, 0, err
		}
		content.Segments = append(content.Segments, entry)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	seen, err := s.db.Seen(ctx)
	if err != nil {
		return nil, 0, err
	}
	for id, batch := range seen {
		content.Seen[id.String()] = batch
	}
	own, _, err := s.db.Position(ctx, s.self())
	content.Seen[s.identity.device.String()] = own
	return content, own, err
}

// readHead reads the head of another device, and refuses one that is older
// than one already seen.
func (s *Syncer) readHead(ctx context.Context, f *folder.Folder, member crypto.Member) (*head, error) {
	data, err := f.ReadHead(member.ID.String(), maxHead)
	if err != nil {
		return nil, err
	}
	file, err := crypto.ParseHead(data)
	if err != nil {
		return nil, formatError(err)
	}
	header := file.Header()
	if header.Space != s.identity.space || header.Device != member.ID {
		return nil, fmt.Errorf("%w: it is the head of another device or space", crypto.ErrSignature)
	}
	if err := file.Verify(member.Keys.SigningKey()); err != nil {
		return nil, err
	}
	name := "head of " + member.ID.String()
	highest, err := loadNumber(ctx, s.handle.conn, name)
	if err != nil {
		return nil, err
	}
	if header.Counter < highest {
		return nil, fmt.Errorf("%w: it is older than one seen before", crypto.ErrDamaged)
	}
	epoch := s.keys.entry.Epoch(header.Epoch)
	if epoch == nil {
		return nil, fmt.Errorf("%w: its epoch is not known here", crypto.ErrWrongKey)
	}
	plain, err := file.Open(epoch, maxHead)
	if err != nil {
		return nil, err
	}
	content := new(head)
	if err := json.Unmarshal(plain, content); err != nil {
		return nil, fmt.Errorf("%w: %w", crypto.ErrDamaged, err)
	}
	if header.Counter > highest {
		if err := saveNumber(ctx, s.handle.conn, name, header.Counter); err != nil {
			return nil, err
		}
	}
	return content, nil
}
