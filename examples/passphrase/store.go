package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/sqlitesync/go/sqlitesync"
)

// passphraseKeys is a sqlitesync.KeyStore whose files are sealed.
//
// The passphrase opens one file, passphrase.age, which holds an age identity;
// each entry is sealed for that identity. So the slow part, which makes guessing
// passphrases expensive, is done once when the app starts and not before each
// publishing, and another passphrase takes one file to be written again.
type passphraseKeys struct {
	files    sqlitesync.KeyStore
	identity *age.HybridIdentity
}

const (
	// defaultWorkFactor makes each guess of the passphrase cost about a second
	// and 256 MiB of memory (2^18).
	defaultWorkFactor = 18
	// maxWorkFactor bounds what a file that somebody else wrote can cost.
	maxWorkFactor = 20
	// maxEntry bounds what is decrypted.
	maxEntry = 1 << 20
)

var errPassphrase = errors.New("the passphrase is wrong")

// openKeys opens the store in dir with its passphrase, or makes it with this one.
func openKeys(dir, passphrase string, workFactor int) (sqlitesync.KeyStore, error) {
	identity, err := readIdentity(dir, passphrase)
	if errors.Is(err, fs.ErrNotExist) {
		if identity, err = age.GenerateHybridIdentity(); err == nil {
			err = writeIdentity(dir, passphrase, workFactor, identity)
		}
	}
	if err != nil {
		return nil, err
	}
	return &passphraseKeys{files: sqlitesync.FileKeys(dir), identity: identity}, nil
}

// changePassphrase replaces the passphrase. Who has a copy of the old file and
// the old passphrase can still open it: if that may be, uninstall and join anew.
func changePassphrase(dir, from, to string, workFactor int) error {
	identity, err := readIdentity(dir, from)
	if err != nil {
		return err
	}
	return writeIdentity(dir, to, workFactor, identity)
}

func identityPath(dir string) string { return filepath.Join(dir, "passphrase.age") }

func readIdentity(dir, passphrase string) (*age.HybridIdentity, error) {
	sealed, err := os.ReadFile(identityPath(dir))
	if err != nil {
		return nil, err
	}
	key, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	key.SetMaxWorkFactor(maxWorkFactor)
	text, err := open(sealed, key)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, errPassphrase
	}
	if err != nil {
		return nil, err
	}
	identity, err := age.ParseHybridIdentity(string(text))
	if err != nil {
		return nil, errors.New("passphrase.age holds no identity") // age's error may quote it
	}
	return identity, nil
}

// writeIdentity replaces passphrase.age as a whole.
func writeIdentity(dir, passphrase string, workFactor int, identity *age.HybridIdentity) error {
	key, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return err
	}
	key.SetWorkFactor(workFactor)
	sealed, err := seal([]byte(identity.String()), key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".passphrase-") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // fails once it was renamed
	_, err = file.Write(sealed)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), identityPath(dir))
}

// Load opens an entry.
func (k *passphraseKeys) Load(ctx context.Context, id string) ([]byte, error) {
	sealed, err := k.files.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	secret, err := open(sealed, k.identity)
	if err != nil {
		return nil, fmt.Errorf("open the key entry of device %s: %w", id, err)
	}
	return secret, nil
}

// Save seals an entry.
func (k *passphraseKeys) Save(ctx context.Context, id string, secret []byte) error {
	sealed, err := seal(secret, k.identity.Recipient())
	if err != nil {
		return err
	}
	return k.files.Save(ctx, id, sealed)
}

func seal(secret []byte, recipient age.Recipient) ([]byte, error) {
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(secret); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}

func open(sealed []byte, identity age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxEntry))
}
