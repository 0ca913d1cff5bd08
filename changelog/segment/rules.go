package segment

import "github.com/sqlitesync/go/changelog"

// Limits of the format that callers plan with. See FORMAT.md, chapters 8 and 11.
const (
	// MaxBody is the largest body, in bytes. Decoding one takes at most about
	// ten times as much memory, however it is made up.
	MaxBody = 64 << 20
	// MaxValue is the length of the longest value, in bytes, that travels in
	// one piece. Key values are never longer.
	MaxValue = 16 << 20
	// MaxLargeValue is the length of the longest value, in bytes.
	MaxLargeValue = 1 << 30
	// MaxBatches is how many batches a segment names.
	MaxBatches = 1 << 16
	// MaxSeen is how many entries the seen vectors of all batches have in full.
	MaxSeen = 1 << 20
)

const (
	maxDevices    = 1000
	maxShapes     = 4096
	maxKeyColumns = 64
	maxColumns    = 2000
	maxName       = 1024 // bytes
	maxGroup      = 1 << 16

	// Limits on sums over the whole segment. A few bytes of body can stand for
	// many times as much memory; these bound what a reader must hold.
	maxNames  = 1 << 17 // in all shapes: tables and columns
	maxRows   = 1 << 20
	maxValues = 1 << 23 // keys included

	endOfTimes   = 1 << 62
	endOfBatches = 1 << 48
)

// Bytes and numbers with a meaning.
const (
	flagContinued = 1 // of a batch

	// A put's birth is its stamp, or follows.
	birthIsStamp = 0
	birthFollows = 1

	// The kinds of values in pieces, after those of package changelog.
	kindLargeText = 5
	kindLargeBlob = 6

	// The author is the first device of every segment.
	referenceToAuthor = 1
)

// The functions below say which rule of the format is broken, or "". Encode and
// Decode share them, so that neither is stricter than the other.

func rangeFault(author changelog.DeviceID, first, last uint64) string {
	switch {
	case author == changelog.DeviceID{}:
		return "no author"
	case first < 1 || first > last || last >= endOfBatches:
		return "batch numbers out of range"
	}
	return ""
}

func shapeFault(s *changelog.Shape) string {
	switch {
	case s.Kind > changelog.Partial:
		return "unknown kind of change"
	case s.Table == "":
		return "table without a name"
	case len(s.Key) < 1 || len(s.Key) > maxKeyColumns:
		return "number of key columns out of range"
	case len(s.Columns) > maxColumns:
		return "too many columns"
	case s.Kind == changelog.Delete && len(s.Columns) > 0:
		return "delete with columns"
	}
	if fault := nameFault(s.Table); fault != "" {
		return fault
	}
	names := make(map[string]struct{}, len(s.Key)+len(s.Columns))
	for _, list := range [][]string{s.Key, s.Columns} {
		for _, name := range list {
			if fault := nameFault(name); fault != "" {
				return fault
			}
			names[name] = struct{}{}
		}
	}
	if len(names) < len(s.Key)+len(s.Columns) {
		return "column stands twice"
	}
	for i := 1; i < len(s.Columns); i++ {
		if s.Columns[i-1] > s.Columns[i] {
			return "columns out of order"
		}
	}
	return ""
}

func nameFault(name string) string {
	if len(name) > maxName {
		return "name too long"
	}
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			return "name not canonical"
		}
	}
	return ""
}

// namesIn counts the names of a shape for maxNames.
func namesIn(s *changelog.Shape) int { return 1 + len(s.Key) + len(s.Columns) }

func stampFault(s changelog.Stamp) string {
	none := s.Device == changelog.DeviceID{}
	switch {
	case s.Time == 0 && none && s.Batch == 0:
		return "" // a baseline
	case s.Time < 1 || s.Time >= endOfTimes:
		return "time out of range"
	case none:
		return "stamp without a device"
	case s.Batch < 1 || s.Batch >= endOfBatches:
		return "stamp's batch out of range"
	}
	return ""
}

// birthFault judges the birth of a put whose stamp is good.
func birthFault(birth, stamp changelog.Stamp) string {
	if fault := stampFault(birth); fault != "" {
		return "birth: " + fault
	}
	if birth.Compare(stamp) > 0 {
		return "birth newer than its stamp"
	}
	return ""
}

func refFault(r Ref) string {
	if r.Length < 1 || r.Length > MaxLargeValue {
		return "length of a value in pieces out of range"
	}
	return ""
}

func pieceFault(offset, length uint64) string {
	if length < 1 || length > MaxValue || offset > MaxLargeValue-length {
		return "piece out of range"
	}
	return ""
}
