package router

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesOfPeopleAreAllowed(t *testing.T) {
	for _, name := range []string{
		"a", "alice", " ", "Zoë", "田中\u3000太郎", "Jean Paul", "می\u200cخواهم", "\U0001F469\u200d\U0001F469\u200d\U0001F467",
		"e\u0301", "é", "\uFFFD", "\uFEFFa", "\u200E", "\u061C", "\u00AD", "\uE000", "\U000F0000", "\u0378", "\U0001FAE9", "\U000E0061", "\U0010FFFD",
		"a#", "a@b.example", "a$", "\"\\", strings.Repeat("a", 256), "\uFDCF", "\uFDF0", "\u2027", "\u202F", "\u2065", "\u206A", "\u00A0",
	} {
		if err := CheckClient(name); err != nil {
			t.Errorf("%+q: %v", name, err)
		}
		if err := CheckAddress(name); err != nil {
			t.Errorf("%+q as an address: %v", name, err)
		}
	}
}

func TestForbiddenCharactersAreNamed(t *testing.T) {
	rows := map[string]string{
		"": "empty", strings.Repeat("a", 257): "257", "\xff": "0xFF", "a\xc3": "0xC3", "\xc0\x80": "0xC0", "\xf4\x90\x80\x80": "0xF4",
		"#a": "U+0023", "@a": "U+0040", "$a": "U+0024", "#": "U+0023",
		"\xed\xa0\x80": "U+D800", "a\xed\xbf\xbf": "U+DFFF", "\xed\xa0\xbd": "U+D83D",
	}
	for _, c := range []rune{
		0, '\t', '\n', 0x1F, 0x7F, 0x80, 0x85, 0x9F, 0x2028, 0x2029, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069,
		0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x1FFFF, 0x10FFFE, 0x10FFFF,
	} {
		rows["a"+string(c)+"b"] = fmt.Sprintf("%U", c)
	}
	for name, says := range rows {
		for what, check := range map[string]func(string) error{"client": CheckClient, "address": CheckAddress} {
			if err := check(name); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "allowed") {
				t.Errorf("%s %+q: %v; want %q and what is allowed", what, name, err, says)
			}
		}
	}
}

// Every code point is either allowed or has a kind, and no table of Unicode decides.
func TestOnlyListedCodePointsAreForbidden(t *testing.T) {
	count := 0
	for c := rune(0); c <= utf8.MaxRune; c++ {
		if forbidden(c) != "" {
			count++
		}
	}
	if want := 65 + 66 + 2 + 5 + 4; count != want { // controls, noncharacters, separators, directions
		t.Errorf("%d code points are forbidden, want %d", count, want)
	}
}

// Strings that differ stay different, and only those with lone surrogates are no UTF-8.
func TestLoneSurrogatesStayApart(t *testing.T) {
	meant := map[string]string{}
	for _, quoted := range []string{
		`""`, `"a"`, `"\ud800"`, `"\ud801"`, `"\uDFFF"`, `"\udc00\ud800"`, `"\ud800\ud800"`, `"\ud800a"`, `"\ud800\n"`, `"\ud83d\ude00"`, `"\ufffd"`, `"\"\\\/\b\f\n\r\t\u00e4"`,
	} {
		got := string(Unquote([]byte(quoted)))
		if other, ok := meant[got]; ok {
			t.Errorf("%s and %s both mean %q", quoted, other, got)
		}
		meant[got] = quoted
		var want string
		if err := json.Unmarshal([]byte(quoted), &want); err != nil {
			t.Fatal(err)
		}
		lone := strings.Contains(want, "\uFFFD") && quoted != `"\ufffd"`
		if utf8.ValidString(got) == lone || !lone && got != want {
			t.Errorf("%s means %q, want %q", quoted, got, want)
		}
	}
}
