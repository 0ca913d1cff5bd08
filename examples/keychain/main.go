// Command keychain keeps a device's keys under the protection of the system's keychain.
//
//	go run ./examples/keychain
//	go run ./examples/keychain -dir data
//
// It founds a space, or goes on with the one in -dir, and writes a note. The
// store is in store.go, ready to be taken into an app. Where there is no keychain,
// as on most servers, it says so and keeps the keys in plain files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/sqlitesync/go/sqlitesync"
)

func main() {
	dir := flag.String("dir", "", "where database, folder and keys are (default: a temporary directory)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, dir string) error {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "sqlitesync-keychain-"); err != nil {
			return err
		}
	}
	folder, keys := filepath.Join(dir, "folder"), filepath.Join(dir, "keys")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	store := newKeychainKeys("sqlitesync example", keys, slog.New(slog.NewTextHandler(out, nil)))
	if err := writeNote(ctx, out, filepath.Join(dir, "notes.db"), folder, store); err != nil {
		return err
	}
	fmt.Fprintf(out, "The keys are in %s. Remove %s when you are done.\n", keys, dir)
	return nil
}

// writeNote is what an app does, with Options.Keys set.
func writeNote(ctx context.Context, out io.Writer, path, folder string, store sqlitesync.KeyStore) (err error) {
	db, err := sqlitesync.OpenDB(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS note (id TEXT PRIMARY KEY NOT NULL, body TEXT)"); err != nil {
		return err
	}
	options := &sqlitesync.Options{Keys: store, Manual: true}
	s, err := sqlitesync.Open(ctx, db, folder, options)
	if errors.Is(err, sqlitesync.ErrNotSetUp) {
		s, err = sqlitesync.Create(ctx, db, folder, options)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if _, err := db.ExecContext(ctx, "INSERT INTO note VALUES (?, 'Something dear.')", sqlitesync.NewKey()); err != nil {
		return err
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	var notes int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM note").Scan(&notes); err != nil {
		return err
	}
	fmt.Fprintf(out, "Notes so far: %d. The folder has them, too.\n", notes)
	return nil
}
