package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqlitesync/go/sqlitesync"
)

func TestHowFar(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]sqlitesync.Progress{
		"publishing: 5000 rows":                                         {Phase: sqlitesync.PhasePublishing, Rows: 5000},
		"merging [                    ] 0 of 64 files":                  {Phase: sqlitesync.PhaseMerging, Of: 64},
		"merging [=====               ] 16 of 64 files, about 30s left": {Phase: sqlitesync.PhaseMerging, Files: 16, Of: 64, Left: 30 * time.Second},
		"merging [====================] 70 of 64 files":                 {Phase: sqlitesync.PhaseMerging, Files: 70, Of: 64},
	} {
		if got := howFar(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What takes long shows one line on a terminal, which is gone at the end.
func TestProgress(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	tests := []struct {
		name    string
		streams streams
		far     string
		took    time.Duration
		want    string
	}{
		{"long", streams{errTerminal: true}, "", 1100 * time.Millisecond, "\r\x1b[Ksyncing … 1s merged device 4be1c07a batch 7" + "\r\x1b[Ksyncing … 1s merged device 4be1c07a batch 7" + "\r\x1b[K"},
		{"how far it has come", streams{errTerminal: true}, "merging [==] 1 of 2 files", 600 * time.Millisecond, "\r\x1b[Ksyncing … 1s merging [==] 1 of 2 files" + "\r\x1b[K"},
		{"short", streams{errTerminal: true}, "", 0, "\r\x1b[K"},
		{"no terminal", streams{}, "", 1100 * time.Millisecond, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errs strings.Builder
				a := &app{streams: test.streams}
				a.errs = &errs
				err := a.during("syncing", func() error {
					a.progress.reached(test.far)
					a.logger().Debug("merged", "device", "4be1c07a5e2f", "batch", 7, "other", "not shown")
					time.Sleep(test.took) // in the bubble's time
					return failed
				})
				if !errors.Is(err, failed) || errs.String() != test.want {
					t.Errorf("error %v, shown %q", err, errs.String())
				}
			})
		})
	}
}
