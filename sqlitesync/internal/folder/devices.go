package folder

import (
	"errors"
	"io/fs"
	"math"
	"path"
	"slices"
)

// Devices returns the ids of the devices that have a directory, sorted. Directories of other names are left out. That
// a folder has none says nothing about the space: it may not have been downloaded yet.
func (f *Folder) Devices() ([]string, error) {
	entries, err := f.entries(devicesDirectory)
	if errors.Is(err, fs.ErrNotExist) && f.disk.Here() {
		return nil, nil
	}
	if err != nil {
		return nil, f.failure("list devices", err)
	}
	var ids []string
	for _, entry := range entries {
		if isHex(entry.Name(), deviceLength) && entry.IsDir() {
			ids = append(ids, entry.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// A Listing is what stands in the directory of one device. Temporary files of ours are left out.
type Listing struct {
	Segments []SegmentName // sorted by First, Last, Generation
	Head     bool          // whether there is a head
	Foreign  []string      // names that are not ours; sorted
}

// List returns what stands in the directory of a device. It costs one directory listing; no file is looked at, so that
// a name stands for a plain file shows only when it is read. If the device has no directory the error is fs.ErrNotExist.
func (f *Folder) List(device string) (Listing, error) {
	listing, err := inTime(f, path.Join(devicesDirectory, device), func(alive func()) (Listing, error) { return f.listDevice(device, alive) })
	return listing, f.failure("list a device", err)
}

// ListAll is List for many devices: it returns a listing or an error for each.
func (f *Folder) ListAll(devices []string) ([]Listing, []error) {
	type all struct {
		listings []Listing
		failed   []error
	}
	// All in one go, because to hand a listing to another goroutine takes as long as the listing.
	found, err := inTime(f, devicesDirectory+"/*", func(alive func()) (all, error) {
		a := all{make([]Listing, len(devices)), make([]error, len(devices))}
		for i, device := range devices {
			var err error
			a.listings[i], err = f.listDevice(device, alive)
			a.failed[i] = f.failure("list a device", err)
		}
		return a, nil
	})
	if err != nil { // one of them stands still
		found = all{make([]Listing, len(devices)), make([]error, len(devices))}
		for i, device := range devices {
			found.listings[i], found.failed[i] = f.List(device)
		}
	}
	return found.listings, found.failed
}

func (f *Folder) listDevice(device string, alive func()) (Listing, error) {
	directory, err := deviceDirectory(device)
	if err != nil {
		return Listing{}, err
	}
	names, err := listNow(f, directory, readNames, alive)
	if err != nil {
		return Listing{}, err
	}
	var listing Listing
	listing.Segments = make([]SegmentName, 0, len(names))
	for _, name := range names {
		segment, isSegment := ParseSegmentName(name)
		switch {
		case isSegment:
			listing.Segments = append(listing.Segments, segment)
		case name == headName:
			listing.Head = true
		case !isTemporary(name):
			listing.Foreign = append(listing.Foreign, name)
		}
	}
	slices.SortFunc(listing.Segments, SegmentName.compare)
	listing.Segments = slices.Compact(listing.Segments) // beside a file what stood in for it may be left
	slices.Sort(listing.Foreign)
	return listing, nil
}

// ReadSegment returns the bytes of a segment file of at most limit bytes.
func (f *Folder) ReadSegment(device string, name SegmentName, limit int64) ([]byte, error) {
	file, err := segmentPath(device, name)
	if err != nil {
		return nil, f.failure("read a segment", err)
	}
	data, err := f.read(file, limit)
	return data, f.failure("read a segment", err)
}

// PeekSegment returns the first 512 bytes of a segment file, all if it has fewer, and its size. The limit is as in
// ReadSegment.
func (f *Folder) PeekSegment(device string, name SegmentName, limit int64) (start []byte, size int64, err error) {
	file, err := segmentPath(device, name)
	if err == nil {
		start, size, err = f.peek(file, limit)
	}
	return start, size, f.failure("read a segment", err)
}

// SegmentSize returns the size of a segment file. It does not open it: a service may keep its content elsewhere.
func (f *Folder) SegmentSize(device string, name SegmentName) (int64, error) {
	file, err := segmentPath(device, name)
	var size int64
	if err == nil {
		size, err = f.size(file)
	}
	return size, f.failure("look at a segment", err)
}

// size returns the size of a plain file.
func (f *Folder) size(file string) (int64, error) {
	if err := f.checkDirectory(path.Dir(file)); err != nil {
		return 0, err
	}
	info, err := f.lstat(file)
	if err == nil {
		err = checkFile(file, info, math.MaxInt64)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ReadHead returns the head of a device, of at most limit bytes.
func (f *Folder) ReadHead(device string, limit int64) ([]byte, error) {
	file, err := headPath(device)
	if err != nil {
		return nil, f.failure("read a head", err)
	}
	data, err := f.readAnywhere(file, limit)
	return data, f.failure("read a head", err)
}
