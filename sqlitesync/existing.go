package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// existing decides what becomes of the rows that the database has already, and
// returns the tables whose rows are to be replaced. Of these a copy was written.
// A reader can't merge them: the space would never have them.
func (s *Syncer) existing(ctx context.Context, role crypto.Role) (replaced []*changelog.Table, err error) {
	tables, err := changelog.Preview(ctx, s.handle.conn, s.selection())
	if err != nil {
		return nil, err
	}
	var filled []string
	for _, table := range tables {
		var n int
		if err := s.handle.conn.Get(ctx, "SELECT count(*) FROM "+changelog.Quote(table.Name), nil, &n); err != nil {
			return nil, err
		}
		if n > 0 {
			filled = append(filled, fmt.Sprintf("%s has %d", table.Name, n))
		}
	}
	if len(filled) == 0 {
		return nil, nil
	}
	switch {
	case s.options.Existing == MergeExisting && role != crypto.Reader:
		return nil, nil
	case s.options.Existing == ReplaceExisting:
		return tables, s.copyDatabase(ctx)
	case role == crypto.Reader:
		return nil, fmt.Errorf("%w: %s; the code is for a reader, whose rows the space does not take: set Options.Existing to ReplaceExisting",
			ErrNotEmpty, strings.Join(filled, ", "))
	default:
		return nil, fmt.Errorf("%w: %s; set Options.Existing to MergeExisting or ReplaceExisting", ErrNotEmpty, strings.Join(filled, ", "))
	}
}

// copyDatabase writes a copy of the database beside it, which only the user may
// read, and remembers what the copy is of: rows that come later must not be
// removed with those that it has. It is durable before any row goes:
//
//	openat(copy, O_CREAT|O_EXCL, 0600), close
//	VACUUM INTO copy
//	openat(copy), fsync, close
//	openat(directory of copy), fsync, close
func (s *Syncer) copyDatabase(ctx context.Context) error {
	var err error
	if s.copied, err = s.dataVersion(ctx); err != nil {
		return err
	}
	path := fmt.Sprintf("%s.before-join-%s", s.handle.path, s.environment.Now().UTC().Format("20060102T150405.000Z"))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // VACUUM fills an empty file
	if err != nil {
		return fmt.Errorf("copy the database before its rows are replaced: %w", err)
	}
	s.copy = path
	if err := file.Close(); err != nil {
		return err
	}
	if _, err := s.handle.conn.Exec(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy the database before its rows are replaced: %w", err)
	}
	if err := folder.SyncFile(path); err != nil {
		return fmt.Errorf("copy the database before its rows are replaced: %w", err)
	}
	s.log.Info("copied the database before its rows are replaced", "copy", path)
	return nil
}

// removeCopy removes the copy of a database that has entered no space, and so has its rows: each attempt writes one, perhaps
// on a disk that is full.
func (s *Syncer) removeCopy(ctx context.Context) {
	if s.copy == "" {
		return
	}
	if set, err := installed(ctx, s.handle.conn); err != nil || set {
		return
	}
	if err := os.Remove(s.copy); err != nil {
		s.log.Warn("copy of the database not removed", "copy", s.copy, "err", err)
	}
}

// dataVersion changes with every commit of another connection.
func (s *Syncer) dataVersion(ctx context.Context) (version int64, err error) {
	err = s.handle.conn.Get(ctx, "PRAGMA data_version", nil, &version)
	return version, err
}

// removeReplaced removes the rows of tables of which a copy was written, inside
// the transaction that enters the space.
func (s *Syncer) removeReplaced(ctx context.Context, tables []*changelog.Table) error {
	if len(tables) == 0 {
		return nil
	}
	version, err := s.dataVersion(ctx)
	if err != nil {
		return err
	}
	if version != s.copied {
		return errors.New("another program has written to the database while its rows were copied; close it and join again")
	}
	for _, table := range tables {
		if err := s.handle.conn.Script(ctx, "DELETE FROM "+changelog.Quote(table.Name)); err != nil {
			return err
		}
	}
	return nil
}
