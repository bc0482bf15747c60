package idle

import "bytes"

// effect is what a statement does to the session's transaction, as far as its text tells.
type effect uint8

const (
	blank     effect = iota // there is no statement
	nothing                 // under autocommit=0 this begins a transaction all the same
	opens                   // begins a transaction, or locks tables, or may do so
	closes                  // COMMIT or ROLLBACK
	manual                  // autocommit=0
	automatic               // autocommit=1
	doubts                  // something that can't be followed
)

// statements notes what a text does that holds one statement or several; whole tells that it is all there. Of the further
// ones it is not known whether they come to be executed, so that they can only begin something. A semicolon within a
// string is taken for the end of a statement: what follows it begins a transaction at worst that there is not.
func (t *Tracker) statements(text []byte, whole bool) {
	end := bytes.IndexByte(text, ';')
	if end < 0 {
		t.apply(effectOf(text, whole))
		return
	}
	t.apply(effectOf(text[:end], true))
	for end >= 0 {
		text = text[end+1:]
		end = bytes.IndexByte(text, ';')
		one, all := text, whole
		if end >= 0 {
			one, all = text[:end], true
		}
		switch e := effectOf(one, all); e {
		case closes, automatic:
		default:
			t.apply(e)
		}
	}
}

// another tells whether a part of a text may hold the beginning of a further statement.
func another(part []byte, whole bool) bool {
	i := bytes.IndexByte(part, ';')
	return i >= 0 && (!whole || len(bytes.TrimSpace(part[i+1:])) > 0)
}

// effectOf looks at one statement; whole tells that it is all there. Where its end is missing that matters, it is taken to
// begin a transaction.
func effectOf(text []byte, whole bool) effect {
	e := effectOfCode(text, whole)
	if at := bytes.IndexByte(text, '!'); at >= 0 && (e == closes || e == automatic) {
		return opens // in a comment for some versions of the server: it may not be carried out
	}
	return e
}

func effectOfCode(text []byte, whole bool) effect {
	text, ok := code(text)
	word, rest := firstWord(text)
	switch {
	case !whole && (!ok || len(rest) == 0):
		return opens
	case len(text) == 0:
		return blank
	case len(word) == 0:
		return nothing
	}
	switch word[0] | 0x20 {
	case 'b':
		if is(word, "BEGIN") {
			return opens
		}
	case 'c':
		if is(word, "COMMIT") {
			return ending(rest, whole)
		}
	case 'f':
		if is(word, "FLUSH") && find(rest, "LOCK") >= 0 { // TABLES WITH READ LOCK
			return opens
		}
	case 'l':
		if is(word, "LOCK") {
			return opens
		}
	case 'r':
		if is(word, "ROLLBACK") {
			return ending(rest, whole)
		}
	case 's':
		if is(word, "START") {
			return opens
		}
		if is(word, "SET") {
			return setting(rest, whole)
		}
	case 'x':
		if is(word, "XA") {
			return doubts
		}
	}
	return nothing
}

// ending is the effect of COMMIT or ROLLBACK with these further words: AND CHAIN begins the next transaction, TO goes
// back within the present one.
func ending(rest []byte, whole bool) effect {
	text, ok := code(rest)
	if word, after := firstWord(text); is(word, "WORK") {
		text, ok = code(after)
	}
	if !ok || !whole || len(text) > 0 {
		return opens
	}
	return closes
}

// setting is the effect of SET.
func setting(rest []byte, whole bool) effect {
	at := find(rest, "AUTOCOMMIT")
	switch {
	case find(rest, "COMPLETION_TYPE") >= 0:
		return doubts
	case !whole:
		return opens
	case at < 0:
		return blank // it begins no transaction
	}
	value := rest[at+len("AUTOCOMMIT"):]
	if find(value, "AUTOCOMMIT") >= 0 || find(rest, "GLOBAL") >= 0 || find(rest, "PERSIST") >= 0 {
		return doubts
	}
	value = bytes.TrimLeft(value, " \t\r\n:=`'\"")
	word, _ := firstWord(value)
	digit := len(value) > 0 && (len(value) == 1 || !letter(value[1]))
	switch {
	case is(word, "OFF"), is(word, "FALSE"), digit && value[0] == '0':
		return manual
	case is(word, "ON"), is(word, "TRUE"), digit && value[0] == '1':
		return automatic
	}
	return doubts
}

// code skips what stands before the first word of a statement: blanks, parentheses and comments. What is within a comment
// for some versions of the server counts as code. ok is false when a comment has no end.
func code(text []byte) (rest []byte, ok bool) {
	for {
		text = bytes.TrimLeft(text, " \t\r\n\f\v(\x00")
		var end int
		switch {
		case bytes.HasPrefix(text, []byte("/*!")), bytes.HasPrefix(text, []byte("/*M!")), bytes.HasPrefix(text, []byte("/*m!")):
			text = bytes.TrimLeft(text[3:], "!0123456789")
			continue
		case bytes.HasPrefix(text, []byte("*/")):
			text = text[2:]
			continue
		case bytes.HasPrefix(text, []byte("/*")):
			if end = bytes.Index(text[2:], []byte("*/")); end >= 0 {
				end += 4
			}
		case bytes.HasPrefix(text, []byte("#")), bytes.HasPrefix(text, []byte("--")):
			if end = bytes.IndexByte(text, '\n'); end >= 0 {
				end++
			}
		default:
			return text, true
		}
		if end < 0 {
			return nil, false
		}
		text = text[end:]
	}
}

// firstWord parts the letters, digits and underscores that a text begins with from the rest.
func firstWord(text []byte) (word, rest []byte) {
	i := 0
	for i < len(text) && letter(text[i]) {
		i++
	}
	return text[:i], text[i:]
}

func letter(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// is tells whether a word is an upper-case keyword, however it is written.
func is(word []byte, keyword string) bool {
	if len(word) != len(keyword) {
		return false
	}
	for i, c := range word {
		if c&^0x20 != keyword[i] && c != keyword[i] {
			return false
		}
	}
	return true
}

// find looks for an upper-case keyword anywhere, however it is written; -1 when it is not there.
func find(text []byte, keyword string) int {
	for i := 0; i+len(keyword) <= len(text); i++ {
		if is(text[i:i+len(keyword)], keyword) {
			return i
		}
	}
	return -1
}
