package sqlitesync

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/sqlitesync/go/sqlitesync/internal/folder"
)

// KeyStore keeps the secret keys of devices, outside the database and outside
// the folder, so that a copy of the database carries no device to a second
// machine. Its methods may be called from several goroutines. Save must not
// return before the entry would survive a power cut; it is called before each
// publishing. An entry has about 500 bytes, and 79 more for each epoch: more,
// in time, than the keychains of some systems take. The examples keychain and
// passphrase show stores that seal what FileKeys writes.
type KeyStore interface {
	// Load returns what was last saved under id, or an error that is
	// [fs.ErrNotExist].
	Load(ctx context.Context, id string) ([]byte, error)
	// Save replaces what is stored under id. An id is made of lower-case
	// hexadecimal digits.
	Save(ctx context.Context, id string, secret []byte) error
}

// FileKeys returns a KeyStore that keeps each entry in a file of dir that only
// the user may read (0600, in a directory that it makes with 0700). It refuses
// files and directories that are open to the user's group or to others, with an
// [*Error] whose Hint says what to do.
func FileKeys(dir string) KeyStore { return fileKeys(dir) }

type fileKeys string

// maxKeyFile bounds what Load reads.
const maxKeyFile = 1 << 20

func (dir fileKeys) path(id string) (string, error) {
	if id == "" || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("key id %q is not hexadecimal", id)
	}
	return filepath.Join(string(dir), id+".key"), nil
}

func (dir fileKeys) Load(_ context.Context, id string) ([]byte, error) {
	path, err := dir.path(id)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := dir.check(); err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); hasModes && mode&0o077 != 0 {
		return nil, fault("read key file", fmt.Errorf("%s may be read by others (mode %04o)", path, mode),
			fmt.Sprintf("Run chmod 600 %s. If others can have read it, uninstall and join with a new code: who has the keys is the device.", path))
	}
	return io.ReadAll(io.LimitReader(file, maxKeyFile))
}

// hasModes: on Windows there are no such bits, and the user's profile is private.
const hasModes = runtime.GOOS != "windows"

// check refuses a directory that is not the user's alone. Who may write to it can put
// other files in the place of the keys; who may read it learns which devices there are.
func (dir fileKeys) check() error {
	info, err := os.Stat(string(dir))
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); hasModes && mode&0o077 != 0 {
		return fault("look at the key directory", fmt.Errorf("%s is open to others (mode %04o)", dir, mode),
			fmt.Sprintf("Run chmod 700 %s, or choose a directory of its own for the keys.", dir))
	}
	return nil
}

// Save replaces the file as a whole:
//
//	getdents(dir), unlink of what is left of earlier ones
//	openat(dir, ".<id>.<random>", O_CREAT|O_EXCL, 0600)
//	write
//	fsync
//	rename(".<id>.<random>", "<id>.key")
//	fsync(dir)
func (dir fileKeys) Save(_ context.Context, id string, secret []byte) (err error) {
	path, err := dir.path(id)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(dir), 0o700); err != nil {
		return err
	}
	if err := dir.check(); err != nil {
		return err
	}
	dir.tidy(id)
	var random [8]byte
	rand.Read(random[:])
	temporary := filepath.Join(string(dir), "."+id+"."+hex.EncodeToString(random[:]))
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(temporary)
		}
	}()
	if _, err := file.Write(secret); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	// On Windows a file that is open, as while doctor reads it, can't be replaced.
	if err := folder.Patiently(func() error { return os.Rename(temporary, path) }); err != nil {
		return err
	}
	return folder.SyncDirectory(string(dir))
}

// abandonedTime is after how long a temporary file is taken for one of a process that was killed.
const abandonedTime = time.Hour

// tidy removes what processes that were killed in the middle of Save have left of an entry: copies of the secrets that
// nobody would miss, or end.
func (dir fileKeys) tidy(id string) {
	entries, _ := os.ReadDir(string(dir))
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "."+id+".") {
			continue
		}
		if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandonedTime {
			_ = os.Remove(filepath.Join(string(dir), entry.Name()))
		}
	}
}
