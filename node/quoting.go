package node

import (
	"strconv"
	"unicode/utf8"
)

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
