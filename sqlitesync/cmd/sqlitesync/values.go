package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// object returns values by column as JSON, in the form of help json; nil for a
// delete.
func object(values map[string]any) json.RawMessage {
	if values == nil {
		return json.RawMessage("null")
	}
	names := slices.Sorted(maps.Keys(values))
	list := make([]changelog.Value, len(names))
	for i, name := range names {
		list[i] = values[name]
	}
	return json.RawMessage(merge.ReadableObject(names, list))
}

// array returns the values of a key as JSON.
func array(values []any) []json.RawMessage {
	list := make([]json.RawMessage, len(values))
	for i, value := range values {
		list[i] = json.RawMessage(merge.ReadableValue(value))
	}
	return list
}

// keyText returns a key for people.
func keyText(values []any) string {
	text := ""
	for i, value := range values {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(merge.ReadableValue(value))
	}
	return text
}
