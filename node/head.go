package node

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
)

// head is the beginning of an HTTP request, read before anybody decides what its
// connection is for. Every request on the clients' listener goes through its one
// parser, which is as strict as RFC 9112 allows: what two programs may read in two
// ways is refused.
type head struct {
	raw  []byte // from the request line up to and with the blank line
	rest []byte // what came behind it in the same segments

	method, path, query []byte
	fields              fieldSet
	version, key        []byte // of a handshake
	offered             []byte // subprotocols
	wrong               string // with the handshake; empty: nothing so far

	shown Handshake // what the authenticator is shown of it; see show
}

// show returns what the authenticator is shown of the head, which is good as long as that.
func (h *head) show() *Handshake {
	h.shown = Handshake{Head: h.raw, Query: h.query}
	return &h.shown
}

// headFault is what is wrong with a head that can be read no further.
type headFault struct {
	status int
	text   string // one line: what was wrong and what is allowed
}

func (f *headFault) Error() string { return f.text }

func badHead(what string) *headFault {
	return &headFault{http.StatusBadRequest, what + "; allowed is HTTP/1.1 as in RFC 9112"}
}

// Why a head can't be read, or what follows has no sense any more.
var (
	errHeadTooLarge = errors.New("head is too large")
	errHeadTimeout  = errors.New("head took too long")
	errGone         = errors.New("the connection ended")

	errNotHTTP     = badHead("this is not an HTTP request")
	errRequestLine = badHead("the request line is not a method, a target and HTTP/1.1 with one space between")
	errTarget      = badHead("the request's target is neither a path nor a URL")
	errBareLine    = badHead("a line of the request's head does not end with CR and LF, or has one of them inside")
	errHTTPVersion = &headFault{http.StatusHTTPVersionNotSupported, "this version of HTTP is not spoken here; allowed is HTTP/1.1"}
)

// readHead reads into buf until the head is complete. A head that does not fit
// is too large. The caller sets the read deadline.
func readHead(r io.Reader, buf []byte) (head, error) {
	n, searched := 0, 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		start, end, fault := findHead(buf[:n], searched)
		switch {
		case fault != nil:
			return head{}, fault
		case end > 0:
			return head{raw: buf[start:end:end], rest: buf[end:n:n]}, nil
		}
		searched = n
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

// maxEmptyLines is how many empty lines before a request are skipped: clients of
// old send one behind a body.
const maxEmptyLines = 8

// findHead finds where the head begins, behind empty lines, and where it ends,
// behind the blank line; end is 0 if that has not come yet. Of b, searched bytes were
// looked at before. What can't become a head is a fault at once: it might never end.
func findHead(b []byte, searched int) (start, end int, err error) {
	for bytes.HasPrefix(b[start:], lineEnd) {
		start += len(lineEnd)
	}
	switch {
	case start > maxEmptyLines*len(lineEnd):
		return 0, 0, errNotHTTP
	case start == len(b):
		return 0, 0, nil
	case b[start] == '\n':
		return 0, 0, errBareLine
	case !isToken(b[start]) && b[start] != '\r':
		return 0, 0, errNotHTTP
	}
	at := max(start, searched-len(blankLine)+1)
	if b[at] == '\n' && at > start && b[at-1] == '\r' {
		at++
	}
	for {
		line, _, ended := bytes.Cut(b[at:], carriage)
		if bytes.IndexByte(line, '\n') >= 0 {
			return 0, 0, errBareLine
		}
		at += len(line)
		switch {
		case !ended || at+1 == len(b):
			return 0, 0, nil
		case b[at+1] != '\n':
			return 0, 0, errBareLine
		case at >= start+len(lineEnd) && b[at-1] == '\n':
			return start, at + len(lineEnd), nil
		}
		at += len(lineEnd)
	}
}

// parse reads the whole head, and finds what decides about the connection's way. An
// error is a *headFault.
func (h *head) parse() error {
	line, lines := cutLine(h.raw)
	if err := h.requestLine(line); err != nil {
		return err
	}
	for {
		line, lines = cutLine(lines)
		if len(line) == 0 {
			return h.checkFields()
		}
		if err := h.fieldLine(line); err != nil {
			return err
		}
	}
}

// cutLine cuts b behind its first line. findHead has found no CR without LF in it, so that
// looking for the CR, which is faster than for both, is enough.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, carriage)
	return line, bytes.TrimPrefix(rest, newline)
}

func (h *head) requestLine(line []byte) error {
	method, rest, _ := bytes.Cut(line, space)
	target, version, _ := bytes.Cut(rest, space)
	if !isTokens(method) || !isVersion(version) {
		return errRequestLine
	}
	switch {
	case version[5] != '1':
		return errHTTPVersion
	case version[7] != '0':
		h.fields |= fieldHTTP11
	}
	h.method = method
	return h.target(target)
}

// isVersion reports whether b is HTTP-version of RFC 9112, section 2.3.
func isVersion(b []byte) bool {
	return len(b) == len("HTTP/1.1") && string(b[:5]) == "HTTP/" && isDigit(b[5]) && b[6] == '.' && isDigit(b[7])
}

// target takes the path and the query: RFC 9112, section 3.2. A query may have any
// visible character, because browsers send some that RFC 3986 does not know there.
func (h *head) target(target []byte) error {
	for _, c := range target {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return errTarget
		}
	}
	switch {
	case len(target) == 0:
		return errTarget
	case target[0] == '/':
		return h.origin(target)
	case string(h.method) == http.MethodConnect, string(h.method) == http.MethodOptions && string(target) == "*":
		h.path = target
		return nil
	}
	scheme, rest, _ := bytes.Cut(target, schemeEnd)
	if !isField(scheme, "http") && !isField(scheme, "https") {
		return errTarget
	}
	authority := rest
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		authority, rest = rest[:i], rest[i:]
	} else {
		rest = nil
	}
	if !isHost(authority) {
		return errTarget
	}
	if len(rest) == 0 || rest[0] != '/' {
		rest = append([]byte("/"), rest...)
	}
	return h.origin(rest)
}

// origin takes a target that begins with a path.
func (h *head) origin(target []byte) error {
	h.path, h.query, _ = bytes.Cut(target, question)
	if bytes.IndexByte(h.path, '%') < 0 {
		return nil
	}
	path, err := url.PathUnescape(string(h.path))
	if err != nil {
		return errTarget
	}
	h.path = []byte(path)
	return nil
}

var (
	carriage  = []byte("\r")
	newline   = []byte("\n")
	lineEnd   = []byte("\r\n")
	blankLine = []byte("\r\n\r\n")
	space     = []byte(" ")
	question  = []byte("?")
	schemeEnd = []byte("://")
)
