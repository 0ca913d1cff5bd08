package synctest_test

import (
	"fmt"

	"github.com/sqlitesync/go/sqlitesync"
	"github.com/sqlitesync/go/sqlitesync/synctest"
)

// Two devices of an app, first with nothing that goes wrong, then with all that can: in a test of yours, each seed is a subtest
// that fails with the error.
func Example() {
	notes := synctest.Schema("CREATE TABLE note (id TEXT PRIMARY KEY NOT NULL, text TEXT, stars INT DEFAULT 0)")
	for seed := range uint64(3) {
		err := synctest.Run(seed, func(w *synctest.World) {
			phone, laptop := w.Device(notes), w.Device(notes)
			if seed > 0 {
				w.Allow(synctest.Faults()...)
			}
			for range 10 {
				phone.Exec("INSERT INTO note (id, text) VALUES (?, 'written on the phone')", sqlitesync.NewKey())
				laptop.Exec("UPDATE note SET stars = stars + 1")
				w.Step()
			}
			w.Settle() // both show the same notes now
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
}
