package folder

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// stall lets the opening of some files stand still until the channel is closed.
func stall(f *Folder, names ...string) (release func()) {
	released := make(chan struct{})
	f.Interpose(func(step string, perform func() error) error {
		for _, name := range names {
			if step == "open "+name {
				<-released
			}
		}
		return perform()
	})
	return func() { close(released) }
}

// A read that stands still is left to itself, keeps nobody else, and is not begun again before it has ended.
func TestSlowReads(t *testing.T) {
	slow := &SlowReads{Patience: leastPatience}
	f := openNew(t, alice, bob)
	must(t, f.Own(alice).PublishSegment(batch(1), []byte("first")))
	must(t, f.Own(alice).PublishSegment(batch(2), []byte("second")))
	must(t, f.Own(alice).ReplaceHead([]byte("head")))
	f.remember(slow)
	release := stall(f, batch(1).String(), bob)

	_, err := f.ReadSegment(alice, batch(1), 100)
	wantError(t, err, ErrSlow)
	if Reason(err) == "" {
		t.Error("no reason for the person")
	}
	_, err = f.List(bob)
	wantError(t, err, ErrSlow)
	listings, failed := f.ListAll([]string{alice, bob})
	must(t, failed[0])
	wantError(t, failed[1], ErrSlow)
	if n := len(listings[0].Segments); n != 2 {
		t.Errorf("%d segments are listed", n)
	}
	data, err := f.ReadSegment(alice, batch(2), 100)
	must(t, err)
	if string(data) != "second" {
		t.Errorf("read %q", data)
	}

	next := open(t, f.Path()) // the next pass
	next.remember(slow)
	opened := 0
	next.Interpose(func(_ string, perform func() error) error {
		opened++
		return perform()
	})
	for range 3 {
		_, err = next.ReadSegment(alice, batch(1), 100)
		wantError(t, err, ErrSlow)
		_, _, err = next.PeekSegment(alice, batch(1), 100)
		wantError(t, err, ErrSlow)
	}
	if opened > 0 {
		t.Errorf("the file was opened %d times", opened)
	}
	release()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if data, err = next.ReadSegment(alice, batch(1), 100); err == nil || time.Since(start) > 10*time.Second {
			break
		}
	}
	must(t, err)
	if string(data) != "first" {
		t.Errorf("read %q", data)
	}
	_, err = next.List(bob)
	for start := time.Now(); err != nil && time.Since(start) < 10*time.Second; time.Sleep(time.Millisecond) {
		_, err = next.List(bob)
	}
	must(t, err)
}

// A drive that delivers a file bit by bit is slow, and not still.
func TestAReadThatGetsOnIsWaitedFor(t *testing.T) {
	f := openNew(t, alice)
	content := make([]byte, 8*maxPiece)
	must(t, f.Own(alice).PublishSegment(batch(1), content))
	f.remember(&SlowReads{Patience: time.Second})
	f.disk = drippingDisk{f.disk}
	data, err := f.ReadSegment(alice, batch(1), int64(len(content)))
	must(t, err)
	if len(data) != len(content) {
		t.Errorf("%d bytes", len(data))
	}
}

type drippingDisk struct{ disk }

type drippingFile struct{ file }

func (d drippingDisk) OpenFile(name string, flag int, perm os.FileMode) (file, error) {
	opened, err := d.disk.OpenFile(name, flag, perm)
	return drippingFile{opened}, err
}

func (f drippingFile) Read(data []byte) (int, error) {
	time.Sleep(150 * time.Millisecond) // eight times, and once for the end: more than the patience
	return f.file.Read(data)
}

// A drive that does not answer keeps nobody for longer than a read that stands still.
func TestADriveThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	slow := &SlowReads{Patience: leastPatience}
	path, released := t.TempDir(), make(chan struct{})
	try := func() error {
		f := &Folder{path: path}
		f.remember(slow)
		return f.open(func(path string) (disk, error) {
			<-released
			return openRoot(path)
		})
	}
	wantError(t, try(), ErrSlow)
	_, err := slow.Open(path)
	wantError(t, err, ErrSlow)
	close(released)
	for err != nil {
		var f *Folder
		if f, err = slow.Open(path); err == nil {
			must(t, f.Close())
		} else {
			wantError(t, err, ErrSlow)
			runtime.Gosched()
		}
	}
}
