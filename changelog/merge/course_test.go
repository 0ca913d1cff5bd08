package merge_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

// A course is what random histories of one table, and of several that refer to one another, have in common.
type course struct {
	t      *testing.T
	random *rand.Rand
	logs   map[changelog.DeviceID][]*changelog.Batch
}

func newCourse(t *testing.T, seed, stream uint64) course {
	return course{t, rand.New(rand.NewPCG(seed, stream)), make(map[changelog.DeviceID][]*changelog.Batch)}
}

func (c *course) logf(format string, args ...any) {
	c.t.Helper()
	if testing.Verbose() {
		c.t.Logf(format, args...)
	}
}

func (d *device) name() string { return strings.TrimRight(string(d.id[:]), "\x00") }

// anyBatch picks a batch that a device has not merged: the next of some other device.
func (c *course) anyBatch(d *device, seen changelog.Vector) *changelog.Batch {
	var next []*changelog.Batch
	for _, author := range slices.SortedFunc(maps.Keys(c.logs), func(a, b changelog.DeviceID) int { return strings.Compare(a.String(), b.String()) }) {
		if log := c.logs[author]; author != d.id && seen[author] < uint64(len(log)) {
			next = append(next, log[seen[author]])
		}
	}
	if len(next) == 0 {
		return nil
	}
	return next[c.random.IntN(len(next))]
}

// compare holds what a device has against what the oracle says.
func (c *course) compare(d *device, what string, got, want map[string]string) {
	c.t.Helper()
	if maps.Equal(got, want) {
		return
	}
	c.t.Errorf("%s has other %s than the oracle", d.name(), what)
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if got[key] != want[key] {
			c.t.Errorf("\t%q: %s, want %q", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if _, there := got[key]; !there {
			c.t.Errorf("\t%q: missing, want %s", key, want[key])
		}
	}
}
