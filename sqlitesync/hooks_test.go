package sqlitesync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"modernc.org/sqlite"
)

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
			heard := make(map[string]bool)
			for _, d := range []*testDevice{a, b} {
				d.db.SetMaxOpenConns(1)
				d.exec("SELECT 1")                                                                     // the app's own connection has none of these hooks
				sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, dsn string) error { // for good: the driver forgets none
					if !strings.Contains(dsn, filepath.ToSlash(strings.TrimPrefix(d.path, os.TempDir()))) {
						return nil
					}
					return register(conn, func(what string) { heard[what] = true })
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
			if len(heard) > 0 {
				t.Errorf("the app hears of what is sync's: %v", heard)
			}
		})
	}
}
