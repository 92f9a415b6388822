package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What comes from outside (Redis, nodes, clients) is printed so that a terminal
// neither obeys it nor shows another order than there is, and so that it can't be
// taken for what beeline says. Everything else is left as it is, whatever the
// script: names of people must stay legible.

// unprintable reports whether a terminal may obey c, or hide it: control
// characters, line separators, the marks that turn the direction of writing,
// the byte order mark and other noncharacters, and what stands for invalid UTF-8.
func unprintable(c rune) bool {
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

// quoted returns s as it is if it is one plain word, else between quotes, with
// escapes in the way of Go.
func quoted(s string) string {
	odd := func(c rune) bool {
		return unprintable(c) || unicode.IsSpace(c) || c == '"' || c == '\\' || c == utf8.RuneError
	}
	if s != "" && strings.IndexFunc(s, odd) < 0 {
		return s
	}
	return `"` + escape(s, `"\`) + `"`
}

// harmless returns text for people, such as an error's, with escapes for what a
// terminal obeys. Line ends stay.
func harmless(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = escape(strings.ReplaceAll(line, "\t", " "), "")
	}
	return strings.Join(lines, "\n")
}

// escape puts escapes for what is unprintable, and a backslash before the characters
// of special.
func escape(s, special string) string {
	var b strings.Builder
	for i, c := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strings.ContainsRune(special, c):
			b.WriteString(`\` + string(c))
		case !unprintable(c):
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
