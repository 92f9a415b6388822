package node

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns what a checked string means. Only one with escapes is copied.
// Lone surrogates become U+FFFD.
func unquote(quoted []byte) []byte {
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
		out = utf8.AppendRune(out, r)
		at += size
	}
	return out
}

// unescape decodes the checked escape at the beginning of b, or the two that are
// a surrogate pair.
func unescape(b []byte) (r rune, size int) {
	if b[1] != 'u' {
		return rune("\"\\/\b\f\n\r\t"[bytes.IndexByte([]byte(`"\/bfnrt`), b[1])]), 2
	}
	r, _ = hex4(b[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if low, ok := hex4(b[8:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return utf8.RuneError, 6
}

// quotedSize is what appendQuoted appends, in bytes.
func quotedSize(text string) int {
	size := 2
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			size += 2
		case c < ' ':
			size += 6
		case c < utf8.RuneSelf:
			size++
		default:
			r, n := utf8.DecodeRuneInString(text[i:])
			size += n
			if r == utf8.RuneError && n == 1 {
				size += len("\uFFFD") - 1
			}
			i += n
			continue
		}
		i++
	}
	return size
}

// appendQuoted appends text as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendQuoted(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[r>>4], "0123456789abcdef"[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// appendHex appends n in hexadecimal digits.
func appendHex(b []byte, n uint64) []byte { return strconv.AppendUint(b, n, 16) }
