package changelog

import (
	"slices"
	"strings"
)

// parseList takes the text of a CREATE INDEX or CREATE TABLE apart into the
// tokens of each part of its list, and the condition of an index. No pragma
// tells the expressions in them. SQLite has parsed the text before it stored it,
// so what is not well formed need not be thought of.
func parseList(text string) (parts [][]string, condition []string) {
	tokens := tokenize(text)
	open := slices.Index(tokens, "(")
	if open < 0 { // the index of a constraint has no text
		return nil, nil
	}
	depth, start := 0, open+1
	for i := open; i < len(tokens); i++ {
		switch tokens[i] {
		case "(":
			depth++
		case ")":
			depth--
		}
		if depth == 0 || depth == 1 && tokens[i] == "," {
			parts = append(parts, withoutOrder(tokens[start:i]))
			start = i + 1
		}
		if depth == 0 {
			break
		}
	}
	rest := tokens[start:]
	if where := slices.IndexFunc(rest, func(token string) bool { return strings.EqualFold(token, "where") }); where >= 0 {
		condition = trimmed(rest[where+1:])
	}
	return parts, condition
}

// withoutOrder cuts ASC or DESC and blanks from the ends of a part.
func withoutOrder(part []string) []string {
	part = trimmed(part)
	if n := len(part); n > 1 && (strings.EqualFold(part[n-1], "asc") || strings.EqualFold(part[n-1], "desc")) {
		return trimmed(part[:n-1])
	}
	return part
}

func trimmed(tokens []string) []string {
	blank := func(token string) bool { return strings.TrimSpace(token) == "" }
	for len(tokens) > 0 && blank(tokens[0]) {
		tokens = tokens[1:]
	}
	for len(tokens) > 0 && blank(tokens[len(tokens)-1]) {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}

// tokenize cuts SQL into words, quoted words and single characters. A comment
// becomes a blank.
func tokenize(text string) (tokens []string) {
	for text != "" {
		n, comment := 1, false
		switch c := text[0]; {
		case strings.HasPrefix(text, "--"):
			n, comment = until(text, 2, "\n"), true
		case strings.HasPrefix(text, "/*"):
			n, comment = until(text, 2, "*/"), true
		case c == '[':
			n = until(text, 1, "]")
		case c == '\'' || c == '"' || c == '`':
			for n < len(text) && (text[n] != c || n+1 < len(text) && text[n+1] == c) {
				if text[n] == c {
					n++ // it stands doubled for itself
				}
				n++
			}
			n = min(n+1, len(text))
		case wordByte(c):
			for n < len(text) && wordByte(text[n]) {
				n++
			}
		}
		token := text[:n]
		if comment {
			token = " "
		}
		tokens = append(tokens, token)
		text = text[n:]
	}
	return tokens
}

// Raises reports whether the text of a trigger calls RAISE.
func Raises(text string) bool { return hasInARow(text, "raise", "(") }

// hasInARow reports whether two tokens stand in SQL, one after the other.
func hasInARow(text, first, second string) bool {
	last := ""
	for _, token := range tokenize(text) {
		if strings.TrimSpace(token) == "" {
			continue
		}
		if strings.EqualFold(last, first) && strings.EqualFold(token, second) {
			return true
		}
		last = token
	}
	return false
}

// withoutComments returns SQL that can stand in the middle of other SQL.
func withoutComments(text string) string { return strings.Join(trimmed(tokenize(text)), "") }

// until returns the length of text up to the first end after its beginning.
func until(text string, beginning int, end string) int {
	if i := strings.Index(text[beginning:], end); i >= 0 {
		return beginning + i + len(end)
	}
	return len(text)
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// declaredName returns the name that a token of a CREATE TABLE stands for. There
// SQLite takes 'a' for a name too.
func declaredName(token string) string {
	if strings.HasPrefix(token, "'") && len(token) > 1 {
		return strings.ReplaceAll(token[1:len(token)-1], "''", "'")
	}
	return unquote(token)
}

// quotedNames returns the names that [Shape.Rows] has put together: that of a
// table, and those of the columns of its key.
func quotedNames(rows string) (names []string) {
	for _, token := range tokenize(rows) {
		if strings.HasPrefix(token, `"`) {
			names = append(names, unquote(token))
		}
	}
	return names
}

// unquote returns the name that a token stands for.
func unquote(token string) string {
	if len(token) < 2 {
		return token
	}
	switch c := token[0]; c {
	case '"', '`':
		return strings.ReplaceAll(token[1:len(token)-1], string(c)+string(c), string(c))
	case '[':
		return token[1 : len(token)-1]
	}
	return token
}
