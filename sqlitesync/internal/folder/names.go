package folder

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Names of the folder. They are lower case, of fixed length and free of the words that sync services skip (tmp, part,
// lock, conflict), so that every service carries them and none mistakes one for another.
const (
	readmeName       = "README.txt" // upper case for people; nothing reads it
	markerName       = "sqlitesync.json"
	devicesDirectory = "devices"
	rosterDirectory  = "roster"
	invitesDirectory = "invites"
	headName         = "head"
	inviteSuffix     = ".age"
)

// Lengths of hexadecimal names, in characters.
const (
	deviceLength = 32
	recordLength = 64
	inviteLength = 32
	spaceLength  = 64
)

// Dropbox, iCloud Drive, OneDrive and Nextcloud do not carry names with this beginning and end; Syncthing and Google
// Drive do, so readers pass over them.
const (
	temporaryPrefix = ".~sqs-"
	temporaryLength = 16 // hexadecimal characters
	temporarySuffix = ".tmp"
)

// Up to macOS 13 iCloud Drive puts a small file of such a name where it keeps the content of one elsewhere.
const (
	standInPrefix = "."
	standInSuffix = ".icloud"
)

const (
	maxBatch      = 1<<48 - 1
	maxGeneration = 1<<16 - 1
)

// A SegmentName is what the name of a segment file says: the range of its author's batches that it holds, both ends
// included, and the generation. Generation 0 is one original batch, later generations are made by compaction. Whether
// it is true stands in the signed header of the file.
type SegmentName struct {
	First, Last uint64 // 1 <= First <= Last < 2^48
	Generation  uint32 // at most 65535
}

// segmentNameLength is the length of "ffffffffffff-ffffffffffff-ffff.seg".
const segmentNameLength = 12 + 1 + 12 + 1 + 4 + len(segmentSuffix)

const segmentSuffix = ".seg"

// String returns the file name. It is one that ParseSegmentName accepts if the fields are within their bounds.
func (n SegmentName) String() string {
	return fmt.Sprintf("%012x-%012x-%04x"+segmentSuffix, n.First, n.Last, n.Generation)
}

// ParseSegmentName reads a file name, and reports whether it is exactly what String makes of a valid SegmentName: any
// other spelling is somebody else's file.
func ParseSegmentName(name string) (SegmentName, bool) {
	if len(name) != segmentNameLength || name[12] != '-' || name[25] != '-' || name[30:] != segmentSuffix {
		return SegmentName{}, false
	}
	first, firstOK := parseHex(name[:12])
	last, lastOK := parseHex(name[13:25])
	generation, generationOK := parseHex(name[26:30])
	parsed := SegmentName{First: first, Last: last, Generation: uint32(generation)}
	if !firstOK || !lastOK || !generationOK || !parsed.valid() {
		return SegmentName{}, false
	}
	return parsed, true
}

func (n SegmentName) valid() bool {
	return 1 <= n.First && n.First <= n.Last && n.Last <= maxBatch && n.Generation <= maxGeneration &&
		(n.Generation > 0 || n.First == n.Last)
}

// compare orders names by First, then Last, then Generation, which is the order of the file names too.
func (n SegmentName) compare(other SegmentName) int {
	return cmp.Or(
		cmp.Compare(n.First, other.First),
		cmp.Compare(n.Last, other.Last),
		cmp.Compare(n.Generation, other.Generation))
}

// parseHex reads lower-case hexadecimal of at most 16 characters.
func parseHex(text string) (uint64, bool) {
	var value uint64
	for i := range len(text) {
		digit := uint64(text[i])
		switch {
		case '0' <= digit && digit <= '9':
			digit -= '0'
		case 'a' <= digit && digit <= 'f':
			digit -= 'a' - 10
		default:
			return 0, false
		}
		value = value<<4 | digit
	}
	return value, true
}

const hexDigits = "0123456789abcdef"

// isHex reports whether text is lower-case hexadecimal of exactly the given length.
func isHex(text string, length int) bool {
	return len(text) == length && strings.Trim(text, hexDigits) == ""
}

func deviceDirectory(device string) (string, error) {
	if !isHex(device, deviceLength) {
		return "", fmt.Errorf("%q is not the id of a device", device)
	}
	return path.Join(devicesDirectory, device), nil
}

func segmentPath(device string, name SegmentName) (string, error) {
	directory, err := deviceDirectory(device)
	if err != nil {
		return "", err
	}
	if !name.valid() {
		return "", fmt.Errorf("%s is not the name of a segment", name)
	}
	return path.Join(directory, name.String()), nil
}

func headPath(device string) (string, error) {
	directory, err := deviceDirectory(device)
	return path.Join(directory, headName), err
}

func recordPath(hash string) (string, error) {
	if !isHex(hash, recordLength) {
		return "", fmt.Errorf("%q is not the hash of a record", hash)
	}
	return path.Join(rosterDirectory, hash), nil
}

func invitePath(id string) (string, error) {
	if !isHex(id, inviteLength) {
		// Not quoted: a caller that mistakes the code for the id must not find the code in a log.
		return "", errors.New("not the id of an invite")
	}
	return path.Join(invitesDirectory, id+inviteSuffix), nil
}

func newTemporaryName() string {
	var random [temporaryLength / 2]byte
	rand.Read(random[:])
	return temporaryPrefix + hex.EncodeToString(random[:]) + temporarySuffix
}

func isTemporary(name string) bool {
	middle, begins := strings.CutPrefix(name, temporaryPrefix)
	middle, ends := strings.CutSuffix(middle, temporarySuffix)
	return begins && ends && isHex(middle, temporaryLength)
}

// standIn returns the path of what stands in for a file whose content iCloud Drive keeps elsewhere.
func standIn(file string) string {
	return path.Join(path.Dir(file), standInPrefix+path.Base(file)+standInSuffix)
}

// standsInFor returns the name of the file that one of this name stands in for, and else the name itself.
func standsInFor(name string) string {
	of, begins := strings.CutPrefix(name, standInPrefix)
	of, ends := strings.CutSuffix(of, standInSuffix)
	if !begins || !ends || strings.Trim(of, ".") == "" { // "", "." and ".." are no names
		return name
	}
	return of
}
