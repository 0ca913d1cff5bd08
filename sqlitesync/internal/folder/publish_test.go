package folder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The happy path is the list of system calls in the comment of each durable step.
func TestSteps(t *testing.T) {
	write := []string{"create temporary", "write temporary", "sync temporary", "close temporary"}
	durable := func(directory string) []string {
		return []string{"open " + directory, "sync " + directory, "close " + directory}
	}
	segment := batch(1).String()
	for name, test := range map[string]struct {
		do   func(f *Folder) error
		want [][]string
	}{
		"segment": {
			func(f *Folder) error { return f.Own(alice).PublishSegment(batch(1), []byte("data")) },
			[][]string{write, {"link " + segment, "remove temporary"}, durable(alice)},
		},
		"head": {
			func(f *Folder) error { return f.Own(alice).ReplaceHead([]byte("data")) },
			[][]string{write, {"rename head"}, durable(alice)},
		},
		"record": {
			func(f *Folder) error { return f.Own(alice).PublishRecord(record, []byte("data")) },
			[][]string{{"mkdir roster"}, durable("."), write, {"link " + record, "remove temporary"}, durable("roster")},
		},
		"device": {
			func(f *Folder) error { return f.Own(bob).MakeDirectory() },
			[][]string{{"mkdir devices"}, durable("."), {"mkdir " + bob}, durable("devices")},
		},
		"removal": {
			func(f *Folder) error {
				if err := os.WriteFile(filepath.Join(f.Path(), "devices", alice, segment), nil, 0o600); err != nil {
					return err
				}
				return f.Own(alice).RemoveSegment(batch(1))
			},
			[][]string{{"remove " + segment, "remove ." + segment + ".icloud"}},
		},
		"withdrawal": {
			func(f *Folder) error { return f.Own(alice).RemoveInvite(invite) },
			[][]string{{"remove " + invite + ".age", "remove ." + invite + ".age.icloud"}, durable("invites")},
		},
	} {
		if !syncsDirectories {
			t.Skip("directories are not synced here")
		}
		f := openNew(t, alice)
		must(t, f.Own(alice).PublishInvite(invite, []byte("data")))
		disk := watchSteps(f)
		must(t, test.do(f))
		if want := slices.Concat(test.want...); !slices.Equal(disk.steps, want) {
			t.Errorf("%s: steps %q\nwant %q", name, disk.steps, want)
		}
	}
}

func TestTwin(t *testing.T) {
	f := openNew(t, alice, bob)
	for _, test := range []struct {
		name    string
		publish func(data string) error
		read    func() ([]byte, error)
	}{
		{"segment", func(data string) error { return f.Own(alice).PublishSegment(batch(1), []byte(data)) },
			func() ([]byte, error) { return f.ReadSegment(alice, batch(1), 100) }},
		{"record", func(data string) error { return f.Own(alice).PublishRecord(record, []byte(data)) },
			func() ([]byte, error) { return f.ReadRecord(record, 100) }},
		{"invite", func(data string) error { return f.Own(alice).PublishInvite(invite, []byte(data)) },
			func() ([]byte, error) { return f.ReadInvite(invite, 100) }},
	} {
		must(t, test.publish("data"))
		must(t, test.publish("data"))
		for _, other := range []string{"", "dat", "date", "data "} {
			if err := test.publish(other); !errors.Is(err, ErrTwin) {
				t.Errorf("%s: publishing %q: %v", test.name, other, err)
			}
		}
		if data, err := test.read(); err != nil || string(data) != "data" {
			t.Errorf("%s: read %q, %v", test.name, data, err)
		}
	}
	noTemporaries(t, f)
}

func noTemporaries(t *testing.T, f *Folder) {
	t.Helper()
	for name := range tree(t, f.Path()) {
		if strings.Contains(name, temporaryPrefix) {
			t.Errorf("%s is left", name)
		}
	}
}

// durableCalls are the calls that write, with the file that each is about.
var durableCalls = []struct {
	name, file, before string // before: the content that stands already
	call               func(f *Folder, data string) error
}{
	{"segment", "devices/" + alice + "/" + batch(1).String(), "",
		func(f *Folder, data string) error { return f.Own(alice).PublishSegment(batch(1), []byte(data)) }},
	{"segment that stands", "devices/" + alice + "/" + batch(1).String(), "data",
		func(f *Folder, data string) error { return f.Own(alice).PublishSegment(batch(1), []byte(data)) }},
	{"head", "devices/" + alice + "/head", "",
		func(f *Folder, data string) error { return f.Own(alice).ReplaceHead([]byte(data)) }},
	{"head that stands", "devices/" + alice + "/head", "before",
		func(f *Folder, data string) error { return f.Own(alice).ReplaceHead([]byte(data)) }},
	{"record", "roster/" + record, "",
		func(f *Folder, data string) error { return f.Own(alice).PublishRecord(record, []byte(data)) }},
	{"invite", "invites/" + invite + ".age", "",
		func(f *Folder, data string) error { return f.Own(alice).PublishInvite(invite, []byte(data)) }},
}

// Each step of each durable call fails once, in both forms: nothing was done, and it was done although it failed. A
// reader never sees half a file, no temporary file is left unless its removal failed, and the same call again succeeds.
func TestFailureAtEveryStep(t *testing.T) {
	for _, medium := range []string{"with hard links", "without hard links"} {
		for _, persisted := range []bool{false, true} {
			for _, durable := range durableCalls {
				for step := 0; ; step++ {
					f := openNew(t, alice)
					if durable.before != "" {
						must(t, durable.call(f, durable.before))
					}
					disk := watchSteps(f)
					failed := ""
					disk.fail = func(name string, perform func() error) error {
						if medium == "without hard links" && strings.HasPrefix(name, "link ") {
							return syscall.EPERM
						}
						if len(disk.steps) != step+1 {
							return perform()
						}
						failed = name
						if persisted {
							perform()
						}
						return syscall.EIO
					}
					err := durable.call(f, "data")
					if failed == "" {
						must(t, err)
						break
					}
					context := fmt.Sprintf("%s %s, %q fails (persisted: %v)", durable.name, medium, failed, persisted)
					content, stands := tree(t, f.Path())[durable.file]
					if stands && content != "data" && content != durable.before || !stands && durable.before != "" {
						t.Errorf("%s: a reader sees %q", context, content)
					}
					if err == nil && content != "data" {
						t.Errorf("%s: success, but the file is %q", context, content)
					}
					if strings.HasPrefix(failed, "sync ") && err == nil {
						t.Errorf("%s: success without durability", context)
					}
					if failed != "remove temporary" {
						noTemporaries(t, f)
					}
					disk.fail = nil
					if err := durable.call(f, "data"); err != nil {
						t.Errorf("%s: the second attempt: %v", context, err)
					}
					must(t, f.Own(alice).RemoveTemporaries())
					noTemporaries(t, f)
					if content := tree(t, f.Path())[durable.file]; content != "data" {
						t.Errorf("%s: after the second attempt the file is %q", context, content)
					}
				}
			}
		}
	}
}

// The process dies before or after each step. The next one cleans up and repeats the call.
func TestCrashAtEveryStep(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, durable := range durableCalls {
			for step := 0; ; step++ {
				f := openNew(t, alice)
				if durable.before != "" {
					must(t, durable.call(f, durable.before))
				}
				crashed := crash(t, f, step, after, func() error { return durable.call(f, "data") })
				if !crashed {
					break
				}
				content, stands := tree(t, f.Path())[durable.file]
				if stands && content != "data" && content != durable.before || !stands && durable.before != "" {
					t.Errorf("%s, crash at step %d: a reader sees %q", durable.name, step, content)
				}
				again := open(t, f.Path())
				must(t, again.Own(alice).RemoveTemporaries())
				noTemporaries(t, again)
				must(t, durable.call(again, "data"))
				if content := tree(t, f.Path())[durable.file]; content != "data" {
					t.Errorf("%s, crash at step %d: then the file is %q", durable.name, step, content)
				}
			}
		}
	}
}

// crash runs call and stops the process, so to speak, at one of its steps: none of the later ones is taken. It reports
// whether call came so far.
func crash(t *testing.T, f *Folder, step int, after bool, call func() error) (crashed bool) {
	t.Helper()
	disk := watchSteps(f)
	disk.fail = func(_ string, perform func() error) error {
		switch {
		case crashed:
		case len(disk.steps) != step+1:
			return perform()
		default:
			crashed = true
			if after {
				_ = perform()
			}
		}
		return syscall.EIO
	}
	if err := call(); !crashed {
		must(t, err)
	}
	return crashed
}

// On a medium without hard links a file that stands is not replaced either.
func TestTwinWithoutHardLinks(t *testing.T) {
	for _, refusal := range []error{syscall.EPERM, syscall.ENOSYS, errors.ErrUnsupported, syscall.EXDEV, syscall.EACCES} {
		f := openNew(t, alice)
		disk := watchSteps(f)
		disk.fail = func(step string, perform func() error) error {
			if strings.HasPrefix(step, "link ") {
				return refusal
			}
			return perform()
		}
		must(t, f.Own(alice).PublishSegment(batch(1), []byte("data")))
		must(t, f.Own(alice).PublishSegment(batch(1), []byte("data")))
		wantError(t, f.Own(alice).PublishSegment(batch(1), []byte("other")), ErrTwin)
		if data, err := f.ReadSegment(alice, batch(1), 100); err != nil || string(data) != "data" {
			t.Errorf("read %q, %v", data, err)
		}
		noTemporaries(t, f)
	}
}

func TestRemoveTemporariesGoesOn(t *testing.T) {
	f := openNew(t, alice)
	stuck := newTemporaryName()
	put(t, f, "devices/"+alice+"/"+stuck, "")
	for range 5 {
		put(t, f, "devices/"+alice+"/"+newTemporaryName(), "")
	}
	must(t, os.Mkdir(filepath.Join(f.Path(), "devices", alice, newTemporaryName()), 0o755))
	disk := watchSteps(f)
	calls := 0
	disk.fail = func(step string, perform func() error) error {
		if step == "remove temporary" {
			if calls++; calls == 2 {
				return syscall.EACCES
			}
		}
		return perform()
	}
	wantError(t, f.Own(alice).RemoveTemporaries(), syscall.EACCES)
	if calls != 6 {
		t.Errorf("%d removals, want 6", calls)
	}
	left := len(tree(t, f.Path())) - 3 // the folder, devices, the device
	if left != 2 {
		t.Errorf("%d temporaries are left, want the one that failed and the directory", left)
	}
}

// Publishing from several goroutines, also of one name, ends in one file with the bytes of one of them.
func TestConcurrentPublish(t *testing.T) {
	f := openNew(t, alice)
	var wait sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wait.Go(func() {
			must := func(err error) {
				if err != nil {
					t.Error(err)
				}
			}
			results[i] = f.Own(alice).PublishSegment(batch(1), fmt.Append(nil, i%2))
			must(f.Own(alice).PublishSegment(batch(uint64(i)+2), []byte("own")))
			must(f.Own(alice).ReplaceHead([]byte("head")))
			must(f.Own(alice).PublishRecord(record, []byte("record")))
			_, err := f.List(alice)
			must(err)
		})
	}
	wait.Wait()
	data, err := f.ReadSegment(alice, batch(1), 1)
	must(t, err)
	for i, result := range results {
		if same := string(data) == fmt.Sprint(i%2); same != (result == nil) || !same && !errors.Is(result, ErrTwin) {
			t.Errorf("the file is %q, and publishing %d gave %v", data, i%2, result)
		}
	}
	listing, err := f.List(alice)
	if err != nil || len(listing.Segments) != 9 || listing.Foreign != nil {
		t.Errorf("listing %+v, %v", listing, err)
	}
	noTemporaries(t, f)
}
