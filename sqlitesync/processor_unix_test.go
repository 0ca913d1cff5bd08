//go:build unix

package sqlitesync

import (
	"syscall"
	"testing"
	"time"
)

// processorTime returns how long processors have worked for this process.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
