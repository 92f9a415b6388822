package node

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/beeline-ws/beeline/router"
)

func FuzzHead(f *testing.F) {
	f.Add([]byte(upgradeHead("/ws?client=a") + "rest"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\n\nbody"))
	f.Add([]byte("\r\n\r\nPOST /a%20b HTTP/1.1\r\nhost: [::1]:80\r\nContent-Length: 4\r\n\r\nbody"))
	f.Add([]byte("GET http://x/ws?client=%ff HTTP/1.0\r\nUpgrade:websocket\r\n\r\n"))
	f.Add([]byte("\r\n\r\n"))
	f.Add([]byte(strings.Replace(upgradeHead("/ws?client=a"), "Connection: U", "Connection: keep-alive, u", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 512
		whole, err := readHead(bytes.NewReader(b), make([]byte, limit))
		slow, err2 := readHead(iotest.OneByteReader(bytes.NewReader(b)), make([]byte, limit))
		if !errors.Is(err2, err) || !bytes.Equal(whole.raw, slow.raw) {
			t.Fatalf("at once %q %v, bytewise %q %v", whole.raw, err, slow.raw, err2)
		}
		if err != nil {
			return
		}
		if len(whole.raw) > limit || !bytes.HasPrefix(bytes.TrimLeft(b, "\r\n"), append(bytes.Clone(whole.raw), whole.rest...)) {
			t.Fatalf("read %q and %q", whole.raw, whole.rest)
		}
		if whole.parse() != nil {
			return
		}
		wantSameRequest(t, &whole)
		if client, err := clientOf(whole.query); err == nil && (client == "" || !utf8.ValidString(client)) {
			t.Fatalf("client %q", client)
		}
	})
}

// wantSameRequest fails unless net/http, which takes more, reads a head that was taken
// in the same way.
func wantSameRequest(t *testing.T, h *head) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(h.raw)))
	if err != nil {
		if strings.Contains(err.Error(), "transfer encoding") || string(h.method) == http.MethodConnect {
			return
		}
		t.Fatalf("%q is taken: %v", h.raw, err)
	}
	if r.Method != string(h.method) || r.URL.Path != string(h.path) && r.URL.Path+"/" != string(h.path) && h.path[0] == '/' || r.ProtoAtLeast(1, 1) != h.has(fieldHTTP11) {
		t.Fatalf("%q is %s %q, %v; want %s %q", h.raw, h.method, h.path, h.has(fieldHTTP11), r.Method, r.URL.Path)
	}
	if checkUpgrade(h) != nil {
		return
	}
	key, version := r.Header.Values("Sec-WebSocket-Key"), r.Header.Values("Sec-WebSocket-Version")
	if len(key) != 1 || key[0] != string(h.key) || len(version) != 1 || version[0] != "13" || r.ContentLength != 0 ||
		!strings.Contains(strings.ToLower(strings.Join(r.Header.Values("Upgrade"), ",")), "websocket") {
		t.Fatalf("%q is a handshake", h.raw)
	}
	response := accept(h, plainTraits.subprotocol)
	sum := sha1.Sum([]byte(key[0] + magic))
	if got := string(response.proof[:]); got != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Fatalf("proof %q", got)
	}
}

func FuzzFrames(f *testing.F) {
	for _, stream := range streams {
		f.Add(stream, uint16(3), uint16(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, i, j uint16) {
		const limit = 256
		whole := reading(stream, limit)
		if got := reading(stream, limit, int(i), int(j)); got != whole {
			t.Fatalf("split at %d and %d: %s\nwhole: %s", i, j, got, whole)
		}
		if !utf8.ValidString(whole) {
			t.Fatal("messages that are not UTF-8")
		}
	})
}

// plainJSON reports whether b is an object of at most maxDepth levels, as
// encoding/json sees it.
func plainJSON(b []byte) (valid, deep bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') || !json.Valid(b) {
		return false, false
	}
	for depth := 1; ; {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return true, deep
		case t == json.Delim('{') || t == json.Delim('['):
			depth++
			deep = deep || depth > maxDepth
		case t == json.Delim('}') || t == json.Delim(']'):
			depth--
		case err != nil: // a number out of range
			return true, deep
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`{"type":"send","to":"bob","data":{"a":[1,2.5e-3,true,null]},"id":7}`, `{"type":"send","confirm":true,"droppable":false}`, `{"type":"ack","id":"a1-2"}`, ` {} `, `{"a":1,"a":[[[]]]}`, `{"type":"\ud83d\ude00\ud800"}`,
		`{"t\u006f":"\u0041\n","data":-0}`, `[1]`, `{"a":01}`, `{"a":1,}`, `{"a":"` + "\x01" + `"}`, `{"a":tru}`, `{"a":{"b":[{}]}`,
		`{"to":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, `{"to":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r request
		err := r.parse(text)
		valid, deep := plainJSON(text)
		switch {
		case !valid && err == nil:
			t.Fatal("not an object of JSON, and taken")
		case valid && deep != (err != nil):
			t.Fatalf("an object of JSON, too deep: %v; got %v", deep, err)
		case err != nil || !utf8.Valid(text):
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for name, got := range map[string][]byte{"type": r.kind, "to": r.to, "data": r.data, "id": r.id, "confirm": r.confirm, "droppable": r.droppable} {
			if !bytes.Equal(got, want[name]) {
				t.Fatalf("%s is %q, want %q", name, got, want[name])
			}
			var flag bool
			if isFlag(got) != (got == nil || got[0] != 'n' && json.Unmarshal(got, &flag) == nil) || isTrue(got) != flag {
				t.Fatalf("%s: a flag %v, true %v", got, isFlag(got), isTrue(got))
			}
			var text string
			if isString(got) && (json.Unmarshal(got, &text) != nil || utf8.Valid(router.Unquote(got)) && text != string(router.Unquote(got))) {
				t.Fatalf("%s means %q, want %q", got, router.Unquote(got), text)
			}
		}
		if id, err := r.messageID(); err == nil && !isString(r.id) {
			t.Fatalf("%s names message %v", r.id, id)
		}
		quoted := appendQuoted(nil, string(text))
		var back string
		if json.Unmarshal(quoted, &back) != nil || back != string(text) || len(quoted) != quotedSize(string(text)) {
			t.Fatalf("%q quoted is %s", text, quoted)
		}
	})
}
