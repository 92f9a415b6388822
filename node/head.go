package node

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
)

// head is the beginning of an HTTP connection, read before anybody decides what
// the connection is for.
type head struct {
	raw  []byte // up to and with the blank line
	rest []byte // what came behind it in the same segments

	method, path, query []byte
	upgrade             bool // asks for a WebSocket
	connection          bool // and says so of this connection
	handshake           bool // has any header of a WebSocket handshake
	version, key        []byte
	fields              fieldSet
	offered             []byte // subprotocols, the first line of them
}

// Why a head can't be read, or what follows has no sense any more.
var (
	errHeadTooLarge = errors.New("head is too large")
	errHeadTimeout  = errors.New("head took too long")
	errGone         = errors.New("the connection ended")
	errNotHTTP      = errors.New("not HTTP")
)

// readHead reads into buf until the head is complete. A head that does not fit
// is too large. The caller sets the read deadline.
func readHead(r io.Reader, buf []byte) (head, error) {
	n, searched := 0, 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if n > 0 && !isToken(buf[0]) {
			return head{}, errNotHTTP
		}
		if end := headEnd(buf[searched:n]); end >= 0 {
			end += searched
			return head{raw: buf[:end:end], rest: buf[end:n:n]}, nil
		}
		searched = max(0, n-3)
		switch {
		case n == len(buf):
			return head{}, errHeadTooLarge
		case errors.Is(err, os.ErrDeadlineExceeded):
			return head{}, errHeadTimeout
		case err != nil:
			return head{}, errGone
		}
	}
}

// headEnd returns the index behind the blank line, or -1. Lines may end without
// a carriage return, as net/http and gobwas take them.
func headEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return -1
		}
		at += i + 1
		switch rest := b[at:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return at + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return at + 2
		}
	}
}

// parse reads what decides about the connection's way. What it does not look at
// is checked by the WebSocket upgrader or by net/http.
func (h *head) parse() error {
	line, lines, _ := bytes.Cut(h.raw, newline)
	method, rest, ok := bytes.Cut(bytes.TrimSuffix(line, carriage), space)
	target, version, ok2 := bytes.Cut(rest, space)
	if !ok || !ok2 || !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		return errNotHTTP
	}
	for _, c := range method {
		if !isToken(c) {
			return errNotHTTP
		}
	}
	h.method = method
	if err := h.target(target); err != nil {
		return err
	}
	if string(version) == "HTTP/1.1" {
		h.fields |= fieldVersion
	}
	for len(lines) > 0 {
		line, lines, _ = bytes.Cut(lines, newline)
		name, value, ok := bytes.Cut(line, colon)
		if ok {
			h.field(name, bytes.TrimSpace(value))
		} else if len(bytes.TrimSuffix(line, carriage)) > 0 {
			h.fields |= fieldOdd
		}
	}
	return nil
}

// target takes the path and the query. Most targets mean what they say.
func (h *head) target(target []byte) error {
	if len(target) > 0 && target[0] == '/' && bytes.IndexFunc(target, odd) < 0 {
		h.path, h.query, _ = bytes.Cut(target, question)
		return nil
	}
	u, err := url.ParseRequestURI(string(target))
	if err != nil {
		return errNotHTTP
	}
	h.path, h.query = []byte(u.Path), []byte(u.RawQuery)
	return nil
}

// odd tells whether r in a target has to be looked at more closely.
func odd(r rune) bool { return r <= ' ' || r >= 0x7f || r == '%' }

var (
	newline  = []byte("\n")
	carriage = []byte("\r")
	space    = []byte(" ")
	colon    = []byte(":")
	question = []byte("?")
	comma    = []byte(",")
)

// fieldSet is what a head has of a WebSocket handshake.
type fieldSet uint16

const (
	fieldVersion fieldSet = 1 << iota // HTTP/1.1
	fieldHost
	fieldUpgrade
	fieldConnection
	fieldWSVersion
	fieldKey
	fieldOdd  // has something that is not as in all other heads
	fieldBody // is followed by a body
	fieldTwoHosts

	wholeHandshake = fieldOdd - 1
)

// regular tells whether this is a handshake as RFC 6455, section 4.2.1, wants it,
// and as nearly all of them look. Of those that are not, some may be accepted too.
func (h *head) regular() bool {
	return h.fields == wholeHandshake && string(h.method) == "GET" && len(h.key) == keySize
}

// keySize is the length of a handshake's key: 16 bytes in base64.
const keySize = 24

// note notes a field that may come once, and is as it should be or not.
func (h *head) note(f fieldSet, ok bool) {
	if !ok || h.fields&f != 0 {
		f |= fieldOdd
	}
	h.fields |= f
}

// field notes a header field of the handshake.
func (h *head) field(name, value []byte) {
	switch {
	case isField(name, "host"):
		if h.fields&fieldHost != 0 {
			h.fields |= fieldTwoHosts
		}
		h.note(fieldHost, len(value) > 0)
	case isField(name, "upgrade"):
		h.note(fieldUpgrade, bytes.EqualFold(value, []byte("websocket")))
		h.upgrade = h.upgrade || hasToken(value, "websocket")
		h.handshake = true
	case isField(name, "connection"):
		h.note(fieldConnection, bytes.EqualFold(value, []byte("upgrade")))
		h.connection = h.connection || hasToken(value, "upgrade")
	case isField(name, "content-length"), isField(name, "transfer-encoding"):
		if string(value) != "0" {
			h.fields |= fieldBody
		}
	case isField(name, "sec-websocket-version"):
		h.note(fieldWSVersion, string(value) == "13")
		h.version, h.handshake = value, true
	case isField(name, "sec-websocket-key"):
		h.note(fieldKey, true)
		h.key, h.handshake = value, true
	case isField(name, "sec-websocket-protocol"):
		h.offer(value)
	default:
		h.fieldName(name)
	}
}

// offer adds a line of subprotocols. What is no list of tokens makes it odd.
func (h *head) offer(line []byte) {
	if h.offered != nil {
		line = slices.Concat(h.offered, comma, line)
	}
	h.offered = line
	for _, c := range line {
		if !isToken(c) && c != ',' && c != ' ' {
			h.fields |= fieldOdd
		}
	}
}

// fieldName checks the name of a field that nobody here looks at.
func (h *head) fieldName(name []byte) {
	for _, c := range name {
		if !isToken(c) {
			h.fields |= fieldOdd
			return
		}
	}
	if len(name) == 0 {
		h.fields |= fieldOdd
	}
}

// reduced is the head without what else its lists offer: an upgrade to something
// else, and options of the connection. A list may come in several lines.
func (h *head) reduced() []byte {
	b := make([]byte, 0, len(h.raw)+len(upgradeLine)+len(connectionLine))
	for line := range bytes.Lines(h.raw) {
		first := len(b) == 0
		name, _, _ := bytes.Cut(line, colon)
		if !isField(name, "upgrade") && !isField(name, "connection") {
			b = append(b, line...)
		}
		if first && h.upgrade {
			b = append(b, upgradeLine...)
		}
		if first && h.connection {
			b = append(b, connectionLine...)
		}
	}
	return b
}

const (
	upgradeLine    = "Upgrade: websocket\r\n"
	connectionLine = "Connection: Upgrade\r\n"
)

// hasToken tells whether a list has a token, which is given in lower case.
func hasToken(list []byte, lower string) bool {
	for token := range bytes.SplitSeq(list, comma) {
		if isField(bytes.TrimSpace(token), lower) {
			return true
		}
	}
	return false
}

func isField(name []byte, lower string) bool {
	return len(name) == len(lower) && strings.EqualFold(string(name), lower)
}

// isToken tells whether c may be part of an HTTP method.
func isToken(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
