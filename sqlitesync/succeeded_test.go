package sqlitesync

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sqlitesync/go/crypto"
)

// The database came to another machine with keys from an old backup, before the folder did. What has been handed to these keys
// since is handed to nobody once more: the device that it becomes must have it from them.
func TestACopyWithKeysThatAreOlderThanTheDatabase(t *testing.T) {
	t.Parallel()
	devices := newSpace(t, itemSchema, 3)
	a, b, c := devices[0], devices[1], devices[2]
	old := b.id()
	secret, err := b.options.Keys.Load(t.Context(), old.String())
	must(t, err)
	a.revoke(c) // begins an epoch
	settle(a, b)
	moved := copyOf(b)
	b.close()
	moved.options.Keys = FileKeys(filepath.Join(t.TempDir(), "keys"))
	entry, err := crypto.ParseKeyEntry(secret)
	must(t, err)
	entry.Machine[0] ^= 1
	secret, err = entry.Encode()
	must(t, err)
	must(t, moved.options.Keys.Save(t.Context(), old.String(), secret))
	away := a.folder + ".away"
	must(t, os.Rename(a.folder, away))
	moved.open()
	moved.wantSucceeded(old)
	must(t, os.Rename(away, a.folder))
	moved.exec("INSERT INTO item VALUES ('1', 'of the copy', 1)")
	a.exec("INSERT INTO item VALUES ('2', 'of a', 1)")
	settle(moved, a)
	wantSame(t, []*testDevice{moved, a})
	a.wantValue("2", "SELECT count(*) FROM item")
	wantQuiet(t, moved, a)
}
