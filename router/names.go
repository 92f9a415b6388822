package router

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxAddress is the longest address, in bytes.
const MaxAddress = 256

// reserved are the first characters of addresses that are no client's: '#' marks
// groups, '@' back ends and '$' the cluster's own. Nothing has such an address yet.
const reserved = "#@$"

// CheckClient says what is wrong with a client's name, or returns nil. A name has 1
// to MaxAddress bytes of UTF-8 and does not begin with '#', '@' or '$'. It has no
// control characters, surrogates, noncharacters, line or paragraph separators, and
// none of the characters that embed, override or isolate the direction of text
// (U+202A to U+202E, U+2066 to U+2069): these are invisible, or make a name be shown
// as another one. All other code points are allowed, also those that this program's
// tables of Unicode don't know. Names are compared byte for byte.
func CheckClient(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if first := rune(name[0]); strings.ContainsRune(reserved, first) {
		return fmt.Errorf("it begins with %U, '%c'; allowed is any other first character but '#', '@' and '$'", first, first)
	}
	return nil
}

// CheckAddress says what is wrong with an address, or returns nil: only clients have
// addresses so far.
func CheckAddress(address string) error { return CheckClient(address) }

// checkName is CheckClient for the name of anything.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty; allowed are 1 to 256 bytes")
	case len(name) > MaxAddress:
		return fmt.Errorf("it has %d bytes; allowed are 1 to %d", len(name), MaxAddress)
	}
	for i, c := range name {
		if c == utf8.RuneError && !strings.HasPrefix(name[i:], "\uFFFD") {
			return wrongBytes(name[i:])
		}
		if kind := forbidden(c); kind != "" {
			return fmt.Errorf("it contains %U, %s; allowed is UTF-8 without control characters, surrogates, "+
				"noncharacters, line separators and directions of text", c, kind)
		}
	}
	return nil
}

// forbidden returns what kind of character c is if no name may contain it. It depends
// on no table that grows with Unicode.
func forbidden(c rune) string {
	switch {
	case unicode.IsControl(c):
		return "a control character"
	case c >= 0xFDD0 && c <= 0xFDEF, c&0xFFFE == 0xFFFE:
		return "a noncharacter"
	case c == 0x2028, c == 0x2029:
		return "a line separator"
	case c >= 0x202A && c <= 0x202E, c >= 0x2066 && c <= 0x2069:
		return "a direction of text"
	}
	return ""
}

// wrongBytes describes the bytes at the beginning of s, which are not UTF-8. Unquote
// leaves a lone surrogate in the form that UTF-8 would have for it.
func wrongBytes(s string) error {
	if len(s) >= 3 && s[0] == 0xED && s[1] >= 0xA0 && s[1] <= 0xBF && s[2]&0xC0 == 0x80 {
		c := 0xD000 | rune(s[1]&0x3F)<<6 | rune(s[2]&0x3F)
		return fmt.Errorf("it contains %U, a surrogate; allowed are surrogates in pairs, in JSON's escapes", c)
	}
	return fmt.Errorf("it is not UTF-8: it contains the byte 0x%02X; allowed is UTF-8", s[0])
}
