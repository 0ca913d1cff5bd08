package synctest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// spoilt is a file in one device's folder that is not as the courier knows it, until a later step.
type spoilt struct {
	until time.Time
	stub  string      // a name that stands in its place, or ""
	left  fs.FileInfo // what was put in its place; nil: nothing
}

// spoil lets things happen to single files of a device's folder, and mends what is over.
func (w *World) spoil(d *Device) {
	for _, name := range sortedKeys(d.lost) {
		if w.calm || !w.now.Before(d.lost[name].until) {
			w.mend(d, name)
		}
	}
	if w.calm {
		return
	}
	const once = 40
	name, ok := w.anyFile(d)
	if !ok {
		return
	}
	data := w.courier.content(name)
	for _, f := range []Fault{Truncate, GrowFromEmpty, Zeros, Evict, Symlink, Pipe, CaseRename, CopyOnly} {
		if w.happens(f, once) {
			w.hide(d, name, data, f)
			return
		}
	}
	for _, f := range conflictCopies {
		if w.happens(f, once) {
			d.put(w.copyName(name, f), w.otherVersion(name, data))
		}
	}
	if w.happens(Duplicate, once) {
		d.put(name+" (1)", data)
	}
	if w.happens(CopyDirectory, once) {
		d.put(path.Dir(name)+" (conflicted copy 2050-01-01)/"+path.Base(name), data)
	}
	if w.happens(Touch, once) {
		at := time.Unix(w.Int64N(4e9), 0)
		w.unlessGone(os.Chtimes(d.path(name), at, at))
	}
	if w.happens(Junk, once) {
		w.leaveJunk(d, path.Dir(name))
	}
	if w.happens(Temporary, once) {
		d.put(path.Join(path.Dir(name), []string{"~syncthing~head.tmp", ".~sqs-0123456789abcdef.tmp", "head.part"}[w.IntN(3)]), data)
	}
	w.spoilEverywhere(d, name)
}

// anyFile chooses a file of the space's that stands in the folder as the courier has brought it.
func (w *World) anyFile(d *Device) (string, bool) {
	var names []string
	for name, k := range d.known {
		if _, spoilt := d.lost[name]; k.info != nil && !spoilt && ours.MatchString(name) && k.version == w.courier.files[name].newest() {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", false
	}
	slices.Sort(names)
	return names[w.IntN(len(names))], true
}

// content returns the newest version of a file.
func (c courier) content(name string) []byte {
	f := c.files[name]
	return f.version(f.newest())
}

// hide spoils a file in this folder until some seconds have passed. The sync client knows that the file is not complete.
func (w *World) hide(d *Device, name string, data []byte, how Fault) {
	if info, err := os.Lstat(d.path(name)); err != nil || !unchanged(info, d.known[name].info) {
		return // the app has just written it
	}
	s := spoilt{until: w.now.Add(time.Duration(w.IntN(120)) * time.Second)}
	base, dir := path.Base(name), path.Dir(name)
	switch how {
	case Truncate:
		d.put(name, data[:w.IntN(len(data)+1)])
	case GrowFromEmpty:
		d.put(name, nil)
	case Zeros:
		d.put(name, make([]byte, len(data)))
	case Evict:
		s.stub = path.Join(dir, "."+base+".icloud")
	case CaseRename:
		s.stub = path.Join(dir, strings.ToUpper(base))
	case CopyOnly:
		s.stub = w.copyName(name, conflictCopies[w.IntN(len(conflictCopies))])
	case Symlink:
		w.unlessGone(os.Remove(d.path(name)))
		w.must(os.Symlink(filepath.Join(d.dir, "elsewhere"), d.path(name)))
		w.must(os.WriteFile(filepath.Join(d.dir, "elsewhere"), data, 0o600))
	case Pipe:
		w.unlessGone(os.Remove(d.path(name)))
		w.must(makePipe(d.path(name)))
	}
	if s.stub != "" {
		if _, err := os.Lstat(d.path(s.stub)); err == nil {
			return // somebody else's, or there is no upper case of this name
		}
		w.unlessGone(os.Remove(d.path(name)))
		d.put(s.stub, map[bool][]byte{false: data, true: []byte("stub")}[how == Evict])
		d.lost[s.stub] = s
	} else {
		var err error
		s.left, err = os.Lstat(d.path(name))
		w.unlessGone(err)
	}
	d.lost[name] = s
}

// mend ends what has happened to a file. If the app has done something about it meanwhile, that stays.
func (w *World) mend(d *Device, name string) {
	s := d.lost[name]
	delete(d.lost, name)
	if s.stub == name {
		w.unlessGone(os.Remove(d.path(name)))
		return
	}
	info, err := os.Lstat(d.path(name))
	if (err == nil) != (s.left != nil) || err == nil && !unchanged(info, s.left) {
		return
	}
	w.must(os.RemoveAll(d.path(name)))
	w.deliver(d, name)
}

// spoilEverywhere lets things happen to a file at the service itself.
func (w *World) spoilEverywhere(d *Device, name string) {
	const once = 60
	remote := w.courier.files[name]
	switch {
	case remote.newest() > 1 && w.happens(Revert, once):
		if old := w.otherVersion(name, nil); len(old) > 0 {
			w.courier.undo(name, old)
		}
	case w.deletable(name) && w.happens(Delete, once):
		w.courier.undo(name, nil)
	case w.deletable(name) && w.happens(DeleteDevice, once):
		for other := range w.courier.files {
			if path.Dir(other) == path.Dir(name) && ours.MatchString(other) {
				w.courier.undo(other, nil)
			}
		}
	case w.happens(Resurrect, once):
		for _, other := range sortedKeys(w.courier.files) {
			f := w.courier.files[other]
			if n := f.newest(); n > 1 && f.version(n) == nil && w.IntN(3) == 0 {
				f.add(f.version(n - 1))
			}
		}
	}
}

// deletable reports whether a file may be deleted: one of a device, and not more than twice in a run, because a device makes
// its files again only so often. What must be brought back from the service's history is not what a test waits for.
func (w *World) deletable(name string) bool {
	return strings.HasPrefix(name, "devices/") && w.hits[Delete]+w.hits[DeleteDevice] < 2
}

// otherVersion returns some version of a file, or the data if there is none.
func (w *World) otherVersion(name string, data []byte) []byte {
	versions := w.courier.files[name].versions
	if old := versions[w.IntN(len(versions))]; old != nil {
		return old
	}
	return data
}

// leaveJunk puts a file of somebody else into the folder, which nobody may touch.
func (w *World) leaveJunk(d *Device, dir string) {
	name := path.Join(dir, []string{"notes.txt", "desktop.ini", ".DS_Store", "000000000001-000000000001-000g.seg", "HEAD"}[w.IntN(5)])
	elsewhere := func(other *Device) bool { return other.junk[name] != "" } // and on its way here
	if _, err := os.Lstat(d.path(name)); errors.Is(err, fs.ErrNotExist) && w.courier.files[name] == nil && !slices.ContainsFunc(w.devices, elsewhere) {
		d.junk[name] = fmt.Sprint("of somebody else ", w.Uint64())
		d.put(name, []byte(d.junk[name]))
	}
}

// copyName returns what a client calls a copy of a file that was changed in two places.
func (w *World) copyName(name string, client Fault) string {
	extension := path.Ext(name)
	stem := strings.TrimSuffix(name, extension)
	middle := map[Fault]string{
		CopyDropbox:   " (laptop's conflicted copy 2050-01-02)",
		CopySyncthing: ".sync-conflict-20500102-030405-ABCDEFG",
		CopyOneDrive:  "-LAPTOP",
		CopyGoogle:    " (1)",
		CopyICloud:    " 2",
		CopyNextcloud: " (conflicted copy 2050-01-02 030405)",
		CopySeafile:   " (SFConflict anna@example.com 2050-01-02-03-04-05)",
	}[client]
	return stem + middle + extension
}

// away is what has happened to a folder as a whole.
type away struct {
	fault Fault
	until time.Time
}

// errReadOnly is what systems say of a medium that can only be read.
var errReadOnly = syscall.EROFS

var readOnlyVerbs = []string{"create", "write", "sync", "link", "rename", "remove", "mkdir"}

// troubleFolder lets something happen to a device's folder, or ends it.
func (w *World) troubleFolder(d *Device) {
	if d.away != nil {
		if w.calm || !w.now.Before(d.away.until) {
			w.bringBack(d)
		}
		return
	}
	const once = 60
	for _, f := range []Fault{Emptied, Unmounted, Swapped, ReadOnly} {
		if !w.happens(f, once) {
			continue
		}
		d.away = &away{f, w.now.Add(time.Duration(w.IntN(180)) * time.Second)}
		if f == ReadOnly {
			return
		}
		w.must(os.Rename(d.Folder(), d.dir+"/aside"))
		if f != Unmounted {
			w.must(os.Mkdir(d.Folder(), 0o700))
		}
		if f == Swapped {
			w.must(os.WriteFile(d.path("sqlitesync.json"), []byte(`{"format":1,"space":"`+strings.Repeat("ab", 32)+`"}`), 0o600))
		}
		return
	}
}

// bringBack ends what has happened to the folder. Nothing may have been written into what stood in its place.
func (w *World) bringBack(d *Device) {
	if d.away.fault != ReadOnly {
		entries, err := os.ReadDir(d.Folder())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.must(err)
		}
		for _, entry := range entries {
			if entry.Name() != "sqlitesync.json" {
				w.Fatalf("%s: wrote %s although %s", d.name, entry.Name(), d.away.fault)
			}
		}
		w.must(os.RemoveAll(d.Folder()))
		w.must(os.Rename(d.dir+"/aside", d.Folder()))
	}
	d.away = nil
}
