package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// Own is what one device may change in a Folder, the only way to change anything: its own directory, and beside it membership
// records, invites and the marker of a new space, which it adds where nothing stands, and invites, which it removes. All else may be
// the only copy of something dear to somebody, and is refused. Its methods may be called from several goroutines at once; where that
// is not so, the method says it.
type Own struct {
	folder *Folder
	device string
	disk   disk
}

// Own returns what the device of an id may change. It knows no more of it than its id.
func (f *Folder) Own(device string) *Own {
	return &Own{folder: f, device: device, disk: guard{f.disk, device}}
}

// MakeDirectory makes the directory of the device, durably. It is no error if it stands already. A device publishes nothing
// before this.
func (o *Own) MakeDirectory() error {
	directory, err := deviceDirectory(o.device)
	if err == nil {
		err = o.makeDirectory(devicesDirectory)
	}
	if err == nil {
		err = o.makeDirectory(directory)
	}
	return o.folder.failure("make the directory of a device", err)
}

// PublishSegment makes a segment file durable. It is no error if the file stands already with the same bytes; with
// others the error is ErrTwin. Any other error leaves open whether the file stands, and the same bytes are to be
// published again.
func (o *Own) PublishSegment(name SegmentName, data []byte) error {
	file, err := segmentPath(o.device, name)
	if err == nil {
		err = o.publish(file, data)
	}
	return o.folder.failure("publish a segment", err)
}

// RemoveSegment removes a segment file of the device. It is no error if it is not there. It is two system calls,
//
//	unlink(segment)
//	unlink(what stands in for the segment)
//
// and that the file is gone is not made durable: after a power cut it may be back, and is of no harm.
func (o *Own) RemoveSegment(name SegmentName) error {
	file, err := segmentPath(o.device, name)
	if err == nil {
		err = o.folder.checkDirectory(path.Dir(file))
	}
	if err == nil {
		err = o.remove(file)
	}
	if errors.Is(err, fs.ErrNotExist) && o.disk.Here() {
		return nil
	}
	return o.folder.failure("remove a segment", err)
}

// ReplaceHead makes the head of a device durable, in place of the one before it. A reader finds one or the other,
// whole. An error leaves open which.
func (o *Own) ReplaceHead(data []byte) error {
	file, err := headPath(o.device)
	if err == nil {
		err = o.replace(file, data)
	}
	return o.folder.failure("replace the head", err)
}

// RemoveTemporaries removes the temporary files that crashes left in the device's directory. It must not run
// while anything is being published for the device. If the device has no directory there is nothing to remove.
func (o *Own) RemoveTemporaries() error {
	const operation = "remove temporary files"
	directory, err := deviceDirectory(o.device)
	if err != nil {
		return o.folder.failure(operation, err)
	}
	entries, err := o.folder.entries(directory)
	if errors.Is(err, fs.ErrNotExist) && o.disk.Here() {
		return nil
	}
	if err != nil {
		return o.folder.failure(operation, err)
	}
	var failed []error
	for _, entry := range entries {
		if !isTemporary(entry.Name()) || !plain(entry.Type()) {
			continue
		}
		if err := o.disk.Remove(path.Join(directory, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return o.folder.failure(operation, errors.Join(failed...))
}

// WriteMarker makes sqlitesync.json durable, and before it a README.txt for people unless one stands there. Only
// founding a space calls it: a folder that lost its marker must show that it did. The error
// is ErrTwin if there is another marker.
func (o *Own) WriteMarker(space string) error {
	const operation = "write the marker"
	if !isHex(space, spaceLength) {
		return o.folder.failure(operation, fmt.Errorf("%q is not the id of a space", space))
	}
	err := o.publish(readmeName, []byte(readme))
	if err != nil && !errors.Is(err, ErrTwin) && !errors.Is(err, ErrNotRegular) {
		return o.folder.failure(operation, err)
	}
	data := fmt.Sprintf("{\"format\":%d,\"space\":%q}\n", Format, space)
	return o.folder.failure(operation, o.publish(markerName, []byte(data)))
}

// PublishRecord makes a membership record durable under its hash. Errors are as with PublishSegment.
func (o *Own) PublishRecord(hash string, data []byte) error {
	file, err := recordPath(hash)
	if err == nil {
		err = o.makeDirectory(rosterDirectory)
	}
	if err == nil {
		err = o.publish(file, data)
	}
	return o.folder.failure("publish a record", err)
}

// PublishInvite makes an invite durable under its id. Errors are as with PublishSegment.
func (o *Own) PublishInvite(id string, data []byte) error {
	file, err := invitePath(id)
	if err == nil {
		err = o.makeDirectory(invitesDirectory)
	}
	if err == nil {
		err = o.publish(file, data)
	}
	return o.folder.failure("publish an invite", err)
}

// RemoveInvite removes the invite of that id, durably. It is no error if there is none.
func (o *Own) RemoveInvite(id string) error {
	file, err := invitePath(id)
	if err == nil {
		err = o.removeFile(file)
	}
	return o.folder.failure("remove an invite", err)
}

// removeFile removes a plain file durably, if it is there.
//
//	unlink(name)
//	unlink(what stands in for the file of the name)
//	fd = open(directory of name, O_RDONLY)
//	fsync(fd)
//	close(fd)
//
// After an error the caller does not know whether the file stands: it removes it again until that succeeds.
func (o *Own) removeFile(name string) error {
	err := o.folder.checkDirectory(path.Dir(name))
	if err == nil {
		info, failed := o.disk.Lstat(name)
		if failed == nil && !plain(info.Mode()) {
			err = fmt.Errorf("%s: %w", name, ErrNotRegular) // not ours to remove
		}
	}
	if err == nil {
		err = o.remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) && o.disk.Here() {
		return nil
	}
	if err != nil {
		return err
	}
	return o.syncDirectory(path.Dir(name))
}

// remove removes a file and what stands in for it, with which iCloud Drive removes what it keeps elsewhere. The error is
// fs.ErrNotExist if there is neither.
func (o *Own) remove(file string) error {
	err := Patiently(func() error { return o.disk.Remove(file) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if other := o.disk.Remove(standIn(file)); !errors.Is(other, fs.ErrNotExist) {
		return other
	}
	return err
}
