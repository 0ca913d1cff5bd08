package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Sync clients rename what they take to be in conflict: a file, a device's directory, or one at the top of the folder,
// such as "devices 2" or "roster (1)", where two devices have made it at the same time. What stands there is read; only
// files of this device are written, and under their right names.

// maxCopies bounds how many copies of one directory are looked through, of a device's where they stand.
const maxCopies = 16

// copiesOf returns the names of directories at the top of the folder that look like conflict copies of one of ours.
func (f *Folder) copiesOf(directory string) ([]string, error) {
	names, err := f.names(".")
	if err != nil {
		return nil, err
	}
	copies := f.copiesAmong(names, directory)
	return copies[:min(len(copies), maxCopies)], nil
}

// copiesAmong returns which of the names at the top are such directories, sorted.
func (f *Folder) copiesAmong(names []string, directory string) []string {
	copies := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return name == directory || !strings.HasPrefix(strings.ToLower(name), directory) || f.checkDirectory(name) != nil
	})
	slices.Sort(copies)
	return copies
}

// PassedOver returns the names of directories at the top of the folder that look like conflict copies of ours, and are not
// looked through, for there are too many of them.
func (f *Folder) PassedOver() (passed []string, err error) {
	names, err := f.names(".")
	if err != nil {
		return nil, f.failure("look for copies", err)
	}
	for _, directory := range []string{devicesDirectory, rosterDirectory, invitesDirectory} {
		copies := f.copiesAmong(names, directory)
		looked := min(len(copies), maxCopies)
		passed = append(passed, copies[looked:]...)
		if directory == devicesDirectory {
			for _, top := range append(copies[:looked:looked], devicesDirectory) {
				passed = append(passed, f.passedOverIn(top)...)
			}
		}
	}
	return passed, nil
}

// passedOverIn returns the paths of directories that look like copies of a device's, in that of all devices or a copy of it,
// and are not looked through. One that can't be listed has none.
func (f *Folder) passedOverIn(top string) (passed []string) {
	names, err := f.names(top)
	if err != nil {
		return nil
	}
	of := make(map[string][]string)
	for _, name := range names {
		if id := idIn(name); id != "" {
			of[id] = append(of[id], name)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		if len(of[id]) > maxCopies {
			_, over := f.mayBe(id, top, of[id])
			passed = append(passed, over...)
		}
	}
	return passed
}

// mayBe returns the paths of the directories among these names that may be a device's, its own first, and those of them
// that are not looked through.
func (f *Folder) mayBe(device, top string, names []string) (directories, passed []string) {
	for _, name := range names {
		if directory := path.Join(top, name); strings.HasPrefix(strings.ToLower(name), device) && f.checkDirectory(directory) == nil {
			directories = append(directories, directory)
		}
	}
	slices.Sort(directories)
	own := path.Join(top, device)
	if i := slices.Index(directories, own); i > 0 {
		directories = slices.Insert(slices.Delete(directories, i, i+1), 0, own)
	}
	looked := min(len(directories), maxCopies+1)
	return directories[:looked], directories[looked:]
}

// idIn returns the id of the device whose directory, or a copy of it, may have the name, or "".
func idIn(name string) string {
	if len(name) < deviceLength {
		return ""
	}
	id := strings.ToLower(name[:deviceLength])
	if !isHex(id, deviceLength) {
		return ""
	}
	return id
}

// anywhere reads a file below one of our directories, or below a copy of that, or of a device's directory, if it is not there.
func anywhere[T any](f *Folder, file string, read func(name string) (T, error)) (T, error) {
	found, err := read(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	top, below, _ := strings.Cut(file, "/")
	device, below, inDevice := strings.Cut(below, "/")
	var copies []string
	var failed error
	if inDevice {
		copies, failed = f.directoriesOf(device)
	} else {
		below = device
		copies, failed = f.copiesOf(top)
	}
	if failed != nil {
		return found, err
	}
	for _, directory := range copies {
		if found, failed := read(path.Join(directory, below)); failed == nil {
			return found, nil
		}
	}
	return found, err
}

// directoriesOf returns the paths of the directories that may be a device's: its own, those that look like conflict copies
// of it, and those in copies of the directory of all devices.
func (f *Folder) directoriesOf(device string) (directories []string, err error) {
	tops, err := f.copiesOf(devicesDirectory)
	if err != nil {
		return nil, err
	}
	for _, top := range append(tops, devicesDirectory) {
		names, err := f.names(top)
		if err != nil && top == devicesDirectory && !(len(tops) > 0 && errors.Is(err, fs.ErrNotExist) && f.disk.Here()) {
			return nil, err
		}
		some, _ := f.mayBe(device, top, names)
		directories = append(directories, some...)
	}
	slices.Sort(directories)
	return directories, nil
}

// readAnywhere is read with anywhere.
func (f *Folder) readAnywhere(file string, limit int64) ([]byte, error) {
	return anywhere(f, file, func(name string) ([]byte, error) { return f.read(name, limit) })
}

// namesAnywhere returns the names in one of our directories, and apart those in copies of it. A copy that can't be listed
// counts for nothing.
func (f *Folder) namesAnywhere(directory string) (names, copied []string, err error) {
	if names, err = f.names(directory); errors.Is(err, fs.ErrNotExist) && f.disk.Here() {
		err = nil
	}
	if err != nil {
		return nil, nil, err
	}
	copies, err := f.copiesOf(directory)
	for _, directory := range copies {
		if found, failed := f.names(directory); failed == nil {
			copied = append(copied, found...)
		}
	}
	return names, copied, err
}

// Lookalikes returns the ids of the devices of which there are directories that look like conflict copies, or have upper
// case names, or stand in a copy of the directory of all devices. It costs one directory listing, and one of the top.
func (f *Folder) Lookalikes() (map[string]bool, error) {
	names, copied, err := f.namesAnywhere(devicesDirectory)
	if err != nil {
		return nil, f.failure("list devices", err)
	}
	found := make(map[string]bool)
	note := func(name string, copied bool) {
		if id := idIn(name); id != "" && (copied || name != id) {
			found[id] = true
		}
	}
	for _, name := range names {
		note(name, false)
	}
	for _, name := range copied {
		note(name, true)
	}
	return found, nil
}

// Strays returns the paths of files that may be a device's own under a wrong name, sorted: the foreign files of its
// directory, and all files of directories that look like conflict copies of it, such as "<device> 2", "<device> (1)"
// or "<device> (conflicted copy …)", or stand in a copy of the directory of all devices. They are for ReadStray, when a
// file that should be there is not.
func (f *Folder) Strays(device string) ([]string, error) {
	const operation = "look for strays"
	if !isHex(device, deviceLength) {
		return nil, f.failure(operation, fmt.Errorf("%q is not the id of a device", device))
	}
	directories, err := f.directoriesOf(device)
	if err != nil {
		return nil, f.failure(operation, err)
	}
	var strays []string
	for _, directory := range directories {
		found, err := f.straysIn(directory, directory != path.Join(devicesDirectory, device))
		if err != nil {
			return nil, f.failure(operation, err)
		}
		strays = append(strays, found...)
		if len(strays) > maxEntries {
			return nil, f.failure(operation, fmt.Errorf("more than %d strays: %w", maxEntries, ErrTooLarge))
		}
	}
	slices.Sort(strays)
	return strays, nil
}

// straysIn returns the paths of the foreign files of a directory, or of all its files but temporary ones. What stands in for a file
// has nothing of it.
func (f *Folder) straysIn(directory string, all bool) (strays []string, err error) {
	files, err := f.entries(directory)
	for _, file := range files {
		if standsInFor(file.Name()) != file.Name() {
			continue
		}
		_, isSegment := ParseSegmentName(file.Name())
		ours := isSegment || file.Name() == headName
		if plain(file.Type()) && !isTemporary(file.Name()) && (all || !ours) {
			strays = append(strays, path.Join(directory, file.Name()))
		}
	}
	return strays, err
}

// StrayRecords returns the paths of files that may be membership records under wrong names, by the hash with which their names begin.
// They are for ReadStray, when a record is not there or is spoilt.
func (f *Folder) StrayRecords() (map[string][]string, error) {
	strays, err := f.straysBelow(rosterDirectory, hexName(recordLength, ""), recordLength)
	return strays, f.failure("look for strays", err)
}

// StrayInvites is StrayRecords for invites, by their ids.
func (f *Folder) StrayInvites() (map[string][]string, error) {
	strays, err := f.straysBelow(invitesDirectory, hexName(inviteLength, inviteSuffix), inviteLength)
	return strays, f.failure("look for strays", err)
}

// straysBelow returns the paths of files in one of our directories, and in copies of it, whose names begin with so many
// hexadecimal digits and are not ours, by these digits: some for each.
func (f *Folder) straysBelow(directory string, ours func(string) bool, length int) (map[string][]string, error) {
	copies, err := f.copiesOf(directory)
	if err != nil {
		return nil, err
	}
	strays := make(map[string][]string)
	for _, directory := range append([]string{directory}, copies...) {
		names, err := f.names(directory)
		if err != nil {
			continue // who lists the directory tells of it
		}
		slices.Sort(names)
		for _, name := range names {
			if ours(name) || len(name) < length {
				continue
			}
			if id := strings.ToLower(name[:length]); isHex(id, length) && len(strays[id]) < maxCopies {
				strays[id] = append(strays[id], path.Join(directory, name))
			}
		}
	}
	return strays, nil
}

// ReadStray returns the bytes of a file that Strays, StrayRecords or StrayInvites named, of at most limit bytes.
func (f *Folder) ReadStray(name string, limit int64) ([]byte, error) {
	err := checkStray(name)
	var data []byte
	if err == nil {
		data, err = f.read(name, limit)
	}
	return data, f.failure("read a stray", err)
}

// PeekStray is to ReadStray as PeekSegment is to ReadSegment.
func (f *Folder) PeekStray(name string, limit int64) (start []byte, size int64, err error) {
	if err = checkStray(name); err == nil {
		start, size, err = f.peek(name, limit)
	}
	return start, size, f.failure("read a stray", err)
}

func checkStray(name string) error {
	top, _, below := strings.Cut(strings.ToLower(name), "/")
	ours := func(directory string) bool { return strings.HasPrefix(top, directory) }
	if path.Clean(name) != name || !below || !slices.ContainsFunc([]string{devicesDirectory, rosterDirectory, invitesDirectory}, ours) {
		return fmt.Errorf("%q is not the path of a stray", name)
	}
	return nil
}
