package merge

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sqlitesync/go/changelog"
)

// Conflicts and held rows are kept in the encoding of package changelog, which
// is exact, and beside it as JSON, for people and programs that read the views
// sqlitesync_conflicts and sqlitesync_held with nothing but SQLite.

// readableKey returns the key of a change: a JSON object of its columns, in the
// order of the PRIMARY KEY.
func readableKey(c *changelog.Change) string { return ReadableObject(c.Shape.Key, c.Key) }

// readableValues returns the other columns of a put, nil for a delete.
func readableValues(c *changelog.Change) any {
	if c.Shape.Kind == changelog.Delete {
		return nil
	}
	return ReadableObject(c.Shape.Columns, c.Values)
}

// readableDevice returns the author of a change, nil for a baseline row.
func readableDevice(c *changelog.Change) any {
	if c.Stamp.Baseline() {
		return nil
	}
	return c.Stamp.Device.String()
}

// readableTime returns when a change was made, nil for a baseline row.
func readableTime(c *changelog.Change) any {
	if c.Stamp.Baseline() {
		return nil
	}
	return c.Stamp.Time
}

// readableNames returns names as a JSON array, nil if there are none.
func readableNames(names []string) any {
	if names == nil {
		return nil
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = readableText(name)
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// ReadableObject returns the values as a JSON object in the order of the names,
// see [ReadableValue].
func ReadableObject(names []string, values []changelog.Value) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(readableText(name) + ":" + ReadableValue(values[i]))
	}
	b.WriteByte('}')
	return b.String()
}

// ReadableValue returns a value so that each class can be told from the others,
// and SQLite's JSON functions give back each INTEGER, REAL and valid TEXT bit
// for bit: a REAL has a point or an exponent, infinity is 9e999. What JSON has no
// form for is an object with the bytes in hexadecimal, {"blob": "00ff"}, or
// {"text": "ff"} for text that is not UTF-8.
func ReadableValue(v changelog.Value) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		switch {
		case math.IsInf(v, 1):
			return "9e999"
		case math.IsInf(v, -1):
			return "-9e999"
		}
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text
	case string:
		return readableText(v)
	case []byte:
		return `{"blob":"` + hex.EncodeToString(v) + `"}`
	default:
		return "null"
	}
}

func readableText(text string) string {
	if !utf8.ValidString(text) {
		return `{"text":"` + hex.EncodeToString([]byte(text)) + `"}`
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // text and a Builder do not fail
	return strings.TrimSuffix(b.String(), "\n")
}
