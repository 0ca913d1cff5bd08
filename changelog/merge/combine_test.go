package merge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sqlitesync/go/changelog"
	"github.com/sqlitesync/go/changelog/merge"
)

// change is a terse way to write one: kind d(elete), f(ull) or p(artial), with columns given as one letter each.
func change(time int64, kind byte, columns string) changelog.Change {
	kinds := map[byte]changelog.Kind{'d': changelog.Delete, 'f': changelog.Full, 'p': changelog.Partial}
	var names []string
	var values []changelog.Value
	for _, column := range columns {
		names, values = append(names, string(column)), append(values, fmt.Sprintf("%c%d", column, time))
	}
	stamp := changelog.Stamp{Time: time, Device: changelog.DeviceID{byte(time)}, Batch: 1}
	c := changelog.Change{Shape: changelog.NewShape(kinds[kind], "t", []string{"id"}, names), Key: changelog.Key{int64(1)}, Values: values, Stamp: stamp}
	if kind != 'd' {
		c.Birth = stamp
	}
	return c
}

func TestCombine(t *testing.T) {
	for _, test := range []struct {
		name    string
		changes []changelog.Change
		exists  bool
		values  map[string]changelog.Value
		needed  []int64 // times
		birth   int64
	}{
		{"one put", []changelog.Change{change(5, 'f', "ab")}, true, map[string]changelog.Value{"a": "a5", "b": "b5"}, []int64{5}, 5},
		{"the newer put", []changelog.Change{change(5, 'f', "ab"), change(9, 'f', "ab")}, true, map[string]changelog.Value{"a": "a9", "b": "b9"}, []int64{9}, 9},
		{"a wider put", []changelog.Change{change(5, 'f', "a"), change(9, 'f', "ab")}, true, map[string]changelog.Value{"a": "a9", "b": "b9"}, []int64{9}, 9},
		{"a narrower put", []changelog.Change{change(5, 'f', "ab"), change(9, 'f', "a")}, true, map[string]changelog.Value{"a": "a9", "b": "b5"}, []int64{9, 5}, 9},
		{"a delete", []changelog.Change{change(5, 'f', "ab"), change(9, 'd', "")}, false, nil, []int64{9}, 0},
		{"a put after a delete", []changelog.Change{change(5, 'f', "abc"), change(7, 'd', ""), change(9, 'f', "ab")}, true,
			map[string]changelog.Value{"a": "a9", "b": "b9"}, []int64{9, 7}, 9},
		{"a partial put", []changelog.Change{change(5, 'f', "ab"), change(9, 'p', "b")}, true, map[string]changelog.Value{"a": "a5", "b": "b9"}, []int64{9, 5}, 5},
		{"a partial put alone", []changelog.Change{change(9, 'p', "b")}, false, map[string]changelog.Value{"b": "b9"}, []int64{9}, 0},
		{"a partial put revives nothing", []changelog.Change{change(5, 'f', "ab"), change(7, 'd', ""), change(9, 'p', "b")}, false,
			map[string]changelog.Value{"b": "b9"}, []int64{9, 7}, 0},
		{"together they contain all", []changelog.Change{change(3, 'f', "ab"), change(5, 'f', "a"), change(9, 'p', "b")}, true,
			map[string]changelog.Value{"a": "a5", "b": "b9"}, []int64{9, 5}, 5},
		{"existence counts as a column", []changelog.Change{change(3, 'f', "a"), change(9, 'p', "a")}, true, map[string]changelog.Value{"a": "a9"}, []int64{9, 3}, 3},
	} {
		permutations(test.changes, func(order []changelog.Change) {
			w := merge.Combine(append(slices.Clone(order), order[0])) // repetition changes nothing
			var needed []int64
			for _, c := range w.Needed {
				needed = append(needed, c.Stamp.Time)
			}
			if w.Exists != test.exists || fmt.Sprint(w.Values) != fmt.Sprint(test.values) || !slices.Equal(needed, test.needed) || w.Birth().Time != test.birth {
				t.Errorf("%s: exists %t with %v, needs %v, born %v", test.name, w.Exists, w.Values, needed, w.Birth())
			}
		})
	}
}

// What Combine calls not needed may be forgotten at any time: no later change can tell the difference. And the oracle agrees.
func TestCombineForgets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	m := &model{table: "t", key: []string{"id"}, column: []modelColumn{{name: "a"}, {name: "b"}, {name: "c"}}}
	for range 20000 {
		var all, kept []changelog.Change
		for range 1 + random.IntN(6) {
			kind := "dffp"[random.IntN(4)]
			columns := []string{"a", "ab", "abc", "b", "c", "ac"}[random.IntN(6)]
			if kind == 'd' {
				columns = ""
			}
			c := change(1+random.Int64N(6), kind, columns)
			all = append(all, c)
			kept = merge.Combine(append(kept, c)).Needed
		}
		once, step := merge.Combine(all), merge.Combine(kept)
		if once.Exists != step.Exists || fmt.Sprint(once.Values) != fmt.Sprint(step.Values) || once.Birth() != step.Birth() || len(once.Needed) != len(step.Needed) {
			t.Fatalf("%s: at once %+v, step by step %+v", described(all), once, step)
		}
		slices.SortFunc(all, newerFirst)
		row, exists := m.winner(all)
		if exists != once.Exists {
			t.Fatalf("%s: exists %t, the oracle says %t", described(all), once.Exists, exists)
		}
		for _, column := range m.column {
			if exists && row.values[column.name] != once.Values[column.name] {
				t.Fatalf("%s: %v, the oracle says %v", described(all), once.Values, row.values)
			}
		}
	}
}
