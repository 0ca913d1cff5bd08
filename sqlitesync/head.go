package sqlitesync

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	Name     string                `json:"name"`
	Time     int64                 `json:"time"`
	Segments []headSegment         `json:"segments"`
	Seen     map[string]uint64     `json:"seen"`
	Logs     string                `json:"logs,omitempty"`
	Roster   string                `json:"roster"`
	Digests  map[string]string     `json:"digests,omitempty"`
	Ranges   map[string]headRanges `json:"ranges,omitempty"`
	Tables   []headTable           `json:"tables,omitempty"`
	Remade   []string              `json:"remade,omitempty"`
}

type headSegment struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// publishHead writes this device's head if it would say something new. With
// background work on, what was merely read is told at most once a minute, so
// that devices do not answer each other for ever.
func (s *Syncer) publishHead(ctx context.Context, f *folder.Folder, known *knowledge) error {
	content, err := s.composeHead(ctx, known)
	if err != nil {
		return err
	}
	own := known.seen[s.identity.device.String()]
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
	if !s.options.Manual && own == s.headOwn && s.environment.Since(s.headTime) < headInterval {
		return nil
	}
	counter, err := loadNumber(ctx, s.handle.conn, "head_counter")
	if err != nil {
		return err
	}
	standing, _ := s.standingCounter(f)
	counter = max(counter, standing) + 1
	err = s.handle.conn.Transact(ctx, changelog.Durable, func() error {
		return saveNumber(ctx, s.handle.conn, "head_counter", counter)
	})
	if err != nil {
		return err
	}
	content.Time = s.environment.Now().UnixMilli()
	plain, err := json.Marshal(content)
	if err != nil {
		return err
	}
	header := crypto.HeadHeader{Space: s.identity.space, Device: s.identity.device, Counter: counter}
	epoch, err := s.currentEpoch()
	if err != nil {
		return err
	}
	file, err := crypto.SealHead(header, plain, epoch, s.keys.entry().Device)
	if err != nil {
		return fmt.Errorf("seal head: %w", err)
	}
	if err := s.ownDirectory(ctx, f); err != nil {
		return err
	}
	if err := s.own(f).ReplaceHead(file); err != nil {
		return s.publishFault(err, 0)
	}
	s.headTime, s.headOwn = s.environment.Beat(), own
	if own != s.told.batch {
		s.told = told{own, time.UnixMilli(content.Time)}
		if err := s.told.save(ctx, s.handle.conn); err != nil {
			return err
		}
	}
	return save(ctx, s.handle.conn, "head", string(said)) // only now: what was not written is written again
}

// standingCounter returns the number of this device's head in the folder, 0 if
// there is none. A database that was restored knows a smaller one, and no number
// may stand for two heads.
func (s *Syncer) standingCounter(f *folder.Folder) (uint64, error) {
	file, err := s.openHead(f, s.identity.device, s.keys.entry().Device.Public())
	if err != nil {
		return 0, err
	}
	return file.Header().Counter, nil
}

// openHead reads the head of a device and makes sure that the device signed it.
func (s *Syncer) openHead(f *folder.Folder, device DeviceID, keys crypto.PublicKeys) (*crypto.Head, error) {
	data, err := f.ReadHead(device.String(), maxHead)
	if err != nil {
		return nil, err
	}
	file, err := crypto.ParseHead(data)
	if err != nil {
		return nil, formatError(err)
	}
	if header := file.Header(); header.Space != s.identity.space || header.Device != device {
		return nil, fmt.Errorf("%w: it is the head of another device or space", crypto.ErrSignature)
	}
	return file, file.Verify(keys.SigningKey())
}

// composeHead returns the head without its time.
func (s *Syncer) composeHead(ctx context.Context, known *knowledge) (*head, error) {
	rosterHash := s.roster.Hash()
	ranges, err := s.ownRanges(ctx, known)
	if err != nil {
		return nil, err
	}
	remade, err := s.remade(ctx)
	if err != nil {
		return nil, err
	}
	content := &head{
		Name: s.options.DeviceName, Segments: []headSegment{}, Seen: known.seen, Logs: known.logs, Roster: hex.EncodeToString(rosterHash[:]), Digests: known.digests,
		Ranges: ranges, Tables: s.tables, Remade: remade,
	}
	rows, err := s.handle.conn.Query(ctx, `SELECT name, lower(hex(hash)) FROM
		(SELECT name, hash FROM sqlitesync_segments WHERE state > 0 AND replaced IS NULL ORDER BY name DESC LIMIT ?) ORDER BY name`, maxManifest)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var entry headSegment
		if err := rows.Scan(&entry.Name, &entry.Hash); err != nil {
			return nil, err
		}
		content.Segments = append(content.Segments, entry)
	}
	return content, rows.Err()
}

// readHead reads the head of another device. It refuses one that is older than
// one already seen, is not the only one with its number, or claims to have read
// what this device has not published.
func (s *Syncer) readHead(ctx context.Context, f *folder.Folder, member crypto.Member) (*head, error) {
	file, err := s.openHead(f, member.ID, member.Keys)
	if err != nil {
		return nil, err
	}
	header := file.Header()
	epoch, err := s.epoch(header.Epoch)
	if err != nil {
		return nil, err
	}
	content, err := decryptHead(file, epoch)
	if err != nil {
		return nil, err
	}
	newest, err := s.checkNewest(ctx, header, content.Time)
	switch {
	case errors.Is(err, errFalseHead) && s.hasSuccessor(member.ID):
		return nil, errForkedHead
	case err != nil:
		return nil, err
	}
	if err := s.checkAhead(ctx, content); err != nil {
		return nil, err
	}
	if s.looking {
		return content, nil
	}
	return content, saveNew(ctx, s.handle.conn, newestSetting(member.ID), fmt.Sprintf("%d %d %x", newest.counter, newest.time, newest.sum))
}

func decryptHead(file *crypto.Head, epoch *crypto.Epoch) (*head, error) {
	plain, err := file.Open(epoch, maxHead)
	if err != nil {
		return nil, err
	}
	content := new(head)
	if err := json.Unmarshal(plain, content); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object with the members of a head", crypto.ErrDamaged) // JSON's error quotes
	}
	return content, nil
}

// newestHead is what is remembered of the heads of a device: the highest number, the
// latest time, and the hash of the payload of the one that was read last.
type newestHead struct {
	counter uint64
	time    int64 // in milliseconds since 1970
	sum     []byte
}

func newestSetting(device DeviceID) string { return "head of " + device.String() }

// checkNewest makes sure that a head is not older than one that was read before, and returns
// what is to be remembered. Numbers rise, but those of a database that was put back to a backup
// begin anew where that was: then its clock tells, which goes on. What was read before has
// neither a higher number nor a later time.
func (s *Syncer) checkNewest(ctx context.Context, header crypto.HeadHeader, said int64) (newest newestHead, err error) {
	text, err := load(ctx, s.handle.conn, newestSetting(header.Device))
	if err != nil {
		return newest, err
	}
	if text != "" {
		if _, err := fmt.Sscanf(text, "%d %d %x", &newest.counter, &newest.time, &newest.sum); err != nil {
			return newest, fmt.Errorf("setting %s: %w", newestSetting(header.Device), err)
		}
	}
	if !bytes.Equal(newest.sum, header.PayloadSum[:]) && header.Counter <= newest.counter && said <= newest.time {
		if header.Counter < newest.counter {
			return newest, fmt.Errorf("%w: it is older than one seen before", errFalseHead)
		}
		return newest, fmt.Errorf("%w: another one has the same number, as if a copy of the device wrote too", errFalseHead)
	}
	return newestHead{max(newest.counter, header.Counter), max(newest.time, said), header.PayloadSum[:]}, nil
}

// errFalseHead: a head is whole and signed, and is not what its device has to say
// now: somebody shows an old one, or the device lies.
var errFalseHead = fmt.Errorf("%w: it can't be the device's newest head", crypto.ErrDamaged)

// errForkedHead: two copies of a device have written heads, and the folder ended up
// with another one than was read. If both went on as other devices, nobody writes the
// next one.
var errForkedHead = fmt.Errorf("%w: it is of a copy of the device, which goes on as another one", crypto.ErrDamaged)

// headFault names the head of a device as what is wrong.
func headFault(device DeviceID, err error) *Error {
	e := &Error{Op: "read head", Device: device, Path: "devices/" + device.String() + "/head", Err: err, Hint: hintUnread(err)}
	if errors.Is(err, errFalseHead) || errors.Is(err, crypto.ErrSignature) {
		e.Hint = "The file was replaced by another one, or put back to an older state. What the device itself publishes is merged all the same; it writes a new head when it runs; " +
			"if there is no such device any more, revoke it."
	}
	if errors.Is(err, errHeadAhead) {
		e.Hint = "If this database, its keys and the folder were restored from one backup, it goes on as another device, once a day at most, and, if it reads only, when the record has come that made it a writer. If that device does not tell the truth, revoke it; " +
			"what it publishes is merged all the same."
	}
	return e
}
