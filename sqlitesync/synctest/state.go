package synctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
)

// A state is what stands on the disks of a device outside its folder.
type state struct {
	database, wal []byte
	settled       walMark           // how much of the WAL a power cut leaves in any case
	keys          map[string][]byte // nil: those that there are
}

// save copies the state as it is at this moment, as a crash leaves it.
func (d *Device) save() *state {
	s := &state{keys: d.keys.copy()}
	var err error
	s.database, err = os.ReadFile(d.Path())
	d.world.must(err)
	if s.wal, err = os.ReadFile(d.Path() + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		d.world.must(err)
	}
	if s.settled = d.disk.settled; s.settled.size > len(s.wal) || !bytes.HasPrefix(s.wal, s.settled.header) {
		s.settle() // it has begun anew: what it had stands in the database
	}
	return s
}

// settle makes all of the state what a power cut leaves.
func (s *state) settle() { s.settled = walMark{len(s.wal), s.wal[:min(32, len(s.wal))]} }

// A walMark is a size that a WAL had, and its header, which is another one when it begins anew.
type walMark struct {
	size   int
	header []byte
}

// markWAL marks the present end of the WAL.
func (d *Device) markWAL() (mark walMark) {
	file, err := os.Open(d.Path() + "-wal")
	if err != nil {
		return mark // there is none
	}
	info, err := file.Stat()
	mark.size, mark.header = int(info.Size()), make([]byte, min(32, info.Size()))
	_, read := file.ReadAt(mark.header, 0)
	d.world.must(errors.Join(err, read, file.Close()))
	return mark
}

// cut takes from the state what was not synced: an end of the WAL, and names in the folder.
func (d *Device) cut(s *state) {
	if least := s.settled.size; len(s.wal) > least && d.world.IntN(3) > 0 {
		s.wal = s.wal[:least+d.world.IntN(len(s.wal)-least+1)]
		d.losses++
		d.seen = nil
	}
	d.disk.cutPower()
}

// restore makes the state that of a device whose app is not running.
func (s *state) restore(d *Device) error {
	if err := os.Remove(d.Path() + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.disk.settled = s.settled
	if s.keys != nil {
		d.keys.replace(s.keys)
	}
	return errors.Join(os.WriteFile(d.Path(), s.database, 0o600), os.WriteFile(d.Path()+"-wal", s.wal, 0o600))
}

// keys are the entries of a KeyStore.
type keys struct {
	mu      sync.Mutex
	entries map[string][]byte
}

func newKeys() *keys { return &keys{entries: make(map[string][]byte)} }

func (k *keys) copy() map[string][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.entries)
}

func (k *keys) replace(entries map[string][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = maps.Clone(entries)
}

// keysOnDisk is a device's KeyStore, of which steps can fail.
type keysOnDisk struct{ *Device }

func (k keysOnDisk) Load(_ context.Context, id string) ([]byte, error) {
	k.keys.mu.Lock()
	defer k.keys.mu.Unlock()
	entry, ok := k.keys.entries[id]
	if !ok {
		return nil, fmt.Errorf("entry %s: %w", id, fs.ErrNotExist)
	}
	return slices.Clone(entry), nil
}

func (k keysOnDisk) Save(_ context.Context, id string, secret []byte) error {
	return k.disk.saveKeys(func() {
		k.keys.mu.Lock()
		defer k.keys.mu.Unlock()
		k.keys.entries[id] = slices.Clone(secret)
	})
}
