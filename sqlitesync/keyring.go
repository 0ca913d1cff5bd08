package sqlitesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/crypto"
)

// keyring is this device's entry in the KeyStore. Segments are read ahead while
// another entry takes the place of this one: an entry is never altered.
type keyring struct {
	store   KeyStore
	current atomic.Pointer[crypto.KeyEntry]
}

func keyringWith(store KeyStore, entry *crypto.KeyEntry) *keyring {
	k := &keyring{store: store}
	k.current.Store(entry)
	return k
}

func (k *keyring) entry() *crypto.KeyEntry { return k.current.Load() }

// newKeyring makes the keys of a device that enters a space, and saves them.
func newKeyring(ctx context.Context, store KeyStore, entry *crypto.KeyEntry) (*keyring, error) {
	entry.Machine = crypto.MachineHash(entry.Device.ID(), machineID())
	k := keyringWith(store, entry)
	return k, k.save(ctx)
}

// loadKeys loads the keys of the device that the database says it is. They are
// not there when the database was copied.
func loadKeys(ctx context.Context, store KeyStore, id identity) (*keyring, error) {
	secret, err := store.Load(ctx, id.device.String())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the keys of device %s are not here: give the Options.Keys that the database was set up with, or, "+
			"if it was copied to this machine: Uninstall, then Join with a new code", ErrNotMember, id.device.Short())
	}
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	entry, err := crypto.ParseKeyEntry(secret)
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", formatError(err))
	}
	if entry.Device.ID() != id.device || entry.Space != id.space {
		return nil, fmt.Errorf("%w: the key entry of device %s is that of another device or space", ErrNotMember, id.device.Short())
	}
	return keyringWith(store, entry), nil
}

// checkKeys makes sure, with the app's own handle, that the KeyStore has the keys of the device that the database is: who stands by
// without them must not wait until the other one ends, to hear then that it can't go on. What else is wrong may be over by then.
func (s *Syncer) checkKeys(ctx context.Context) error {
	conn, err := s.app.Conn(ctx)
	if err != nil {
		return nil
	}
	c := changelog.NewConn(conn)
	defer c.Close()
	id, err := loadIdentity(ctx, c)
	if err != nil || id.device == s.identity.device { // looked at before
		return nil
	}
	s.identity = id
	if _, err = loadKeys(ctx, s.options.Keys, id); errors.Is(err, ErrNotMember) {
		return err
	}
	return nil
}

// elsewhere reports whether the keys were made on another machine: they, and the
// database, were copied, and two machines must not be one device.
func (k *keyring) elsewhere() bool {
	return k.entry().Machine != crypto.MachineHash(k.entry().Device.ID(), machineID())
}

func (k *keyring) save(ctx context.Context) error {
	secret, err := k.entry().Encode()
	if err != nil {
		return err
	}
	if err := k.store.Save(ctx, k.entry().Device.ID().String(), secret); err != nil {
		return fmt.Errorf("save keys: %w", err)
	}
	return nil
}

// publishing records, before it happens, that batches up to this one go out. A
// database that knows less was restored from a backup.
func (k *keyring) publishing(ctx context.Context, batch uint64, tail crypto.Tail) error {
	if batch <= k.entry().Batch {
		return nil
	}
	next := *k.entry()
	next.Batch, next.Tail = batch, tail
	return k.replace(ctx, &next)
}

// keep saves the epochs, if they are others than those that it has.
func (k *keyring) keep(ctx context.Context, epochs []*crypto.Epoch) error {
	same := func(a, b *crypto.Epoch) bool { return a.ID() == b.ID() }
	if slices.EqualFunc(epochs, k.entry().Epochs, same) {
		return nil
	}
	next := *k.entry()
	next.Epochs = epochs
	return k.replace(ctx, &next)
}

// replace saves an entry and, if that succeeds, goes on with it.
func (k *keyring) replace(ctx context.Context, entry *crypto.KeyEntry) error {
	if err := keyringWith(k.store, entry).save(ctx); err != nil {
		return err
	}
	k.current.Store(entry)
	return nil
}

// newest returns the newest epoch that this device has: the current one, unless
// nobody has handed it to this device yet. See [Syncer.reseal].
func (k *keyring) newest() *crypto.Epoch {
	epochs := k.entry().Epochs
	return epochs[len(epochs)-1]
}

// formatError makes crypto's "newer version" an ErrFormat.
func formatError(err error) error {
	if errors.Is(err, crypto.ErrVersion) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}
