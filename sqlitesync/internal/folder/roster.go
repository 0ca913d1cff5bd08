package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
)

// Records returns the hashes of the membership records, sorted, those in copies of their directory, too. Other names are
// left out.
func (f *Folder) Records() ([]string, error) {
	names, copied, err := f.namesAnywhere(rosterDirectory)
	if err != nil {
		return nil, f.failure("list records", err)
	}
	hashes := slices.DeleteFunc(append(names, copied...), func(name string) bool { return !isHex(name, recordLength) })
	slices.Sort(hashes)
	return slices.Compact(hashes), nil
}

// ReadRecord returns the membership record of that name, of at most limit bytes. Whether it has that hash is for the
// caller to see.
func (f *Folder) ReadRecord(hash string, limit int64) ([]byte, error) {
	file, err := recordPath(hash)
	if err != nil {
		return nil, f.failure("read a record", err)
	}
	data, err := f.readAnywhere(file, limit)
	return data, f.failure("read a record", err)
}

// RecordSize is for records what SegmentSize is for segments.
func (f *Folder) RecordSize(hash string) (int64, error) {
	file, err := recordPath(hash)
	var size int64
	if err == nil {
		size, err = anywhere(f, file, f.size)
	}
	return size, f.failure("look at a record", err)
}

// PublishRecord makes a membership record durable under its hash; device is the one that writes. Errors are as with
// PublishSegment.
func (f *Folder) PublishRecord(device, hash string, data []byte) error {
	file, err := recordPath(hash)
	if err == nil {
		err = f.makeDirectory(rosterDirectory)
	}
	if err == nil {
		err = f.publish(device, file, data)
	}
	return f.failure("publish a record", err)
}

// ReadInvite returns the invite of that id, of at most limit bytes.
func (f *Folder) ReadInvite(id string, limit int64) ([]byte, error) {
	file, err := invitePath(id)
	if err != nil {
		return nil, f.failure("read an invite", err)
	}
	data, err := f.readAnywhere(file, limit)
	return data, f.failure("read an invite", err)
}

// PublishInvite makes an invite durable under its id; device is the one that writes. Errors are as with
// PublishSegment.
func (f *Folder) PublishInvite(device, id string, data []byte) error {
	file, err := invitePath(id)
	if err == nil {
		err = f.makeDirectory(invitesDirectory)
	}
	if err == nil {
		err = f.publish(device, file, data)
	}
	return f.failure("publish an invite", err)
}

// RemoveInvite removes the invite of that id, durably. It is no error if there is none.
func (f *Folder) RemoveInvite(id string) error {
	file, err := invitePath(id)
	if err == nil {
		err = f.removeFile(file)
	}
	return f.failure("remove an invite", err)
}

// removeFile removes a plain file durably, if it is there.
//
//	unlink(name)
//	fd = open(directory of name, O_RDONLY)
//	fsync(fd)
//	close(fd)
//
// After an error the caller does not know whether the file stands: it removes it again until that succeeds.
func (f *Folder) removeFile(name string) error {
	err := f.checkDirectory(path.Dir(name))
	if err == nil {
		var info fs.FileInfo
		if info, err = f.disk.Lstat(name); err == nil && !plain(info.Mode()) {
			err = fmt.Errorf("%s: %w", name, ErrNotRegular) // not ours to remove
		}
	}
	if err == nil {
		err = Patiently(func() error { return f.disk.Remove(name) })
	}
	if errors.Is(err, fs.ErrNotExist) && f.disk.Here() {
		return nil
	}
	if err != nil {
		return err
	}
	return f.syncDirectory(path.Dir(name))
}
