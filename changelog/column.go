package changelog

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Column is one column of a table.
type Column struct {
	Name     string
	Affinity string // "INTEGER", "TEXT", "REAL", "NUMERIC" or ""
	// Collation is how a column of the key is compared, "" where that needs
	// no mention: the key and the column both compare bytes.
	Collation string
	index     string // the collation of the key's index, "" if it has none
	// Default is the column's default if that is a literal, else nil: a row
	// must look the same on every device, so nothing that is computed counts.
	Default Value

	computed bool // the default is no literal
	// substitute is the default, in SQL, if REPLACE puts it in the place of
	// NULL, else "".
	substitute string
}

// Loose reports whether two values of a key column can be equal and not alike:
// 1 and 1.0 where the column keeps both, 'a' and 'A' under NOCASE. The newest
// put of a row says how its key is written.
func (c *Column) Loose() bool {
	return c.Affinity == "" || c.Collation == "NOCASE" || c.Collation == "RTRIM"
}

// Compared returns the operand of a comparison with this column of a key.
func (c *Column) Compared(operand string) string {
	if c.Collation == "" {
		return operand
	}
	return operand + " COLLATE " + c.Collation
}

// ConflictTarget returns what stands for the key after ON CONFLICT. Without
// collations it could be another unique index on the same columns.
func (t *Table) ConflictTarget() string {
	names := make([]string, len(t.Key))
	for i, column := range t.Key {
		names[i] = Quote(column.Name)
		if column.index != "" {
			names[i] += " COLLATE " + column.index
		}
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// Identity returns the canonical encoding of a row's key in this table: two
// keys name the same row here if and only if their identities are equal.
func (t *Table) Identity(key Key) string { return t.Fold(key).Identity() }

// Fold returns the key that stands for all that name the same row in this table.
func (t *Table) Fold(key Key) Key {
	folded := key
	for i := range t.Key {
		text, isText := key[i].(string)
		if !isText || t.Key[i].Collation == "" || t.Key[i].Collation == "BINARY" {
			continue
		}
		if &folded[0] == &key[0] {
			folded = slices.Clone(key)
		}
		folded[i] = fold(text, t.Key[i].Collation)
	}
	return folded
}

// fold returns the text that stands for all that a collation of SQLite's holds
// equal to text.
func fold(text, collation string) string {
	if collation == "RTRIM" {
		return strings.TrimRight(text, " ")
	}
	// NOCASE looks at nothing behind a NUL but the length.
	if end := strings.IndexByte(text, 0); end >= 0 {
		text = text[:end] + strings.Repeat("\x00", len(text)-end)
	}
	return CanonicalName(text)
}

// Stores reports whether the table stores the key as it is. A column of another
// type would turn it into another key: '1' into 1, or 1 into '1'.
func (t *Table) Stores(key Key) bool {
	for i, column := range t.Key {
		switch v := key[i].(type) {
		case int64, float64:
			if n, isInteger := v.(int64); column.Affinity == "TEXT" || isInteger && column.Affinity == "REAL" && !exact(n) {
				return false
			}
		case string:
			if column.Affinity != "TEXT" && column.Affinity != "" && numberPattern.MatchString(v) {
				return false
			}
		}
	}
	return true
}

// exact reports whether a real is the same number.
func exact(n int64) bool { return -1<<53 <= n && n <= 1<<53 }

// numberPattern matches the texts that numeric columns turn into numbers.
var numberPattern = regexp.MustCompile(`^[ \t-\r]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t-\r]*(\x00|$)`)

// affinity follows "Determination Of Column Affinity" in
// https://www.sqlite.org/datatype3.html.
func affinity(declared string, strict bool) string {
	declared = strings.ToUpper(declared)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(declared, part) })
	}
	switch {
	case strict && declared == "ANY":
		return ""
	case has("INT"):
		return "INTEGER"
	case has("CHAR", "CLOB", "TEXT"):
		return "TEXT"
	case declared == "" || has("BLOB"):
		return ""
	case has("REAL", "FLOA", "DOUB"):
		return "REAL"
	default:
		return "NUMERIC"
	}
}

// literalPattern matches the defaults that are literals. Anything else
// (CURRENT_TIMESTAMP, an expression) differs from device to device.
var literalPattern = regexp.MustCompile(
	`(?is)^(TRUE|FALSE|[+-]?\s*(0x[0-9a-f_]+|(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d[\d_]*)?)|x?'([^']|'')*')$`)

// defaultText returns a default as SQL means it elsewhere: there, a bare or
// quoted name is a text.
func defaultText(declared string) string {
	tokens := tokenize(declared)
	if len(tokens) != 1 || tokens[0][0] == '\'' || !wordByte(tokens[0][0]) && !strings.ContainsRune("\"`[", rune(tokens[0][0])) ||
		'0' <= tokens[0][0] && tokens[0][0] <= '9' {
		return declared
	}
	switch CanonicalName(declared) {
	case "true", "false", "null", "current_time", "current_date", "current_timestamp":
		return declared
	}
	return "'" + strings.ReplaceAll(unquote(declared), "'", "''") + "'"
}

// readDefault reads what the column gets for want of a value.
func (c *Column) readDefault(ctx context.Context, conn *Conn, text string, notNull bool) (err error) {
	substitute := text
	if literalPattern.MatchString(text) {
		if c.Default, substitute, err = stored(ctx, conn, c.Affinity, text); err != nil {
			return err
		}
	} else {
		c.computed = CanonicalName(text) != "null"
	}
	if notNull {
		c.substitute = "(" + substitute + ")"
	}
	return nil
}

// stored returns the literal as the column stores it, and as SQL. That takes a
// column: no expression applies an affinity as columns do, CAST neither.
func stored(ctx context.Context, c *Conn, affinity, literal string) (Value, string, error) {
	err := c.Script(ctx, fmt.Sprintf("DROP TABLE IF EXISTS temp.sqlitesync_default; CREATE TEMP TABLE sqlitesync_default (value %s); INSERT INTO temp.sqlitesync_default VALUES (%s)",
		affinity, literal))
	if err != nil {
		return nil, "", err
	}
	var v any
	var text string
	if err := c.Get(ctx, "SELECT +value, quote(value) FROM temp.sqlitesync_default", nil, &v, &text); err != nil {
		return nil, "", err
	}
	if err := c.Script(ctx, "DROP TABLE temp.sqlitesync_default"); err != nil {
		return nil, "", err
	}
	value, err := Scanned(v)
	return value, text, err
}

// retyped reports whether the column can make another value of its default, where
// that is known only when it is computed: no expression applies an affinity. Times
// of day stay the texts that they are.
func (c *Column) retyped() bool {
	return c.substitute != "" && c.computed && c.Affinity != "" && !strings.HasPrefix(CanonicalName(c.substitute), "(current_")
}

// unknownCollation is that of a column whose collation this program lacks.
const unknownCollation = "unknown"

// collationOf returns the collation of a column, as far as SQLite's own ones can
// be told apart by what they do: no pragma names it.
func collationOf(ctx context.Context, c *Conn, table, column string) (string, error) {
	var folds, trims bool
	err := c.Get(ctx, fmt.Sprintf("SELECT max(v = 'A'), max(v = 'a ') FROM (SELECT %s AS v FROM %s WHERE 0 UNION ALL SELECT 'a')",
		Quote(column), Quote(table)), nil, &folds, &trims)
	switch {
	case ErrorCode(err) == codeError:
		return unknownCollation, nil
	case folds:
		return "NOCASE", err
	case trims:
		return "RTRIM", err
	}
	return "BINARY", err
}
