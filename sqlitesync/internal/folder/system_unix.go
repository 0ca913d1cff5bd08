//go:build unix

package folder

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// readFlags open a file or directory for reading. Without O_NONBLOCK the opening of a FIFO waits for a writer, for
// ever if a hostile one planted it after Lstat looked.
const readFlags = os.O_RDONLY | syscall.O_NONBLOCK

// syncsDirectories says that a directory can be opened and made durable like a file.
const syncsDirectories = true

// plain reports whether mode is that of a file whose bytes can be read.
func plain(mode fs.FileMode) bool { return mode.IsRegular() }

// full reports whether err says that no space or quota is left.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// readOnly reports whether err says that the medium cannot be written.
func readOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// busy reports whether err says that another program is in the way for the moment. EBUSY is what SMB and FUSE mounts
// make of a Windows sharing violation.
func busy(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.ETXTBSY)
}

// unreachable reports whether err says that the medium under the folder went away: a FUSE daemon that died, a share
// whose server is gone, a stick that was pulled.
func unreachable(err error) bool {
	for _, code := range []syscall.Errno{
		syscall.ENOTCONN, syscall.ESTALE, syscall.ENODEV, syscall.ENXIO,
		syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// cannotSync reports whether err says that the medium has no way to make anything durable, as opposed to an attempt
// that failed. There the data is as safe as the medium can make it.
func cannotSync(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTTY)
}
