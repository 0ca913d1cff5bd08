package folder

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Others are the names in a folder that are not ours, as relative paths, sorted. Nothing below a directory that is not
// ours is listed.
type Others struct {
	Copies  []string // they look like the conflict copies and duplicates that sync clients make of our files
	Foreign []string // the rest
}

// Others lists what stands in the folder under names that are not ours. It costs one directory listing per device.
func (f *Folder) Others() (Others, error) {
	devices, err := f.Devices()
	if err != nil {
		return Others{}, err
	}
	var others Others
	for _, place := range places(devices) {
		names, err := listDirectory(f, place.directory, file.Readdirnames) // people are to find them by these
		if errors.Is(err, fs.ErrNotExist) && f.disk.Here() {
			continue
		}
		if err != nil {
			return Others{}, f.failure("look for foreign files", err)
		}
		for _, name := range names {
			switch full := path.Join(place.directory, name); {
			case place.ours(standsInFor(name)) || isTemporary(name):
			case place.copied(strings.ToLower(name)):
				others.Copies = append(others.Copies, full)
			default:
				others.Foreign = append(others.Foreign, full)
			}
		}
	}
	slices.Sort(others.Copies)
	slices.Sort(others.Foreign)
	return others, nil
}

// A place is a directory of ours, with what stands there.
type place struct {
	directory string
	ours      func(name string) bool
	copied    func(name string) bool // a name in lower case begins like one of ours
}

func places(devices []string) []place {
	top := []string{readmeName, markerName, devicesDirectory, rosterDirectory, invitesDirectory}
	places := []place{
		{".", func(name string) bool { return slices.Contains(top, name) }, func(name string) bool {
			return slices.ContainsFunc(top, func(ours string) bool { return strings.HasPrefix(name, strings.ToLower(stem(ours))) })
		}},
		{devicesDirectory, hexName(deviceLength, ""), beginsHex(deviceLength)},
		{rosterDirectory, hexName(recordLength, ""), beginsHex(recordLength)},
		{invitesDirectory, hexName(inviteLength, inviteSuffix), beginsHex(inviteLength)},
	}
	for _, device := range devices {
		places = append(places, place{path.Join(devicesDirectory, device), func(name string) bool {
			_, isSegment := ParseSegmentName(name)
			return isSegment || name == headName
		}, func(name string) bool {
			_, isSegment := ParseSegmentName(name[:min(len(name), segmentNameLength-len(segmentSuffix))] + segmentSuffix)
			return isSegment || strings.HasPrefix(name, headName)
		}})
	}
	return places
}

// stem returns a file name without its extension.
func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

func hexName(length int, suffix string) func(string) bool {
	return func(name string) bool {
		id, ok := strings.CutSuffix(name, suffix)
		return ok && isHex(id, length)
	}
}

func beginsHex(length int) func(string) bool {
	return func(name string) bool { return len(name) >= length && isHex(name[:length], length) }
}
