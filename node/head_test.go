package node

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// headRow is what a client sends and the status that it gets.
type headRow struct {
	name, bytes string
	status      int
}

// swapped is a good handshake with one part replaced.
func swapped(old, new string) string {
	head := upgradeHead("/ws?client=a")
	if !strings.Contains(head, old) {
		panic("a good handshake has no " + old)
	}
	return strings.Replace(head, old, new, 1)
}

// headRows are heads as RFC 9112 and RFC 6455 want them, and others.
func headRows() []headRow {
	const key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	const version = "Sec-WebSocket-Version: 13\r\n"
	more := func(line string) string { return swapped(version, version+line) }
	page := func(lines string) string { return "GET /node HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n" }
	return []headRow{
		{"handshake", upgradeHead("/ws?client=a"), 101},
		{"page", page(""), 200},

		// Lines.
		{"bare LF everywhere", strings.ReplaceAll(upgradeHead("/ws?client=a"), "\r\n", "\n"), 400},
		{"bare LF on a page", "GET /node HTTP/1.1\nHost: x\n\n", 400},
		{"bare LF behind the request line", swapped("HTTP/1.1\r\n", "HTTP/1.1\n"), 400},
		{"bare LF behind a field", swapped("Host: test\r\n", "Host: test\n"), 400},
		{"bare LF as the blank line", strings.TrimSuffix(upgradeHead("/ws?client=a"), "\r\n") + "\n", 400},
		{"CR everywhere", strings.ReplaceAll(upgradeHead("/ws?client=a"), "\r\n", "\r"), 400},
		{"lone CR in a value", more("X: a\rb\r\n"), 400},
		{"lone CR at a value's end", more("X: a\r\r\n"), 400},
		{"lone CR before a field", more("\rX: a\r\n"), 400},
		{"lone CR in the request line", swapped("GET ", "GET\r"), 400},
		{"NUL in a value", more("X: a\x00b\r\n"), 400},
		{"NUL in a name", more("X\x00: a\r\n"), 400},
		{"NUL in the target", swapped("client=a", "client=a\x00"), 400},
		{"other control in a value", more("X: a\x01b\r\n"), 400},
		{"DEL in a value", more("X: a\x7fb\r\n"), 400},
		{"tab in a value", more("X: a\tb\r\n"), 101},
		{"bytes above ASCII in a value", more("X: \xc3\xa9\xff\r\n"), 101},
		{"empty value", more("X:\r\n"), 101},
		{"no space behind the colon", swapped("Host: test", "Host:test"), 101},
		{"white space around a value", swapped("Upgrade: websocket", "Upgrade: \t websocket \t "), 101},
		{"folded", more("X: a\r\n b\r\n"), 400},
		{"folded with a tab", more("X: a\r\n\tb\r\n"), 400},
		{"folded key", swapped(key, "Sec-WebSocket-Key:\r\n AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 400},
		{"space before the first field", swapped("Host: test", " Host: test"), 400},
		{"space before a colon", swapped("Sec-WebSocket-Key:", "Sec-WebSocket-Key :"), 400},
		{"tab before a colon", swapped("Sec-WebSocket-Key:", "Sec-WebSocket-Key\t:"), 400},
		{"space before a length's colon", more("Content-Length : 5\r\n"), 400},
		{"space before a host's colon", more("Host : other\r\n"), 400},
		{"space in a name", more("X Y: a\r\n"), 400},
		{"name that is no token", more("X(Y): a\r\n"), 400},
		{"name above ASCII", more("X\xe9: a\r\n"), 400},
		{"no name", more(": a\r\n"), 400},
		{"no colon", more("X\r\n"), 400},
		{"empty lines before", "\r\n\r\n" + upgradeHead("/ws?client=a"), 101},
		{"empty lines before a page", "\r\n\r\n" + page(""), 200},
		{"too many empty lines", strings.Repeat("\r\n", maxEmptyLines+1) + upgradeHead("/ws?client=a"), 400},
		{"bare LF before", "\n" + upgradeHead("/ws?client=a"), 400},
		{"space before", " " + upgradeHead("/ws?client=a"), 400},

		// The request line.
		{"two spaces", swapped("GET ", "GET  "), 400},
		{"tab", swapped("GET ", "GET\t"), 400},
		{"space at the end", swapped("HTTP/1.1", "HTTP/1.1 "), 400},
		{"four parts", swapped("HTTP/1.1", "x HTTP/1.1"), 400},
		{"no version", swapped(" HTTP/1.1", ""), 400},
		{"HTTP/1.10", swapped("HTTP/1.1", "HTTP/1.10"), 400},
		{"HTTP/01.1", swapped("HTTP/1.1", "HTTP/01.1"), 400},
		{"HTTP/1", swapped("HTTP/1.1", "HTTP/1"), 400},
		{"HTTP/1.x", swapped("HTTP/1.1", "HTTP/1.x"), 400},
		{"http/1.1", swapped("HTTP/1.1", "http/1.1"), 400},
		{"HTTPS/1.1", swapped("HTTP/1.1", "HTTPS/1.1"), 400},
		{"HTTP/1.2", swapped("HTTP/1.1", "HTTP/1.2"), 101},
		{"HTTP/2.0", swapped("HTTP/1.1", "HTTP/2.0"), 505},
		{"HTTP/0.9", swapped("HTTP/1.1", "HTTP/0.9"), 505},
		{"handshake in HTTP/1.0", swapped("HTTP/1.1", "HTTP/1.0"), 505},
		{"page in HTTP/1.0 without a host", "GET /node HTTP/1.0\r\n\r\n", 200},
		{"method that is no token", swapped("GET", "G(T"), 400},
		{"no method", swapped("GET", ""), 400},
		{"method in lower case", swapped("GET", "get"), 405},
		{"no target", swapped("/ws?client=a", ""), 400},
		{"relative target", swapped("/ws?client=a", "ws?client=a"), 400},
		{"target with a fragment", swapped("client=a", "client=a#b"), 400},
		{"target above ASCII", swapped("client=a", "client=\xc3\xa9"), 400},
		{"target badly encoded", swapped("/ws?", "/%zzws?"), 400},
		{"encoded path", swapped("/ws?", "/%77s?"), 101},
		{"query as browsers send it", swapped("client=a", "client=a&x=[{|}]^`\\"), 101},
		{"whole URL", swapped("/ws?client=a", "http://test/ws?client=a"), 101},
		{"URL of something else", swapped("/ws?client=a", "ftp://test/ws?client=a"), 400},
		{"URL without a host", swapped("/ws?client=a", "http:///ws?client=a"), 400},
		{"URL with a user", swapped("/ws?client=a", "http://u@test/ws?client=a"), 400},
		{"star", swapped("/ws?client=a", "*"), 400},

		// Hosts and bodies.
		{"no host", swapped("Host: test\r\n", ""), 400},
		{"no host on a page", "GET /node HTTP/1.1\r\n\r\n", 400},
		{"empty host", swapped("Host: test", "Host:"), 400},
		{"two hosts", more("Host: other\r\n"), 400},
		{"the same host twice", more("Host: test\r\n"), 400},
		{"two hosts in one", swapped("Host: test", "Host: test, other"), 400},
		{"two hosts on a page", page("Host: y\r\n"), 400},
		{"host with a path", swapped("Host: test", "Host: test/x"), 400},
		{"host with a bad port", swapped("Host: test", "Host: test:http"), 400},
		{"host and port", swapped("Host: test", "Host: test:8080"), 101},
		{"address of IPv6", swapped("Host: test", "Host: [::1]:8080"), 101},
		{"address of IPv6 without brackets", swapped("Host: test", "Host: ::1"), 400},
		{"brackets around no address", swapped("Host: test", "Host: [test]"), 400},
		{"half an address", swapped("Host: test", "Host: [::1"), 400},
		{"address with something behind", swapped("Host: test", "Host: [::1]x"), 400},
		{"brackets within a host", swapped("Host: test", "Host: te[st]"), 400},
		{"body", more("Content-Length: 5\r\n") + "hello", 400},
		{"empty body", more("Content-Length: 0\r\n"), 101},
		{"negative length", more("Content-Length: -1\r\n"), 400},
		{"length with a sign", more("Content-Length: +0\r\n"), 400},
		{"length that is no number", more("Content-Length: 0x0\r\n"), 400},
		{"no length", more("Content-Length:\r\n"), 400},
		{"huge length", more("Content-Length: 99999999999999999999\r\n"), 400},
		{"list of lengths", more("Content-Length: 0, 0\r\n"), 400},
		{"two lengths", more("Content-Length: 0\r\nContent-Length: 0\r\n"), 400},
		{"chunked body", more("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
		{"identity coding", more("Transfer-Encoding: identity\r\n"), 400},
		{"length and coding", "POST /node HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"coding in HTTP/1.0", "POST /node HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"body on a page", page("Content-Length: 5\r\n") + "hello", 200},
		{"unknown coding on a page", "POST /node HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n", 501},

		// The handshake.
		{"no upgrade at all", "GET /ws?client=a HTTP/1.1\r\nHost: x\r\n\r\n", 426},
		{"no Upgrade", swapped("Upgrade: websocket\r\n", ""), 400},
		{"no Connection", swapped("Connection: Upgrade\r\n", ""), 400},
		{"other Upgrade", swapped("Upgrade: websocket", "Upgrade: websockets"), 400},
		{"other Connection", swapped("Connection: Upgrade", "Connection: upgrades"), 400},
		{"lists", swapped("Connection: Upgrade", "Connection: keep-alive , UPGRADE"), 101},
		{"names in other cases", swapped("Sec-WebSocket-Key", "sec-websocket-KEY"), 101},
		{"no key", swapped(key, ""), 400},
		{"empty key", swapped(key, "Sec-WebSocket-Key:\r\n"), 400},
		{"short key", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAA"), 400},
		{"key of 17 bytes", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAA="), 400},
		{"key of 18 bytes", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAAA"), 400},
		{"key that is no base64", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "!!!!!!!!!!!!!!!!!!!!!!=="), 400},
		{"key in the other base64", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "____-AAAAAAAAAAAAAAAAA=="), 400},
		{"key without padding", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA"), 400},
		{"two keys", more("Sec-WebSocket-Key: BBBBBBBBBBBBBBBBBBBBBA==\r\n"), 400},
		{"the same key twice", more(key), 400},
		{"two keys in one", swapped("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA==, AAAAAAAAAAAAAAAAAAAAAA=="), 400},
		{"no version of the handshake", swapped(version, ""), 400},
		{"empty version", swapped(version, "Sec-WebSocket-Version:\r\n"), 426},
		{"wrong version", swapped("Version: 13", "Version: 8"), 426},
		{"version 013", swapped("Version: 13", "Version: 013"), 426},
		{"list of versions", swapped("Version: 13", "Version: 13, 8"), 426},
		{"versions that differ", more("Sec-WebSocket-Version: 8\r\n"), 400},
		{"the same version twice", more(version), 400},
		{"subprotocols", more("Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: c\r\n"), 101},
		{"subprotocol that is no token", more("Sec-WebSocket-Protocol: a b\r\n"), 400},
		{"subprotocol in quotes", more("Sec-WebSocket-Protocol: \"a\"\r\n"), 400},
		{"later subprotocol that is no token", more("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b/c\r\n"), 400},
		{"empty subprotocol", more("Sec-WebSocket-Protocol:\r\n"), 400},
		{"subprotocol twice", more("Sec-WebSocket-Protocol: a, a\r\n"), 400},
		{"wrong method", swapped("GET", "POST"), 405},
		{"HEAD", swapped("GET", "HEAD"), 405},
		{"wrong method on a page", "DELETE /node HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		{"HEAD of a page", "HEAD /node HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"unknown path", upgradeHead("/wss?client=a"), 404},
		{"unknown page", "GET /no HTTP/1.1\r\nHost: x\r\n\r\n", 404},
	}
}

func TestHeadsGetExactlyTheirStatus(t *testing.T) {
	n := start(t, nil)
	for _, row := range headRows() {
		conn := dial(t, n.Addr())
		io.WriteString(conn, row.bytes)
		wantStatus(t, row, conn, bufio.NewReader(conn))
	}
}

// What is not the first request of its connection is judged alike.
func TestLaterHeadsGetExactlyTheirStatus(t *testing.T) {
	n := start(t, nil)
	for _, row := range headRows() {
		conn := dial(t, n.Addr())
		answers := bufio.NewReader(conn)
		io.WriteString(conn, "GET /node HTTP/1.1\r\nHost: x\r\n\r\n")
		wantStatus(t, headRow{"before " + row.name, "", 200}, nil, answers)
		io.WriteString(conn, row.bytes)
		wantStatus(t, row, conn, answers)
	}
}

// An answer to what came together with a good request comes behind that one's.
func TestRefusalWaitsForTheAnswerBefore(t *testing.T) {
	n := start(t, nil)
	conn := dial(t, n.Addr())
	io.WriteString(conn, "GET /node HTTP/1.1\r\nHost: x\r\n\r\nGET /node HTTP/1.1\nHost: x\n\n")
	answers := bufio.NewReader(conn)
	wantStatus(t, headRow{"good", "", 200}, nil, answers)
	wantStatus(t, headRow{"bad", "", 400}, conn, answers)
}

// wantStatus reads an answer, and closes conn if there is one.
func wantStatus(t *testing.T, row headRow, conn net.Conn, answers *bufio.Reader) {
	t.Helper()
	r, err := http.ReadResponse(answers, &http.Request{Method: strings.SplitN(row.bytes, " ", 2)[0]})
	if err != nil {
		t.Errorf("%s: %v", row.name, err)
		return
	}
	if r.StatusCode != row.status {
		text, _ := io.ReadAll(r.Body)
		t.Errorf("%s: status %d %s, want %d", row.name, r.StatusCode, text, row.status)
		return
	}
	switch {
	case r.StatusCode == http.StatusSwitchingProtocols:
		if r.Header.Get("Sec-WebSocket-Accept") != "ICX+Yqv66kxgM0FcWaLWlFLwTAI=" && !strings.Contains(row.bytes, "BBBB") {
			t.Errorf("%s: proof %q", row.name, r.Header.Get("Sec-WebSocket-Accept"))
		}
	case r.StatusCode == http.StatusMethodNotAllowed && !strings.HasPrefix(r.Header.Get("Allow"), "GET"),
		r.StatusCode == http.StatusUpgradeRequired && (r.Header.Get("Upgrade") != "websocket" ||
			r.Header.Get("Sec-WebSocket-Version") != "13"):
		t.Errorf("%s: header %v", row.name, r.Header)
	}
	io.Copy(io.Discard, r.Body)
	if strings.HasPrefix(row.bytes, "HEAD ") && answers.Buffered() > 0 {
		t.Errorf("%s: something comes behind the head", row.name)
	}
	if conn != nil {
		conn.Close()
	}
}
