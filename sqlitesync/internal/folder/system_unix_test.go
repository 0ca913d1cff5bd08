//go:build unix

package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestReason(t *testing.T) {
	if got := Reason(nil); got != "" {
		t.Errorf("no error: %q", got)
	}
	if got := Reason(io.ErrUnexpectedEOF); got != "" {
		t.Errorf("an error of others: %q", got)
	}
	_, missing := Open(filepath.Join(t.TempDir(), "absent"))
	wrap := func(err error) error {
		return fmt.Errorf("publish: %w", &fs.PathError{Op: "openat", Path: "x", Err: err})
	}
	for text, err := range map[string]error{
		"is not there":    missing,
		"no space left":   wrap(syscall.ENOSPC),
		"only be read":    wrap(syscall.EROFS),
		"not permitted":   wrap(fs.ErrPermission),
		"busy":            wrap(syscall.EBUSY),
		"plain file":      wrap(ErrNotRegular),
		"sqlitesync.json": wrap(ErrMarker),
	} {
		if got := Reason(err); !strings.Contains(got, text) || !strings.HasSuffix(got, ".") {
			t.Errorf("Reason(%v) = %q, want something with %q", err, got, text)
		}
	}
}

// A medium that has no way to make things durable is no error, one that fails to is.
func TestSyncErrors(t *testing.T) {
	for _, test := range []struct {
		err  error
		fine bool
	}{
		{errors.ErrUnsupported, true}, {syscall.EINVAL, true}, {syscall.ENOSYS, true},
		{syscall.EIO, false}, {syscall.ENOSPC, false},
	} {
		for _, what := range []string{"sync temporary", "sync " + alice} {
			f := openNew(t, alice)
			disk := watchSteps(f)
			synced := false
			disk.fail = func(step string, perform func() error) error {
				if step == what {
					synced = true
					return &fs.PathError{Op: "sync", Path: "x", Err: test.err}
				}
				return perform()
			}
			err := f.Own(alice).PublishSegment(batch(1), []byte("data"))
			if !synced {
				t.Fatalf("no %s", what)
			}
			if test.fine && err != nil || !test.fine && !errors.Is(err, test.err) {
				t.Errorf("%s says %v: %v", what, test.err, err)
			}
		}
	}
}

// A medium that is read-only, full or not ours to write is told as such, and nothing is left on it.
func TestUnwritable(t *testing.T) {
	for failing, causes := range map[string][]error{
		"create temporary": {syscall.EROFS, syscall.EACCES},
		"write temporary":  {syscall.ENOSPC, syscall.EIO},
		"close temporary":  {syscall.ENOSPC},
	} {
		for _, cause := range causes {
			f := openNew(t, alice)
			before := fmt.Sprint(tree(t, f.Path()))
			disk := watchSteps(f)
			disk.fail = func(step string, perform func() error) error {
				if step == failing {
					return cause
				}
				return perform()
			}
			err := f.Own(alice).PublishSegment(batch(1), []byte("data"))
			wantError(t, err, cause)
			if Reason(err) == "" && cause != syscall.EIO {
				t.Errorf("no reason for %v", err)
			}
			wantError(t, f.Own(alice).ReplaceHead([]byte("data")), cause)
			if after := fmt.Sprint(tree(t, f.Path())); after != before {
				t.Errorf("before %s\nafter %s", before, after)
			}
		}
	}
}

// Another program holds the file for a while, or for good.
func TestBusy(t *testing.T) {
	for _, holds := range []time.Duration{0, 100 * time.Millisecond, 500 * time.Millisecond, time.Hour} {
		f := openNew(t, alice)
		must(t, f.Own(alice).ReplaceHead([]byte("before")))
		must(t, f.Own(alice).PublishInvite(invite, nil))
		synctest.Test(t, func(t *testing.T) {
			disk := watchSteps(f)
			begin := time.Now()
			disk.fail = func(step string, perform func() error) error {
				if (step == "rename head" || step == "remove "+invite+".age") && time.Since(begin) < holds {
					return &fs.PathError{Op: "rename", Path: "x", Err: syscall.EBUSY}
				}
				return perform()
			}
			replaced := f.Own(alice).ReplaceHead([]byte("after"))
			took := time.Since(begin)
			begin = time.Now()
			removed := f.Own(alice).RemoveInvite(invite)
			if holds == time.Hour {
				if !busy(replaced) || !busy(removed) {
					t.Errorf("held for good: %v, %v", replaced, removed)
				}
				if took < 500*time.Millisecond || took > 2*time.Second {
					t.Errorf("gave up after %v", took)
				}
				if content := tree(t, f.Path())["devices/"+alice+"/head"]; content != "before" {
					t.Errorf("the head is %q", content)
				}
				noTemporaries(t, f)
				return
			}
			if replaced != nil || removed != nil {
				t.Errorf("held for %v: %v, %v", holds, replaced, removed)
			}
		})
	}
}

// A scanner that looks at a temporary file for a moment leaves none behind: a process that runs for months removes what crashes left
// only when it begins.
func TestABusyTemporaryIsRemoved(t *testing.T) {
	f := openNew(t, alice)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		watchSteps(f).fail = func(step string, perform func() error) error {
			if step == "remove temporary" && time.Since(begin) < 100*time.Millisecond {
				return &fs.PathError{Op: "unlink", Path: "x", Err: syscall.EBUSY}
			}
			return perform()
		}
		must(t, f.Own(alice).PublishSegment(batch(1), []byte("data")))
		noTemporaries(t, f)
	})
}
