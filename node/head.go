package node

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
)

// head is the beginning of an HTTP connection, read before anybody decides what
// the connection is for.
type head struct {
	raw  []byte // up to and with the blank line
	rest []byte // what came behind it in the same segments

	method, path, query string
	upgrade             bool // asks for a WebSocket
	handshake           bool // has any header of a WebSocket handshake
	version             string
	key                 string
}

// Why a head can't be read.
var (
	errHeadTooLarge = errors.New("head is too large")
	errHeadTimeout  = errors.New("head took too long")
	errHeadGone     = errors.New("connection ended within the head")
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
			return head{}, errHeadGone
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
	u, err := url.ParseRequestURI(string(target))
	if err != nil {
		return errNotHTTP
	}
	h.method, h.path, h.query = string(method), u.Path, u.RawQuery
	for len(lines) > 0 {
		line, lines, _ = bytes.Cut(lines, newline)
		if name, value, ok := bytes.Cut(line, colon); ok {
			h.field(name, bytes.TrimSpace(value))
		}
	}
	return nil
}

var (
	newline  = []byte("\n")
	carriage = []byte("\r")
	space    = []byte(" ")
	colon    = []byte(":")
)

// field notes a header field of the handshake.
func (h *head) field(name, value []byte) {
	switch {
	case isField(name, "upgrade"):
		h.upgrade = h.upgrade || bytes.EqualFold(value, []byte("websocket"))
		h.handshake = true
	case isField(name, "sec-websocket-version"):
		h.version, h.handshake = string(value), true
	case isField(name, "sec-websocket-key"):
		h.key, h.handshake = string(value), true
	}
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
