package sqlitesync

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"modernc.org/sqlite"
)

// connectionHooks holds what apps run on each new connection of the driver to their databases, by the ends of the paths of these. The
// driver forgets no hook, and reads its list without a lock: TestMain registers one, which looks here.
var connectionHooks sync.Map

func runConnectionHook(conn sqlite.ExecQuerierContext, dsn string) (err error) {
	connectionHooks.Range(func(path, hook any) bool {
		ours := strings.Contains(dsn, path.(string))
		if ours {
			err = hook.(func(sqlite.ExecQuerierContext) error)(conn)
		}
		return !ours
	})
	return err
}

// onEachConnection runs hook on each connection of the driver to d's database that is opened before the test ends.
func (d *testDevice) onEachConnection(hook func(sqlite.ExecQuerierContext) error) {
	path := filepath.ToSlash(strings.TrimPrefix(d.path, os.TempDir())) // which can be a link
	connectionHooks.Store(path, hook)
	d.tb.Cleanup(func() { connectionHooks.Delete(path) })
}

// Hooks that the app registers with the driver are for what the app does: sync's own connections have none of them.
func TestHooksThatTheAppRegistersForTheWholeDriver(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(conn any, heard func(string)) error{
		"authorizer": func(conn any, heard func(string)) error {
			return conn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(func(sqlite.AuthorizerActionCode, string, string, string, string) sqlite.AuthorizerReturnCode {
				heard("a statement is compiled")
				return sqlite.AuthorizerDeny
			})
		},
		"commit": func(conn any, heard func(string)) error {
			conn.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
				heard("a commit")
				return 1
			})
			return nil
		},
		"rollback": func(conn any, heard func(string)) error {
			conn.(sqlite.HookRegisterer).RegisterRollbackHook(func() { heard("a rollback") })
			return nil
		},
		"update": func(conn any, heard func(string)) error {
			conn.(sqlite.HookRegisterer).RegisterPreUpdateHook(func(update sqlite.SQLitePreUpdateData) { heard("a write to " + update.TableName) })
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newTestDevice(t, itemSchema), newTestDevice(t, itemSchema)
			var heard sync.Map
			for _, d := range []*testDevice{a, b} {
				d.db.SetMaxOpenConns(1)
				d.exec("SELECT 1") // the app's own connection has none of these hooks
				d.onEachConnection(func(conn sqlite.ExecQuerierContext) error {
					return register(conn, func(what string) { heard.Store(what, true) })
				})
			}
			a.create(t.TempDir())
			b.join(a.folder, a.invite())
			a.exec("INSERT INTO item VALUES ('1', 'a', 0), ('2', 'a', 1)")
			settle(a, b)
			a.exec("UPDATE item SET name = 'edited on a' WHERE id = '1'; DELETE FROM item WHERE id = '2'")
			b.exec("UPDATE item SET name = 'edited on b' WHERE id = '1'; CREATE UNIQUE INDEX i ON item (n)")
			settle(a, b)
			wantSame(t, []*testDevice{a, b})
			if len(a.conflicts()) != 1 || len(b.held()) != 0 {
				t.Errorf("conflicts %v, held %v", a.conflicts(), b.held())
			}
			b.wantVerified()
			wantQuiet(t, a, b)
			heard.Range(func(what, _ any) bool {
				t.Errorf("the app hears of what is sync's: %v", what)
				return true
			})
		})
	}
}
