package segment

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sqlitesync/go/changelog"
)

var update = flag.Bool("update", false, "write the golden vectors")

const vectorDirectory = "../../testdata/vectors/segment"

// A vector is a file for every implementation of the format: a head of lines
// "key: value", an empty line, then the bytes. README.txt beside the files
// explains the keys.
type vector struct {
	name    string
	comment string
	packed  bool   // the bytes are a packed body (8.1), else a body (8.2)
	reason  string // why Decode or Unpack rejects it, "" if it is good
	bytes   []byte

	first, last uint64 // of the header, for a body
}

func (v *vector) fileName() string {
	if v.reason == "" {
		return "good-" + v.name + ".txt"
	}
	return "bad-" + v.name + ".txt"
}

// file returns what stands in the file. Its head has only text that follows
// from the vector, so that it can be compared byte for byte.
func (v *vector) file() ([]byte, error) {
	var head strings.Builder
	line := func(key, format string, values ...any) {
		fmt.Fprintf(&head, "%s: %s\n", key, fmt.Sprintf(format, values...))
	}
	line("comment", "%s", v.comment)
	if v.reason == "" {
		line("expect", "ok")
	} else {
		line("expect", "damaged")
		line("reason", "%s", v.reason)
	}
	if v.packed {
		line("form", "packed")
		if v.reason == "" {
			body, err := Unpack(v.bytes)
			if err != nil {
				return nil, err
			}
			line("body", "%x", sha256.Sum256(body))
		}
	} else {
		line("form", "body")
		line("author", "%s", deviceA)
		line("first", "%d", v.first)
		line("last", "%d", v.last)
		if v.reason == "" {
			s, err := Decode(v.bytes, deviceA, v.first, v.last)
			if err != nil {
				return nil, err
			}
			describe(s, line)
		}
	}
	return append([]byte(head.String()+"\n"), v.bytes...), nil
}

// describe writes what a reader must find in a good body, short of the values,
// which the images stand for.
func describe(s *Segment, line func(key, format string, values ...any)) {
	for _, b := range s.Batches {
		var seen []string
		for device, batch := range b.Seen {
			seen = append(seen, fmt.Sprintf("%s=%d", device, batch))
		}
		slices.Sort(seen)
		line("batch", "%d continued=%t seen %s", b.Number, b.Continued, strings.Join(seen, " "))
	}
	for _, p := range s.Pieces {
		line("piece", "%x offset=%d length=%d", p.Hash, p.Offset, len(p.Bytes))
	}
	full := func(at changelog.Stamp) string { return fmt.Sprintf("%d/%s/%d", at.Time, at.Device, at.Batch) }
	for i := range s.Changes {
		c := &s.Changes[i]
		image := "none before its values are joined"
		if !slices.ContainsFunc(c.Values, func(v changelog.Value) bool { _, ok := v.(Ref); return ok }) {
			image = fmt.Sprintf("%x", c.Image())
		}
		line("change", "kind=%d table=%q stamp=%s birth=%s image=%s", c.Shape.Kind, c.Shape.Table, full(c.Stamp), full(c.Birth), image)
	}
}

// TestVectors checks that the golden files are what this file makes, byte for
// byte, and that Decode and Unpack judge them as they say.
func TestVectors(t *testing.T) {
	names := map[string]bool{"README.txt": true}
	for _, v := range vectors(t) {
		name := v.fileName()
		if names[name] {
			t.Fatalf("two vectors %s", name)
		}
		names[name] = true
		t.Run(name, func(t *testing.T) {
			v.check(t)
			want, err := v.file()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(vectorDirectory, name)
			if *update {
				if err := os.WriteFile(path, want, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the file differs from what this test makes: the format changed, or the generator did")
			}
		})
	}
	entries, err := os.ReadDir(vectorDirectory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !names[entry.Name()] {
			t.Errorf("nothing makes %s", entry.Name())
		}
	}
}

func (v *vector) check(t *testing.T) {
	t.Helper()
	var err error
	if v.packed {
		_, err = Unpack(v.bytes)
	} else {
		var s *Segment
		if s, err = Decode(v.bytes, deviceA, v.first, v.last); err == nil {
			again, err := Encode(s)
			if err != nil || !bytes.Equal(again, v.bytes) {
				t.Errorf("encoded again, the body differs; error %v", err)
			}
		}
	}
	switch {
	case v.reason == "" && err != nil:
		t.Error(err)
	case v.reason != "" && !errors.Is(err, ErrDamaged):
		t.Errorf("error %v, want one that wraps ErrDamaged", err)
	case v.reason != "" && !strings.HasSuffix(err.Error(), ": "+v.reason):
		t.Errorf("error %v, want %q", err, v.reason)
	}
}
