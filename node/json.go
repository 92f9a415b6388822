package node

import (
	"bytes"
	"fmt"
)

// maxDepth is how deep objects and arrays may be nested in each other, the
// outermost counted. The stack of a scanner has that many bits.
const maxDepth = 64

// scanner reads one JSON text (RFC 8259) in place. It checks all of it, keeps no
// copy, does not recurse and does not allocate, except for errors. It takes
// escaped lone surrogates, as encoding/json does, because data is passed on as it came;
// names and ids are checked for them. UTF-8 is checked elsewhere.
type scanner struct {
	text []byte
	at   int
}

// jsonError says what is wrong with a client's text. It is no error of Go's, so
// that no nil of it is taken for one.
type jsonError struct {
	code string // of the error answer
	what string
	at   int // in bytes; 0: the place does not matter
}

func (e *jsonError) text() string {
	if e.at == 0 {
		return e.what
	}
	return fmt.Sprintf("%s at byte %d", e.what, e.at)
}

func (s *scanner) wrong(what string) *jsonError {
	return &jsonError{code: codeMalformed, what: what, at: s.at}
}

// begin enters the object that the text must be.
func (s *scanner) begin() *jsonError {
	s.skip()
	if s.peek() != '{' {
		return s.wrong("not a JSON object")
	}
	s.at++
	return nil
}

// next returns the next field of the outermost object, both parts as they came:
// the key with its quotes. key is nil when the object, and with it the text, is
// at its end.
func (s *scanner) next() (key, value []byte, err *jsonError) {
	first := s.last() == '{'
	s.skip()
	switch c := s.peek(); {
	case c == '}':
		s.at++
		return nil, nil, s.end()
	case first:
	case c == ',':
		s.at++
	default:
		return nil, nil, s.wrong("',' or '}' expected")
	}
	if key, err = s.key(); err != nil {
		return nil, nil, err
	}
	s.skip()
	start := s.at
	if err := s.value(); err != nil {
		return nil, nil, err
	}
	return key, s.text[start:s.at], nil
}

// last is the byte before the current one. Behind a field it is the end of a
// value, which '{' can't be.
func (s *scanner) last() byte { return s.text[s.at-1] }

func (s *scanner) end() *jsonError {
	s.skip()
	if s.at < len(s.text) {
		return s.wrong("more behind the JSON object")
	}
	return nil
}

// key reads a key and its colon.
func (s *scanner) key() ([]byte, *jsonError) {
	s.skip()
	start := s.at
	if s.peek() != '"' {
		return nil, s.wrong("a key in quotes expected")
	}
	if err := s.str(); err != nil {
		return nil, err
	}
	key := s.text[start:s.at]
	s.skip()
	if s.peek() != ':' {
		return nil, s.wrong("':' expected")
	}
	s.at++
	return key, nil
}

// value reads a value inside of the outermost object. What is open is one bit a
// level in a stack: 1 for an object, 0 for an array.
func (s *scanner) value() *jsonError {
	var stack uint64
	for depth := 1; ; {
		s.skip()
		c := s.peek()
		if c != '{' && c != '[' {
			if err := s.scalar(c); err != nil {
				return err
			}
		} else {
			if depth == maxDepth {
				return &jsonError{code: codeTooDeep, what: fmt.Sprintf("nested deeper than %d levels", maxDepth), at: s.at}
			}
			depth++
			stack <<= 1
			if c == '{' {
				stack |= 1
			}
			s.at++
			if empty, err := s.enter(c); err != nil {
				return err
			} else if !empty {
				continue
			}
			depth, stack = depth-1, stack>>1
		}
		more := false
		for depth > 1 && !more {
			var err *jsonError
			if more, err = s.separator(stack&1 == 1); err != nil {
				return err
			}
			if !more {
				depth, stack = depth-1, stack>>1
			}
		}
		if !more {
			return nil
		}
	}
}

// enter reads on behind an opening bracket: to its end if there is nothing
// inside, else to the first value.
func (s *scanner) enter(open byte) (empty bool, err *jsonError) {
	s.skip()
	if s.peek() == open+2 { // '[' and ']', '{' and '}' are two apart
		s.at++
		return true, nil
	}
	if open == '{' {
		_, err = s.key()
	}
	return false, err
}

// separator reads on behind a value: to the next value of the same object or
// array, or over the closing bracket.
func (s *scanner) separator(object bool) (more bool, err *jsonError) {
	s.skip()
	switch c := s.peek(); {
	case c == ',' && object:
		s.at++
		_, err = s.key()
		return true, err
	case c == ',':
		s.at++
		return true, nil
	case c == '}' && object, c == ']' && !object:
		s.at++
		return false, nil
	case object:
		return false, s.wrong("',' or '}' expected")
	}
	return false, s.wrong("',' or ']' expected")
}

func (s *scanner) scalar(c byte) *jsonError {
	switch {
	case c == '"':
		return s.str()
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.wrong("a value expected")
}

func (s *scanner) literal(word string) *jsonError {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return s.wrong("a value expected")
	}
	s.at += len(word)
	return nil
}

func (s *scanner) number() *jsonError {
	if s.peek() == '-' {
		s.at++
	}
	if s.peek() == '0' {
		s.at++
	} else if !s.digits() {
		return s.wrong("a digit expected")
	}
	if s.peek() == '.' {
		s.at++
		if !s.digits() {
			return s.wrong("a digit expected")
		}
	}
	if c := s.peek(); c != 'e' && c != 'E' {
		return nil
	}
	s.at++
	if c := s.peek(); c == '+' || c == '-' {
		s.at++
	}
	if !s.digits() {
		return s.wrong("a digit expected")
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.at
	for isDigit(s.peek()) {
		s.at++
	}
	return s.at > start
}

// str reads a string, from its first quote.
func (s *scanner) str() *jsonError {
	s.at++
	for {
		s.ordinary()
		switch c := s.peek(); {
		case c == '"':
			s.at++
			return nil
		case s.at == len(s.text):
			return s.wrong("a string without end")
		case c != '\\':
			return s.wrong("a control character in a string")
		}
		if err := s.escape(); err != nil {
			return err
		}
	}
}

// ordinary reads over what means itself in a string. Most bytes do.
func (s *scanner) ordinary() {
	rest := s.text[s.at:]
	for i, c := range rest {
		if c < ' ' || c == '"' || c == '\\' {
			s.at += i
			return
		}
	}
	s.at = len(s.text)
}

func (s *scanner) escape() *jsonError {
	s.at++
	c := s.peek()
	if c == 'u' {
		if _, ok := hex4(s.text[s.at+1:]); !ok {
			return s.wrong("four hexadecimal digits expected")
		}
		s.at += 5
		return nil
	}
	if c == 0 || bytes.IndexByte([]byte(`"\/bfnrt`), c) < 0 {
		return s.wrong("an unknown escape")
	}
	s.at++
	return nil
}

// peek returns the current byte, 0 at the end: no value begins with that.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// skip reads over white space.
func (s *scanner) skip() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
