package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Every bug can be planted in the code as it is.
func TestMutationsFit(t *testing.T) {
	t.Parallel()
	met := make(map[string]bool)
	for _, m := range mutations {
		if met[m.bug] || m.right == m.wrong || len(m.tests) == 0 {
			t.Errorf("%s: it is listed twice, changes nothing, or no test is to notice it", m.bug)
		}
		met[m.bug] = true
		data, err := os.ReadFile(filepath.Join("../../../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte(m.right)); n != 1 {
			t.Errorf("%s: %s has %q %d times, want once", m.bug, m.file, m.right, n)
		}
	}
	if len(mutations) < 30 {
		t.Errorf("%d bugs, want at least 30", len(mutations))
	}
}
