package folder

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Error codes of Windows (winerror.h) that package syscall does not name.
const (
	errorInvalidFunction         = syscall.Errno(1)
	errorWriteProtect            = syscall.Errno(19)
	errorNotReady                = syscall.Errno(21)
	errorSharingViolation        = syscall.Errno(32)
	errorLockViolation           = syscall.Errno(33)
	errorHandleDiskFull          = syscall.Errno(39)
	errorBadNetworkPath          = syscall.Errno(53)
	errorDeviceNotExist          = syscall.Errno(55)
	errorNetworkNameDeleted      = syscall.Errno(64)
	errorBadNetworkName          = syscall.Errno(67)
	errorDiskFull                = syscall.Errno(112)
	errorCloudProviderNotRunning = syscall.Errno(362)
	errorDiskQuotaExceeded       = syscall.Errno(1295)
)

// readFlags open a file or directory for reading.
const readFlags = os.O_RDONLY

// syncsDirectories says that a directory cannot be made durable here: NTFS journals its names by itself.
const syncsDirectories = false

// plain reports whether mode is that of a file whose bytes can be read. Files that OneDrive and other providers manage
// are reparse points, which Go calls irregular. A junction is irregular too, but cannot be opened as a file.
func plain(mode fs.FileMode) bool { return mode.IsRegular() || mode.Type() == fs.ModeIrregular }

// full reports whether err says that no space or quota is left.
func full(err error) bool {
	return isOne(err, errorDiskFull, errorHandleDiskFull, errorDiskQuotaExceeded)
}

// readOnly reports whether err says that the medium cannot be written.
func readOnly(err error) bool { return isOne(err, errorWriteProtect) }

// busy reports whether err says that another program is in the way for the moment. A virus scanner or a sync client
// that holds a file shows as "access denied" as often as it shows as a sharing violation.
func busy(err error) bool {
	return isOne(err, errorSharingViolation, errorLockViolation, syscall.ERROR_ACCESS_DENIED)
}

// unreachable reports whether err says that the medium under the folder went away.
func unreachable(err error) bool {
	return isOne(err, errorNotReady, errorBadNetworkPath, errorDeviceNotExist, errorNetworkNameDeleted,
		errorBadNetworkName, errorCloudProviderNotRunning)
}

// cannotSync reports whether err says that the medium has no way to make anything durable, as opposed to an attempt
// that failed. There the data is as safe as the medium can make it.
func cannotSync(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || isOne(err, errorInvalidFunction)
}

func isOne(err error, codes ...syscall.Errno) bool {
	for _, code := range codes {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
