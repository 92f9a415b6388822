package router

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote returns what a string of valid JSON means, which is given with its quotes.
// Only one with escapes is copied. A lone surrogate, which no UTF-8 can say, becomes
// the three bytes that UTF-8 would have for it, and not U+FFFD as in encoding/json: so
// two strings stay two, and whoever wants UTF-8 finds that this is none.
func Unquote(quoted []byte) []byte {
	b := quoted[1 : len(quoted)-1]
	at := bytes.IndexByte(b, '\\')
	if at < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:at]...)
	for at < len(b) {
		c := b[at]
		if c != '\\' {
			out = append(out, c)
			at++
			continue
		}
		r, size := unescape(b[at:])
		if utf16.IsSurrogate(r) {
			out = append(out, 0xED, 0x80|byte(r>>6&0x3F), 0x80|byte(r&0x3F))
		} else {
			out = utf8.AppendRune(out, r)
		}
		at += size
	}
	return out
}

// unescape decodes the escape at the beginning of b, or the two that are a surrogate
// pair.
func unescape(b []byte) (r rune, size int) {
	if b[1] != 'u' {
		return rune("\"\\/\b\f\n\r\t"[bytes.IndexByte([]byte(`"\/bfnrt`), b[1])]), 2
	}
	r = codeUnit(b)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if pair := utf16.DecodeRune(r, codeUnit(b[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return r, 6
}

// codeUnit is what \uXXXX at the beginning of b says.
func codeUnit(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[2:6]), 16, 16) // valid JSON
	return rune(n)
}
