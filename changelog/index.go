package changelog

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Unique is a UNIQUE constraint or index other than the key.
type Unique struct {
	Terms []Term
	// Condition is the WHERE of a partial index, over the columns of the
	// table; "" if every row is in the index.
	Condition string

	// opaque: nobody but the index itself may compute what a row has in it.
	opaque bool
}

// maxTerms is for how many columns a condition is no deeper than SQLite allows.
const maxTerms = 400

// Whether nobody but an index itself may compute what rows have in it.
const (
	notOpaque     = 0
	opaque        = 1
	opaqueWritten = 2 // and the table was written to since its rows were looked up
)

// opaque reports whether REPLACE can remove rows of the table that no trigger
// notes.
func (t *Table) opaque() bool {
	return slices.ContainsFunc(t.Unique, func(unique Unique) bool { return unique.opaque })
}

// noteOpaque remembers whether the table is opaque. Of the last writes before it
// ceased to be, nobody has looked what they removed.
func (db *Database) noteOpaque(ctx context.Context, table *Table, stale *Stale) error {
	if table.opaque() {
		_, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET opaque = max(opaque, ?) WHERE number = ?", opaque, table.Number)
		return err
	}
	result, err := db.Conn.Exec(ctx, "UPDATE sqlitesync_tables SET opaque = ? WHERE number = ? AND opaque <> ?", notOpaque, table.Number, notOpaque)
	if err != nil {
		return err
	}
	ceased, err := result.RowsAffected()
	stale.Removed = stale.Removed || ceased > 0
	return err
}

// Term is one column or expression of an index.
type Term struct {
	// Expression is SQL over the columns of the table.
	Expression string
	Collation  string

	columns []Column // those that it depends on
	opaque  bool
	plain   bool // it is one column that is not generated
}

// indexRow is a column of an index as SQLite lists them.
type indexRow struct {
	index, origin string
	position      int // of the column in the table, -2 for an expression
	term          int
	collation     string
}

// readIndexes fills in table.Unique and the collations of table.Key.
func readIndexes(ctx context.Context, c *Conn, table *Table, columns []columnRow, texts map[string]string) (reason, hint string, err error) {
	rows, err := c.Query(ctx, `SELECT l.name, l.origin, x.cid, x.seqno, x.coll
		FROM pragma_index_list(?, 'main') l, pragma_index_xinfo(l.name, 'main') x
		WHERE l."unique" AND x.key ORDER BY l.seq, x.seqno`, table.Name)
	if err != nil {
		return "", "", err
	}
	defer rows.Close()
	var found []indexRow
	for rows.Next() {
		var row indexRow
		if err := rows.Scan(&row.index, &row.origin, &row.position, &row.term, &row.collation); err != nil {
			return "", "", err
		}
		found = append(found, row)
	}
	if err := rows.Err(); err != nil {
		return "", "", err
	}
	for i, row := range found {
		// As the app wrote it; SQLite takes it in any case.
		if upper := strings.ToUpper(row.collation); upper == "BINARY" || upper == "NOCASE" || upper == "RTRIM" {
			row.collation = upper
		} else {
			return fmt.Sprintf("its unique index %q has the collation %s", row.index, row.collation),
				"use one of SQLite's own collations, or exclude the table", nil
		}
		if row.origin == "pk" {
			key := &table.Key[columns[row.position].key-1]
			if key.index != "" {
				return fmt.Sprintf("its key names the column %q twice", key.Name), "name it once", nil
			}
			key.Collation, key.index = row.collation, row.collation
			continue
		}
		terms, where := parseList(texts[CanonicalName(row.index)])
		if i == 0 || found[i-1].index != row.index {
			table.Unique = append(table.Unique, Unique{Condition: strings.Join(literals(where, columns), "")})
		}
		unique := &table.Unique[len(table.Unique)-1]
		term := readTerm(columns, &row, terms)
		if unique.Terms = append(unique.Terms, term); len(unique.Terms) > maxTerms {
			return fmt.Sprintf("its unique index %q has more than %d columns", row.index, maxTerms), "use fewer, or exclude the table", nil
		}
		// In a trigger's query from a table called new, NEW is the table.
		unique.opaque = unique.opaque || term.opaque || CanonicalName(table.Name) == "new"
	}
	if len(table.Key) == 1 && table.Key[0].index == "" { // it is the rowid: SQLite chooses it when the triggers before have run
		for i := range table.Unique {
			table.Unique[i].opaque = table.Unique[i].opaque || table.Unique[i].computes(table.Key[0].Name)
		}
	}
	for i := range table.Key {
		key := &table.Key[i]
		if key.Collation == "NOCASE" || key.Collation == "RTRIM" {
			continue
		}
		collation, err := collationOf(ctx, c, table.Name, key.Name)
		if err != nil {
			return "", "", err
		}
		switch key.Collation = ""; collation {
		case "BINARY": // as the key's index: it needs no mention
		case unknownCollation:
			return fmt.Sprintf("its key column %q has a collation that is not known here", key.Name),
				"let this program register it, or exclude the table", nil
		default:
			key.Collation = "BINARY"
		}
	}
	return "", "", nil
}

// computes reports whether rows have something in the index that is made of the
// column.
func (u *Unique) computes(column string) bool {
	return slices.ContainsFunc(u.Terms, func(term Term) bool {
		return !term.plain && slices.ContainsFunc(term.columns, func(c Column) bool { return c.Name == column })
	})
}

func readTerm(columns []columnRow, row *indexRow, texts [][]string) Term {
	term := Term{Collation: row.collation}
	if row.position >= 0 {
		column := &columns[row.position]
		term.Expression, term.plain = Quote(column.name), column.hidden == 0
		term.columns = dependencies(columns, []string{term.Expression})
	} else {
		text := literals(texts[row.term], columns)
		term.Expression, term.columns = "("+strings.Join(text, "")+")", dependencies(columns, text)
		term.opaque = canFail(text) || compares(text) && slices.ContainsFunc(term.columns, func(c Column) bool { return c.Affinity != "" })
	}
	for _, column := range columns {
		if column.hidden == 0 || !slices.ContainsFunc(term.columns, func(c Column) bool { return c.Name == column.name }) {
			continue
		}
		// SQLite computes it for the trigger before defaults take the place of NULLs.
		substituted := slices.ContainsFunc(dependencies(columns, column.generation), func(c Column) bool { return c.substitute != "" })
		term.opaque = term.opaque || substituted || canFail(column.generation)
	}
	term.opaque = term.opaque || slices.ContainsFunc(term.columns, func(c Column) bool { return foreign(tokenize(c.substitute)) || !term.plain && c.retyped() })
	return term
}

// literals returns the tokens with the texts that stand in double quotes in
// single ones. SQLite takes a quoted name that is none for a text in an index
// that was made so, but need not in a trigger.
func literals(tokens []string, columns []columnRow) []string {
	tokens = slices.Clone(tokens)
	for i, token := range tokens {
		isName := func(c columnRow) bool { return CanonicalName(c.name) == CanonicalName(unquote(token)) }
		call := i+1 < len(tokens) && tokens[i+1] == "("
		if token[0] == '"' && !call && !slices.ContainsFunc(columns, isName) {
			tokens[i] = "'" + strings.ReplaceAll(unquote(token), "'", "''") + "'"
		}
	}
	return tokens
}

// compares reports whether an expression compares anything. What a comparison
// makes of its operands depends on whether they are columns, and of which type:
// for the new row a trigger has only values.
func compares(tokens []string) bool {
	return slices.ContainsFunc(tokens, func(token string) bool { return comparisons[CanonicalName(token)] })
}

var comparisons = map[string]bool{"=": true, "<": true, ">": true, "in": true, "between": true, "is": true, "case": true, "nullif": true}

// canFail reports whether an expression can end in an error, as JSON functions
// do for what is no JSON. In a trigger of ours it would refuse a write that the
// table's own rules would have passed over, or refused in other words.
func canFail(tokens []string) bool {
	last := ""
	for _, token := range tokens {
		switch {
		case strings.TrimSpace(token) == "":
			continue
		case token == "(" && last != "" && wordByte(last[0]) && !harmless[CanonicalName(last)], token == ">" && last == "-":
			return true
		}
		last = unquote(token)
	}
	return false
}

// harmless holds the words before a parenthesis that never fail.
var harmless = map[string]bool{
	"and": true, "or": true, "not": true, "in": true, "case": true, "when": true, "then": true, "else": true, "between": true, "is": true,
	"as": true, "always": true, "like": true, "glob": true, "cast": true, "collate": true,
	"coalesce": true, "date": true, "datetime": true, "format": true, "hex": true, "ifnull": true, "iif": true, "instr": true,
	"json_valid": true, "julianday": true, "length": true, "lower": true, "ltrim": true, "max": true, "min": true, "nullif": true,
	"quote": true, "replace": true, "round": true, "rtrim": true, "sign": true, "strftime": true, "substr": true, "substring": true,
	"time": true, "trim": true, "typeof": true, "unicode": true, "unixepoch": true, "upper": true,
}

// foreign reports whether a default calls what not every program has, or what is
// another value each time. A trigger of ours that names the one would refuse the
// writes of those that lack it, and that give the column a value; with the other it
// would look for a value that the row does not get.
func foreign(tokens []string) bool {
	recent := slices.ContainsFunc(tokens, func(token string) bool { return newer[CanonicalName(token)] })
	return recent || canFail(slices.DeleteFunc(tokens, func(token string) bool { return everywhere[CanonicalName(token)] }))
}

// everywhere holds functions that can fail, and that every SQLite has.
var everywhere = map[string]bool{"abs": true, "char": true, "printf": true, "zeroblob": true}

// newer holds functions that never fail where there are any: not before SQLite 3.32.
var newer = map[string]bool{"format": true, "iif": true, "sign": true, "substring": true, "unixepoch": true}

// dependencies returns the columns that SQL names, and those that generated
// columns among them are made of. SQLite computes a generated column for a
// trigger only from what the trigger names.
func dependencies(columns []columnRow, tokens []string) (found []Column) {
	named := make([]bool, len(columns))
	for pending := [][]string{tokens}; len(pending) > 0; pending = pending[1:] {
		for _, token := range pending[0] {
			i := slices.IndexFunc(columns, func(c columnRow) bool { return CanonicalName(c.name) == CanonicalName(unquote(token)) })
			if i >= 0 && !named[i] { // a column may be called as its own type, or as a function in it
				named[i] = true
				pending = append(pending, columns[i].generation)
			}
		}
	}
	for i := range columns {
		if named[i] {
			found = append(found, columns[i].column)
		}
	}
	return found
}

// claims returns, in SQL for a BEFORE trigger, the values that the new row has
// in the index, and, if these can differ, the values that it has once REPLACE
// has put defaults in the place of NULLs that are not allowed.
func (u *Unique) claims(table *Table) [][]string {
	asIs, substituted := make([]string, len(u.Terms)), make([]string, len(u.Terms))
	for i := range u.Terms {
		asIs[i] = u.Terms[i].claim(table, newValue)
		substituted[i] = u.Terms[i].claim(table, newSubstituted)
	}
	if slices.Equal(asIs, substituted) {
		return [][]string{asIs}
	}
	return [][]string{asIs, substituted}
}

func newValue(column *Column) string { return "NEW." + Quote(column.Name) }

func newSubstituted(column *Column) string {
	if column.substitute == "" {
		return newValue(column)
	}
	return fmt.Sprintf("ifnull(%s, %s)", newValue(column), column.substitute)
}

func (t *Term) claim(table *Table, value func(*Column) string) string {
	if t.plain {
		return newSubstituted(&t.columns[0])
	}
	if len(t.columns) == 0 { // the index of a table that may have one such row
		return t.Expression
	}
	names, values := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i := range t.columns {
		name := Quote(t.columns[i].Name)
		names[i], values[i] = name+" AS "+name, value(&t.columns[i])
	}
	// Only a column lends its collation to an expression, NEW does not. The
	// columns of a compound SELECT have those of its first part. A column can be
	// called false.
	return fmt.Sprintf("(SELECT %s FROM (SELECT %s FROM %s WHERE 0 UNION ALL SELECT %s))",
		t.Expression, strings.Join(names, ", "), Quote(table.Name), strings.Join(values, ", "))
}

// Match returns the condition that a row has the values of claims, one for
// each term, in the index.
func (u *Unique) Match(claims []string) string {
	var terms []string
	// With what ANALYZE has counted in a table of one or two rows, SQLite would
	// read all of it rather than look into a partial index.
	equals := "%s = %s COLLATE %s"
	if u.Condition != "" {
		equals = "unlikely(" + equals + ")"
	}
	for i, term := range u.Terms {
		terms = append(terms, fmt.Sprintf(equals, term.Expression, claims[i], term.Collation))
	}
	if u.Condition != "" {
		terms = append(terms, "("+u.Condition+")")
	}
	return strings.Join(terms, " AND ")
}

// updated returns the columns whose update can change what a row has in the
// index, nil if any could.
func (u *Unique) updated() (names []string) {
	if u.Condition != "" {
		return nil
	}
	for _, term := range u.Terms {
		if !term.plain {
			return nil
		}
		names = append(names, term.Expression)
	}
	return names
}
