package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"filippo.io/age"
	"github.com/zalando/go-keyring"

	"github.com/sqlitesync/go/sqlitesync"
)

// keychainKeys is a sqlitesync.KeyStore whose files are sealed with keys that the
// system's keychain holds: Keychain on macOS, Credential Manager on Windows, the
// Secret Service (GNOME Keyring, KWallet) elsewhere.
//
// The keychain holds one short key for each device, and a file the entry, sealed
// for it. Entries grow with every device that is removed and are saved before
// each publishing; keychains take about 2,500 bytes, are slow, and promise nothing
// about power cuts.
//
// Where there is no keychain, entries are kept in plain files for the user alone,
// as with FileKeys. An entry stays where it was first saved: a keychain that is
// only locked must not make a device look as if it had no keys.
type keychainKeys struct {
	service       string // what the app is called in the keychain
	sealed, plain sqlitesync.KeyStore
	log           *slog.Logger

	mu   sync.Mutex
	keys map[string]*age.HybridIdentity // that the keychain has given out
}

func newKeychainKeys(service, dir string, log *slog.Logger) *keychainKeys {
	return &keychainKeys{
		service: service,
		sealed:  sqlitesync.FileKeys(filepath.Join(dir, "sealed")),
		plain:   sqlitesync.FileKeys(filepath.Join(dir, "plain")),
		log:     log,
		keys:    make(map[string]*age.HybridIdentity),
	}
}

// maxEntry bounds what is decrypted.
const maxEntry = 1 << 20

// Load returns an entry.
func (k *keychainKeys) Load(ctx context.Context, id string) ([]byte, error) {
	sealed, err := k.sealed.Load(ctx, id)
	if errors.Is(err, fs.ErrNotExist) {
		return k.plain.Load(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	key, err := k.key(id)
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, fmt.Errorf("%w: the keychain has lost the key of device %s", fs.ErrNotExist, id)
	}
	if err != nil {
		return nil, fmt.Errorf("the keychain can't be read; unlock it and try again: %w", err)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	if err != nil {
		return nil, fmt.Errorf("open the key entry of device %s: %w", id, err)
	}
	return io.ReadAll(io.LimitReader(r, maxEntry))
}

// Save replaces an entry where it is, and puts a new one into the keychain's care
// if there is a keychain.
func (k *keychainKeys) Save(ctx context.Context, id string, secret []byte) error {
	switch _, err := k.plain.Load(ctx, id); {
	case err == nil:
		return k.plain.Save(ctx, id, secret)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	key, err := k.key(id)
	if errors.Is(err, keyring.ErrNotFound) {
		key, err = k.newKey(id)
	}
	if err != nil {
		if _, standing := k.sealed.Load(ctx, id); !errors.Is(standing, fs.ErrNotExist) {
			return fmt.Errorf("the keychain can't be read; unlock it and try again: %w", err)
		}
		k.log.Warn("no keychain: the keys are kept in a file that only the user may read", "err", err)
		return k.plain.Save(ctx, id, secret)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, key.Recipient())
	if err != nil {
		return err
	}
	if _, err := w.Write(secret); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return k.sealed.Save(ctx, id, sealed.Bytes())
}

// key returns the key that the keychain holds for a device. It is asked once.
func (k *keychainKeys) key(id string) (*age.HybridIdentity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key := k.keys[id]; key != nil {
		return key, nil
	}
	text, err := keyring.Get(k.service, id)
	if err != nil {
		return nil, err
	}
	key, err := age.ParseHybridIdentity(text)
	if err != nil {
		return nil, errors.New("the keychain holds something else under the name of the device") // age's error may quote it
	}
	k.keys[id] = key
	return key, nil
}

// newKey makes a key for a device. It counts once the keychain gives it out.
func (k *keychainKeys) newKey(id string) (*age.HybridIdentity, error) {
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	if err := keyring.Set(k.service, id, key.String()); err != nil {
		return nil, err
	}
	return k.key(id)
}
