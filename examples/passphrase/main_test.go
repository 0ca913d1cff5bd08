package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A device is founded and opened again, and no file holds a key or the passphrase.
func TestPassphrase(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	const passphrase = "words that nobody guesses"
	var out bytes.Buffer
	must(t, run(ctx, &out, dir, passphrase))
	must(t, run(ctx, &out, dir, passphrase))
	if !strings.Contains(out.String(), "Notes so far: 2") || strings.Contains(out.String(), passphrase) {
		t.Errorf("said %q", out.String())
	}
	keys := filepath.Join(dir, "keys")
	sealed := 0
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range []string{"AGE-SECRET-KEY", passphrase} {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds %s", path, secret)
			}
		}
		if strings.HasPrefix(path, keys) {
			if !bytes.HasPrefix(data, []byte("age-encryption.org/v1\n")) {
				t.Errorf("%s is not sealed", path)
			}
			sealed++
		}
		return err
	}))
	if sealed != 2 {
		t.Errorf("%d files of keys, want 2", sealed)
	}
	data, err := os.ReadFile(identityPath(keys))
	must(t, err)
	if line := strings.Split(string(data), "\n")[1]; !strings.HasPrefix(line, "-> scrypt ") || !strings.HasSuffix(line, " 18") {
		t.Errorf("sealed with %q, want scrypt and a work factor of 18", line)
	}
}

// easy is a work factor for tests, which guess no passphrases.
const easy = 10

func TestOnlyThePassphraseOpensTheKeys(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "keys")
	const first, second = "the first passphrase", "the second passphrase"
	store, err := openKeys(dir, first, easy)
	must(t, err)
	must(t, store.Save(ctx, "ab", []byte("secret")))
	if _, err := openKeys(dir, second, easy); !errors.Is(err, errPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	must(t, changePassphrase(dir, first, second, easy))
	if err := changePassphrase(dir, first, second, easy); !errors.Is(err, errPassphrase) {
		t.Errorf("the old passphrase: %v", err)
	}
	store, err = openKeys(dir, second, easy)
	must(t, err)
	if got, err := store.Load(ctx, "ab"); err != nil || string(got) != "secret" {
		t.Errorf("loaded %q, %v", got, err)
	}
}

func TestEntriesThatAreMissingOrDamaged(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "keys")
	store, err := openKeys(dir, "passphrase", easy)
	must(t, err)
	if _, err := store.Load(ctx, "ab"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an entry that was never saved: %v", err)
	}
	must(t, store.Save(ctx, "ab", []byte("secret")))
	got, err := store.Load(ctx, "ab")
	if must(t, err); string(got) != "secret" {
		t.Errorf("loaded %q", got)
	}
	path := filepath.Join(dir, "ab.key")
	data, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, data[:len(data)-1], 0o600))
	if got, err := store.Load(ctx, "ab"); err == nil || len(got) != 0 {
		t.Errorf("a damaged entry: %q, %v", got, err)
	}
	// A file that would take 2^40 steps is refused, not tried.
	must(t, os.WriteFile(identityPath(dir), []byte("age-encryption.org/v1\n-> scrypt bBjlhJVYZeE4aqUdmtRHfw 40\n"+
		"uXrbTJxFOEpn2YqCnbZWbuKRnmzHLtE3mLPNAwhyJPQ\n--- uXrbTJxFOEpn2YqCnbZWbuKRnmzHLtE3mLPNAwhyJPQ\n"), 0o600))
	if _, err := openKeys(dir, "passphrase", easy); err == nil {
		t.Error("a scrypt bomb was opened")
	}
}
