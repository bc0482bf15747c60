package fakefe

import "strings"

// tokenKind says what a token is.
type tokenKind int

const (
	endToken tokenKind = iota
	wordToken
	numberToken
	textToken     // 'abc' or "abc"
	variableToken // @@name, without the @@ and without session. or global.
	userToken     // @name
	symbolToken   // one character
)

// token is a piece of a statement.
type token struct {
	kind tokenKind
	// text is the word, the number's digits, the string's content, the variable's name or the symbol.
	text       string
	start, end int // in the statement
}

// is reports whether the token is this word, in any case, or this symbol.
func (t token) is(s string) bool {
	return (t.kind == wordToken || t.kind == symbolToken) && strings.EqualFold(t.text, s)
}

// lexer takes a statement apart. Comments count as space.
type lexer struct {
	sql string
	off int
}

// tokens returns all tokens of a statement, without the end and without semicolons at the end.
func tokens(sql string) []token {
	l := lexer{sql: sql}
	var all []token
	for {
		t := l.scan()
		if t.kind == endToken {
			break
		}
		all = append(all, t)
	}
	for len(all) > 0 && all[len(all)-1].is(";") {
		all = all[:len(all)-1]
	}
	return all
}

// canonical is a statement in one spelling: lower case but for strings, single spaces, no comments.
func canonical(sql string) string {
	var b strings.Builder
	for _, t := range tokens(sql) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		switch t.kind {
		case textToken:
			b.WriteString("'" + t.text + "'")
		case variableToken:
			b.WriteString("@@" + strings.ToLower(t.text))
		case userToken:
			b.WriteString("@" + strings.ToLower(t.text))
		default:
			b.WriteString(strings.ToLower(t.text))
		}
	}
	return b.String()
}

func (l *lexer) scan() token {
	l.skipSpace()
	start := l.off
	if start == len(l.sql) {
		return token{kind: endToken, start: start, end: start}
	}
	t := token{start: start}
	switch c := l.sql[start]; {
	case c == '\'' || c == '"':
		t.kind, t.text = textToken, l.quoted(c)
	case c == '`':
		t.kind, t.text = wordToken, l.quoted(c)
	case c == '@':
		t.kind, t.text = l.variable()
	case isDigit(c):
		t.kind, t.text = numberToken, l.while(func(c byte) bool { return isDigit(c) || c == '.' })
	case isWord(c):
		t.kind, t.text = wordToken, l.while(isWord)
	default:
		l.off++
		t.kind, t.text = symbolToken, l.sql[start:l.off]
	}
	t.end = l.off
	return t
}

// variable reads @name, @@name, @@session.name and @@global.name.
func (l *lexer) variable() (tokenKind, string) {
	kind := userToken
	l.off++
	if strings.HasPrefix(l.sql[l.off:], "@") {
		kind = variableToken
		l.off++
	}
	l.skipSpace()
	name := l.while(func(c byte) bool { return isWord(c) || c == '.' || c == '`' })
	name = strings.ReplaceAll(name, "`", "")
	if kind == variableToken {
		for _, scope := range []string{"session.", "global.", "local."} {
			if len(name) > len(scope) && strings.EqualFold(name[:len(scope)], scope) {
				name = name[len(scope):]
			}
		}
	}
	return kind, name
}

// quoted reads a string in quotes; a doubled quote and, but for `, a backslash let the quote be part of it.
func (l *lexer) quoted(quote byte) string {
	l.off++
	start := l.off
	if i := strings.IndexByte(l.sql[start:], quote); i >= 0 {
		// The usual string, which may be 64 MB long, is not copied.
		plain := l.sql[start : start+i]
		if strings.IndexByte(plain, '\\') < 0 && !strings.HasPrefix(l.sql[start+i+1:], string(quote)) {
			l.off = start + i + 1
			return plain
		}
	}
	var b strings.Builder
	for l.off < len(l.sql) {
		c := l.sql[l.off]
		l.off++
		switch {
		case c == '\\' && quote != '`' && l.off < len(l.sql):
			b.WriteByte(unescape(l.sql[l.off]))
			l.off++
		case c == quote && l.off < len(l.sql) && l.sql[l.off] == quote:
			b.WriteByte(quote)
			l.off++
		case c == quote:
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// unescape is what a backslash makes of c.
func unescape(c byte) byte {
	switch c {
	case '0':
		return 0
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'Z':
		return 26
	}
	return c
}

func (l *lexer) while(in func(byte) bool) string {
	start := l.off
	for l.off < len(l.sql) && in(l.sql[l.off]) {
		l.off++
	}
	return l.sql[start:l.off]
}

// skipSpace steps over space and comments: /* */, # and -- to the end of the line.
func (l *lexer) skipSpace() {
	for l.off < len(l.sql) {
		rest := l.sql[l.off:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.off++
		case strings.HasPrefix(rest, "/*"):
			l.skipTo("*/")
		case rest[0] == '#', rest == "--", strings.HasPrefix(rest, "-- "), strings.HasPrefix(rest, "--\n"):
			l.skipTo("\n")
		default:
			return
		}
	}
}

func (l *lexer) skipTo(end string) {
	i := strings.Index(l.sql[l.off:], end)
	if i < 0 {
		l.off = len(l.sql)
		return
	}
	l.off += i + len(end)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' || c >= 0x80
}
