package synctest

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A courier is what a file-sync service keeps: of each name all versions that it was sent.
type courier struct {
	files  map[string]*file
	undone map[string]undone // what faults have deleted, or put back to an older state
}

// undone is a file as it was before a fault, and as the fault has left it, nil if it was deleted.
type undone struct{ before, after []byte }

func newCourier() courier { return courier{make(map[string]*file), make(map[string]undone)} }

// undo makes a file what it was, everywhere once it is carried; nil deletes it.
func (c courier) undo(name string, to []byte) {
	if before := c.content(name); before != nil {
		c.undone[name] = undone{before, to}
		c.files[name].add(to)
	}
}

// lacks reports whether a file is still as a fault has left it.
func (c courier) lacks(name string) bool {
	now, after := c.content(name), c.undone[name].after
	return (now == nil) == (after == nil) && bytes.Equal(now, after)
}

// lacksAny reports whether any file is.
func (c courier) lacksAny() bool {
	return slices.ContainsFunc(sortedKeys(c.undone), c.lacks)
}

// bringBack brings back what faults have undone and nobody has made again, as people do from a service's history.
func (c courier) bringBack() {
	for name, u := range c.undone {
		if c.lacks(name) {
			c.files[name].add(u.before)
		}
	}
}

// A file is a name that the service has. Version n is versions[n-1]; one that is nil says that the file was deleted.
type file struct{ versions [][]byte }

func (f *file) newest() int           { return len(f.versions) }
func (f *file) version(n int) []byte  { return f.versions[n-1] }
func (f *file) add(data []byte) int   { f.versions = append(f.versions, data); return f.newest() }
func (f *file) same(data []byte) bool { return bytes.Equal(f.version(f.newest()), data) }

// known is what the sync client of a device remembers of a name.
type known struct {
	version int
	info    fs.FileInfo // of the file as the client has left it; nil: there is none
}

// carry runs the sync client of a device once: what has changed in its folder goes to the service, and what has changed there
// comes, one name at a time, as long as nothing goes wrong.
func (w *World) carry(d *Device) {
	if d.away != nil && d.away.fault != ReadOnly {
		return // the client has stopped: the folder is not the one that it knows
	}
	w.spoil(d)
	local := d.files()
	names := maps.Clone(local)
	for name := range w.courier.files {
		names[name] = local[name]
	}
	sorted := slices.Sorted(maps.Keys(names))
	if len(sorted) > 0 && w.happens(Reorder, 15) {
		sorted = sorted[w.IntN(len(sorted)):]
	}
	for _, name := range sorted {
		if _, spoilt := d.lost[name]; spoilt || w.happens(Delay, 15) {
			continue
		}
		w.carryOne(d, name, local[name])
	}
}

// carryOne makes one name the same here and there. info is that of the file here, nil if there is none.
func (w *World) carryOne(d *Device, name string, info fs.FileInfo) {
	remote, k := w.courier.files[name], d.known[name]
	var data []byte
	changed := (info == nil) != (k.info == nil) || info != nil && !unchanged(info, k.info)
	if changed && info != nil {
		var err error
		if data, err = os.ReadFile(d.path(name)); err != nil {
			return // the app has just removed it
		}
		if k.version > 0 && bytes.Equal(data, remote.version(k.version)) && k.info != nil {
			changed = false // only its times have
			d.known[name] = known{k.version, info}
		}
	}
	switch {
	case remote == nil && data == nil:
	case remote == nil:
		remote = &file{}
		w.courier.files[name] = remote
		fallthrough
	case changed && remote.newest() == k.version && (data != nil || remote.version(k.version) != nil):
		d.known[name] = known{remote.add(data), info}
	case !changed && remote.newest() > k.version, changed && data == nil:
		w.deliver(d, name)
	case changed && remote.same(data):
		d.known[name] = known{remote.newest(), info}
	case changed && remote.version(remote.newest()) == nil: // deleted there, written here
		d.known[name] = known{remote.add(data), info}
	case changed:
		w.conflict(d, name, data)
	}
}

// deliver brings the newest version of a file.
func (w *World) deliver(d *Device, name string) {
	remote := w.courier.files[name]
	data := remote.version(remote.newest())
	if data == nil {
		w.unlessGone(os.Remove(d.path(name)))
		d.known[name] = known{version: remote.newest()}
		return
	}
	d.known[name] = known{remote.newest(), d.put(name, data)}
}

// conflict keeps what stands here under another name, as sync clients do with a file that was changed in two places.
func (w *World) conflict(d *Device, name string, data []byte) {
	d.put(w.copyName(name, conflictCopies[w.IntN(len(conflictCopies))]), data)
	w.deliver(d, name)
}

// unchanged reports whether a file is the one that the client has left.
func unchanged(info, left fs.FileInfo) bool {
	return os.SameFile(info, left) && info.Size() == left.Size() && info.ModTime().Equal(left.ModTime())
}

// files returns the plain files of the folder, by their names in it, but for temporary ones, which clients do not carry.
func (d *Device) files() map[string]fs.FileInfo {
	found := make(map[string]fs.FileInfo)
	err := filepath.WalkDir(d.Folder(), func(path string, entry fs.DirEntry, err error) error {
		var info fs.FileInfo
		if err == nil && entry.Type().IsRegular() && !strings.HasPrefix(entry.Name(), ".~") {
			if info, err = entry.Info(); err == nil {
				found[d.inside(path)] = info
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a process has just removed it
		}
		return err
	})
	d.world.must(err)
	return found
}

// path returns the path of a name in the folder.
func (d *Device) path(name string) string { return d.Folder() + "/" + name }

func (d *Device) info(name string) fs.FileInfo {
	info, err := os.Lstat(d.path(name))
	d.world.must(err)
	return info
}

// put writes a file into the folder as sync clients do: under another name first. It returns what it is then.
func (d *Device) put(name string, data []byte) fs.FileInfo {
	path := d.path(name)
	d.world.must(os.MkdirAll(filepath.Dir(path), 0o700))
	temporary := filepath.Join(filepath.Dir(path), ".~courier")
	d.world.must(os.WriteFile(temporary, data, 0o600))
	info, err := os.Lstat(temporary)
	d.world.must(err)
	d.world.must(os.Rename(temporary, path))
	return info
}

// forget lets the client look at a file anew, whose change it has not seen.
func (d *Device) forget(path string) {
	delete(d.known, d.inside(path))
}

// learn gives a copied machine the folder of the other one, and what that one's client remembers.
func (d *Device) learn(from *Device) {
	for name := range from.files() {
		if _, spoilt := from.lost[name]; spoilt {
			continue
		}
		data, err := os.ReadFile(from.path(name))
		d.world.must(err)
		info := d.put(name, data)
		if k := from.known[name]; k.info != nil && unchanged(from.info(name), k.info) {
			d.known[name] = known{k.version, info}
		}
	}
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// inside returns the name that a path has in the folder.
func (d *Device) inside(path string) string {
	return filepath.ToSlash(strings.TrimPrefix(path, filepath.Clean(d.Folder())))[1:]
}
