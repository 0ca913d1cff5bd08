package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
)

// errForeign: what is to be changed is not this device's. It comes of a mistake in the program only.
var errForeign = errors.New("it is not this device's to change")

// A guard is a disk on which nothing can be changed but what a device may change, and no file but its head be replaced. What others
// wrote can be the only copy there is, so that this holds whatever the callers do.
type guard struct {
	disk
	device string
}

func (g guard) OpenFile(name string, flag int, perm fs.FileMode) (file, error) {
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_CREATE|os.O_TRUNC) != 0 && !g.owns(name) {
		return nil, refused(name)
	}
	return g.disk.OpenFile(name, flag, perm)
}

func (g guard) Mkdir(name string, perm fs.FileMode) error {
	directory, err := deviceDirectory(g.device)
	if err != nil || !slices.Contains([]string{devicesDirectory, rosterDirectory, invitesDirectory, directory}, name) {
		return refused(name)
	}
	return g.disk.Mkdir(name, perm)
}

func (g guard) Link(oldname, newname string) error {
	if !g.owns(oldname) || !g.owns(newname) && !everybodys(newname) {
		return refused(newname)
	}
	return g.disk.Link(oldname, newname)
}

// Rename replaces nothing but the device's head: a rename of itself replaces whatever it meets, hence the look before it. The gap
// between the two is harmless, because only this process writes names of this device, and records and invites have names that no
// two contents share.
func (g guard) Rename(oldname, newname string) error {
	if !g.owns(oldname) || !g.owns(newname) && !everybodys(newname) {
		return refused(newname)
	}
	if path.Base(newname) != headName {
		_, err := g.disk.Lstat(newname)
		if err == nil {
			return fmt.Errorf("%s: %w", newname, fs.ErrExist)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return g.disk.Rename(oldname, newname)
}

func (g guard) Remove(name string) error {
	if !g.owns(name) && !isInvite(path.Join(path.Dir(name), standsInFor(path.Base(name)))) {
		return refused(name)
	}
	return g.disk.Remove(name)
}

// owns reports whether a file of the name stands in the device's own directory.
func (g guard) owns(name string) bool {
	directory, err := deviceDirectory(g.device)
	return err == nil && path.Clean(name) == name && path.Dir(name) == directory
}

// everybodys reports whether any device may put something under the name, if nothing stands there.
func everybodys(name string) bool {
	return name == readmeName || name == markerName || isInvite(name) || path.Dir(name) == rosterDirectory && isHex(path.Base(name), recordLength)
}

func isInvite(name string) bool {
	return path.Dir(name) == invitesDirectory && hexName(inviteLength, inviteSuffix)(path.Base(name))
}

func refused(name string) error { return fmt.Errorf("%s: %w", name, errForeign) }
