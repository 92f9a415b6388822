package quote

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWord is the longest word that is printed whole, in bytes: more than any name,
// address or URL of beeline has.
const maxWord = 512

// Unprintable reports whether a terminal may obey c, or hide it: control characters,
// line separators, the marks that turn the direction of writing, the byte order
// mark, tags and noncharacters.
func Unprintable(c rune) bool {
	switch {
	case unicode.IsControl(c):
		return true
	case c == 0x061c, c == 0x200e, c == 0x200f, 0x2028 <= c && c <= 0x202e, 0x2066 <= c && c <= 0x2069:
		return true
	case c == 0xfeff, c&0xfffe == 0xfffe, 0xfdd0 <= c && c <= 0xfdef, 0xe0000 <= c && c <= 0xe0fff:
		return true
	}
	return false
}

// Word returns s as it is if it is one plain word, else between quotes, with escapes
// in the way of Go. One of more than 512 bytes is cut.
func Word(s string) string {
	if len(s) > maxWord {
		return fmt.Sprintf(`"%s…" (%d bytes)`, escape(cut(s), `"\`), len(s))
	}
	odd := func(c rune) bool {
		return Unprintable(c) || unicode.IsSpace(c) || c == '"' || c == '\\' || c == utf8.RuneError
	}
	if s != "" && strings.IndexFunc(s, odd) < 0 {
		return s
	}
	return `"` + escape(s, `"\`) + `"`
}

// cut returns the beginning of s, which is longer than a word, without the half of a
// character.
func cut(s string) string {
	end := maxWord
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// Text returns text for people, such as an error's, with escapes for what a terminal
// obeys. Its line ends stay.
func Text(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = escape(strings.ReplaceAll(line, "\t", " "), "")
	}
	return strings.Join(lines, "\n")
}

// Line is Text in one line.
func Line(text string) string {
	return Text(strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\n", "; "))
}

// JSON returns text, which is JSON in UTF-8, with escapes for what a terminal obeys:
// such characters occur in strings only, and mean the same there. Line ends between
// values stay.
func JSON(text string) string {
	odd := func(c rune) bool { return c != '\n' && Unprintable(c) }
	if strings.IndexFunc(text, odd) < 0 {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		switch {
		case !odd(c):
			b.WriteRune(c)
		case c > 0xffff: // a pair of surrogates
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(c-0x10000)>>10, 0xdc00+(c-0x10000)&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// escape puts escapes for what is unprintable, and a backslash before the characters
// of special.
func escape(s, special string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case c == utf8.RuneError && isInvalid(s[i:]):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strings.ContainsRune(special, c):
			b.WriteString(`\` + string(c))
		case !Unprintable(c):
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < 0x80:
			fmt.Fprintf(&b, `\x%02x`, c)
		case c > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// isInvalid reports whether s begins with a byte that is no UTF-8.
func isInvalid(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == 1
}
