package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"
)

// Permissions, before the umask of the process takes its share. Directories are open to a group that shares the folder
// on one machine, because each of its members makes a directory beside the others'; files are their author's alone.
const (
	directoryPermission = 0o777
	filePermission      = 0o644
)

// publish makes data durable under the name target, if the name is free. The temporary file stands in the device's own
// directory. If the name is taken by the same bytes there is nothing to do; by others, the error is ErrTwin.
//
// When all goes well it is these system calls (those that look a directory up left out):
//
//	fd = open(temporary, O_WRONLY|O_CREAT|O_EXCL)
//	write(fd, data)
//	fsync(fd)
//	close(fd)
//	link(temporary, target)
//	unlink(temporary)
//	fd = open(directory of target, O_RDONLY)
//	fsync(fd)
//	close(fd)
//
// Target never shows less than all of data. After an error the caller does not know whether target stands: it publishes
// the same bytes again until that succeeds.
func (o *Own) publish(target string, data []byte) error {
	if err := o.folder.checkDirectory(path.Dir(target)); err != nil {
		return err
	}
	temporary, err := o.writeTemporary(data)
	if err != nil {
		return err
	}
	err = o.place(temporary, target)
	o.discard(temporary)
	if errors.Is(err, fs.ErrExist) {
		err = o.compare(target, data)
	}
	if err != nil {
		return err
	}
	// Also for a file that stood already: an attempt before this one may have failed just here.
	return o.syncDirectory(path.Dir(target))
}

// place gives a file the name target too, or only that name, without replacing a file. It is fs.ErrExist if the name
// is taken.
func (o *Own) place(temporary, target string) error {
	linked := o.disk.Link(temporary, target)
	if linked == nil || errors.Is(linked, fs.ErrExist) {
		return linked
	}
	// Hard links are unknown to FAT and to many network and FUSE file systems, each of which says so with an error of
	// its own. So whatever it was, rename instead, which the guard does only if the name is free: if the medium is at
	// fault, that fails as well.
	return Patiently(func() error { return o.disk.Rename(temporary, target) })
}

// compare reports whether the file at target holds data: nil if so, ErrTwin if not.
func (o *Own) compare(target string, data []byte) error {
	standing, err := o.folder.read(target, int64(len(data)))
	if errors.Is(err, ErrTooLarge) || err == nil && !bytes.Equal(standing, data) {
		return fmt.Errorf("%s: %w", target, ErrTwin)
	}
	return err
}

// replace makes data durable under the name target, in place of whatever file has the name.
//
//	fd = open(temporary, O_WRONLY|O_CREAT|O_EXCL)
//	write(fd, data)
//	fsync(fd)
//	close(fd)
//	rename(temporary, target)
//	fd = open(directory of target, O_RDONLY)
//	fsync(fd)
//	close(fd)
//
// Target shows the old bytes or the new ones, whole. After an error the caller does not know which.
func (o *Own) replace(target string, data []byte) error {
	temporary, err := o.writeTemporary(data)
	if err != nil {
		return err
	}
	if err := Patiently(func() error { return o.disk.Rename(temporary, target) }); err != nil {
		o.discard(temporary)
		return err
	}
	return o.syncDirectory(path.Dir(target))
}

// writeTemporary makes data durable under a new temporary name in the device's directory, and returns the name. After
// an error no file is left, unless that cannot be removed either.
func (o *Own) writeTemporary(data []byte) (string, error) {
	directory, err := deviceDirectory(o.device)
	if err != nil {
		return "", err
	}
	if err := o.folder.checkDirectory(directory); err != nil {
		return "", err
	}
	name := path.Join(directory, newTemporaryName())
	if err := o.writeFile(name, data); err != nil {
		o.discard(name)
		return "", err
	}
	return name, nil
}

// discard removes a temporary file. What cannot be removed now is left to RemoveTemporaries.
func (o *Own) discard(temporary string) {
	_ = Patiently(func() error { return o.disk.Remove(temporary) })
}

func (o *Own) writeFile(name string, data []byte) error {
	opened, err := o.disk.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePermission)
	if err != nil {
		return err
	}
	_, err = opened.Write(data)
	if err == nil {
		// A failed fsync is final: the kernel may have dropped the pages, and a second one would succeed over nothing.
		if err = opened.Sync(); cannotSync(err) {
			err = nil
		}
	}
	// A network file system may report only here that the disk is full.
	if closed := opened.Close(); err == nil {
		err = closed
	}
	return err
}

// makeDirectory makes a directory durable, its parent being there. It is no error if it stands already, and durable is
// made all the same: an attempt before this one may have failed in between.
//
//	mkdir(directory)
//	fd = open(parent of directory, O_RDONLY)
//	fsync(fd)
//	close(fd)
//
// After an error the caller does not know whether it stands: it makes it again until that succeeds.
func (o *Own) makeDirectory(directory string) error {
	parent := path.Dir(directory)
	if err := o.folder.checkDirectory(parent); err != nil {
		return err
	}
	err := o.disk.Mkdir(directory, directoryPermission)
	if errors.Is(err, fs.ErrExist) {
		err = o.folder.checkDirectory(directory)
	}
	if err != nil {
		return err
	}
	return o.syncDirectory(parent)
}

// syncDirectory makes the names in a directory durable, where the system has a way to do so.
func (o *Own) syncDirectory(directory string) error {
	if !syncsDirectories {
		return nil
	}
	opened, err := o.disk.OpenFile(directory, readFlags, 0)
	if err != nil {
		return err
	}
	defer opened.Close()
	if err := opened.Sync(); err != nil && !cannotSync(err) {
		return err
	}
	return nil
}

// Patiently repeats a step while another program, such as a virus scanner or the sync client itself, holds a file that
// the step needs: eight times in about a second. Then the caller has to try again later; writing in place, which might
// get past the holder, would show readers half a file.
func Patiently(step func() error) error {
	err := step()
	for wait := 5 * time.Millisecond; busy(err) && wait < time.Second; wait *= 2 {
		time.Sleep(wait)
		err = step()
	}
	return err
}
