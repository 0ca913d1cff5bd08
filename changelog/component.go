package changelog

import "slices"

// Component is a set of tables that refer to one another in a circle, or one
// table that is in none.
type Component struct {
	Tables []*Table
	Cyclic bool // also if its only table refers to itself
}

// components returns the tables so that each component comes after those that
// its rows refer to. This is Tarjan's algorithm ("Depth-first search and linear
// graph algorithms", 1972).
func components(tables []*Table) (list []Component) {
	order, low := make(map[*Table]int), make(map[*Table]int)
	var stack []*Table
	var visit func(table *Table)
	visit = func(table *Table) {
		order[table] = len(order) + 1
		low[table] = order[table]
		stack = append(stack, table)
		for _, r := range table.References {
			switch {
			case r.Parent == nil:
			case order[r.Parent] == 0:
				visit(r.Parent)
				low[table] = min(low[table], low[r.Parent])
			case slices.Contains(stack, r.Parent):
				low[table] = min(low[table], order[r.Parent])
			}
		}
		if low[table] != order[table] {
			return
		}
		at := slices.Index(stack, table)
		component := Component{Tables: slices.Clone(stack[at:])}
		stack = stack[:at]
		for _, member := range component.Tables {
			for _, r := range member.References {
				r.Inside = slices.Contains(component.Tables, r.Parent)
				component.Cyclic = component.Cyclic || r.Inside
			}
		}
		list = append(list, component)
	}
	for _, table := range tables {
		if order[table] == 0 {
			visit(table)
		}
	}
	return list
}
