package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secretsIn returns the files below dir that hold a key in clear.
func secretsIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("AGE-SECRET-KEY")) {
			found = append(found, path)
		}
		return err
	}))
	return found
}

func TestKeychain(t *testing.T) {
	keyring.MockInit()
	ctx, dir := context.Background(), t.TempDir()
	var out bytes.Buffer
	must(t, run(ctx, &out, dir))
	must(t, run(ctx, &out, dir))
	if !strings.Contains(out.String(), "Notes so far: 2") || strings.Contains(out.String(), "no keychain") {
		t.Errorf("said %q", out.String())
	}
	if found := secretsIn(t, dir); len(found) != 0 {
		t.Errorf("%q hold keys in clear", found)
	}

	// A keychain that is locked is no missing one.
	locked := errors.New("the keychain is locked")
	keyring.MockInitWithError(locked)
	if err := run(ctx, &out, dir); !errors.Is(err, locked) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "unlock") {
		t.Errorf("locked: %v", err)
	}
	if found := secretsIn(t, dir); len(found) != 0 {
		t.Errorf("locked: %q hold keys in clear", found)
	}
	keyring.MockInit() // empty: as on another machine
	if err := run(ctx, &out, dir); err == nil || !strings.Contains(err.Error(), "Join") {
		t.Errorf("without the keychain's key: %v", err)
	}
}

func TestWithoutAKeychain(t *testing.T) {
	keyring.MockInitWithError(errors.New("no such service"))
	ctx, dir := context.Background(), t.TempDir()
	var out bytes.Buffer
	must(t, run(ctx, &out, dir))
	if !strings.Contains(out.String(), "no keychain") {
		t.Errorf("did not say that there is no keychain: %q", out.String())
	}
	found := secretsIn(t, dir)
	if len(found) != 1 {
		t.Fatalf("keys in %q, want one file", found)
	}
	if info, err := os.Stat(found[0]); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// Later there is one. The entry stays where it is.
	keyring.MockInit()
	must(t, run(ctx, &out, dir))
	if !strings.Contains(out.String(), "Notes so far: 2") {
		t.Errorf("said %q", out.String())
	}
}

func TestEntries(t *testing.T) {
	keyring.MockInit()
	ctx, dir := context.Background(), t.TempDir()
	store := newKeychainKeys("test", dir, slog.New(slog.DiscardHandler))
	if _, err := store.Load(ctx, "ab"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an entry that was never saved: %v", err)
	}
	large := bytes.Repeat([]byte("secret"), 20_000) // far more than keychains take
	must(t, store.Save(ctx, "ab", []byte("first")))
	must(t, store.Save(ctx, "ab", large))
	got, err := store.Load(ctx, "ab")
	if must(t, err); !bytes.Equal(got, large) {
		t.Errorf("loaded %d bytes", len(got))
	}
	again := newKeychainKeys("test", dir, slog.New(slog.DiscardHandler))
	if got, err := again.Load(ctx, "ab"); err != nil || !bytes.Equal(got, large) {
		t.Errorf("another process loads %d bytes, %v", len(got), err)
	}
	must(t, keyring.Set("test", "cd", "no key"))
	if err := store.Save(ctx, "cd", []byte("x")); err != nil {
		t.Errorf("a name that is taken in the keychain: %v", err)
	}
}
