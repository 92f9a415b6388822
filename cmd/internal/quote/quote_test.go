package quote

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNothingFromOutsideIsObeyedByATerminal(t *testing.T) {
	evil := "a\x1b[31m\u009b2J\r\b\x00\x7f\u0085\u2028\u2029\u202e\u2066\u200f\u061c\ufeff\U000e0041\ufffe\U0010ffff\xff\xed\xa0\x80\t\nz"
	for what, got := range map[string]string{"Word": Word(evil), "Line": Line(evil), "JSON": JSON(marshal(t, evil))} {
		for _, c := range got {
			if Unprintable(c) {
				t.Errorf("%s lets %U through: %q", what, c, got)
			}
		}
	}
	if got := Text("one\ntwo\x1b\n"); got != "one\ntwo\\x1b\n" {
		t.Errorf("Text: %q", got)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNamesOfPeopleStayLegible(t *testing.T) {
	for _, name := range []string{"alice", "José", "田中太郎", "می\u200cخواهم", "👩\u200d👩\u200d👧", "http://[::1]:8080"} {
		if got := Word(name); got != name {
			t.Errorf("Word(%q) = %s", name, got)
		}
	}
	for name, want := range map[string]string{
		"":              `""`,
		"Ann Lee":       `"Ann Lee"`,
		`say "hi"`:      `"say \"hi\""`,
		`back\slash`:    `"back\\slash"`,
		"x\x1b[31m":     `"x\x1b[31m"`,
		"\u202edlrow":   `"\u202edlrow"`,
		"\xffbad":       `"\xffbad"`,
		"two\nlines":    `"two\nlines"`,
		"\U000e0041":    `"\U000e0041"`,
		"wide\u3000gap": "\"wide\u3000gap\"",
	} {
		if got := Word(name); got != want {
			t.Errorf("Word(%q) = %s, want %s", name, got, want)
		}
	}
}

func TestLongWordIsCut(t *testing.T) {
	got := Word(strings.Repeat("é", maxWord))
	if len(got) > 2*maxWord || !strings.HasSuffix(got, `é…" (1024 bytes)`) {
		t.Errorf("%d bytes: …%s", len(got), got[max(0, len(got)-40):])
	}
}

func TestQuotedJSONMeansTheSame(t *testing.T) {
	text := "a\u009b\u202e\U000e0041\x7f z"
	var back string
	if err := json.Unmarshal([]byte(JSON(marshal(t, text))), &back); err != nil || back != text {
		t.Errorf("read back: %q, %v", back, err)
	}
	if plain := `{"text":"héllo 👋"}`; JSON(plain) != plain {
		t.Errorf("JSON(%s) = %s", plain, JSON(plain))
	}
}
