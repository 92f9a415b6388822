package node

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// fieldSet is what the fields of a head say.
type fieldSet uint16

const (
	fieldHTTP11     fieldSet = 1 << iota // HTTP/1.1 or later
	fieldHost                            // has a host
	fieldUpgrade                         // asks for a WebSocket
	fieldConnection                      // and says so of this connection
	fieldHandshake                       // has any field of a WebSocket handshake
	fieldVersion                         // has its version
	fieldKey                             // and its key
	fieldOffer                           // and subprotocols
	fieldLength                          // has the length of a body
	fieldCoding                          // has the coding of a body
	fieldBody                            // is followed by a body
)

func (h *head) has(f fieldSet) bool { return h.fields&f == f }

// once notes f, and reports whether that is the first time.
func (h *head) once(f fieldSet) bool {
	first := !h.has(f)
	h.fields |= f
	return first
}

var (
	errFolded      = badHead("a line of the request's head begins with a space, which continues the one before")
	errNoField     = badHead("a line of the request's head is not a name and a colon")
	errFieldName   = badHead("the name of a field has a character that no name has, or a space before its colon")
	errFieldValue  = badHead("the value of a field has a control character")
	errNoHost      = badHead("the request has no Host, or an empty one")
	errTwoHosts    = badHead("the request has two Host lines")
	errHost        = badHead("the request's Host is no host and port")
	errLength      = badHead("the request's Content-Length is no number, or comes twice")
	errTwoLengths  = badHead("the request has a Content-Length and a Transfer-Encoding")
	errEarlyCoding = badHead("the request has a Transfer-Encoding, which HTTP/1.0 does not know")
)

// fieldLine takes one line: RFC 9112, section 5.
func (h *head) fieldLine(line []byte) error {
	name, value, ok := bytes.Cut(line, colon)
	switch {
	case isBlank(line[0]):
		return errFolded
	case !ok || len(name) == 0:
		return errNoField
	case !isTokens(name):
		return errFieldName
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return errFieldValue
		}
	}
	return h.field(name, trim(value))
}

// field notes what a field says. A fault of the handshake alone is left in wrong: the
// request may ask for something else.
func (h *head) field(name, value []byte) error {
	switch {
	case isField(name, "host"):
		return h.host(value)
	case isField(name, "content-length"):
		return h.length(value)
	case isField(name, "transfer-encoding"):
		h.fields |= fieldCoding | fieldBody
	case isField(name, "upgrade"):
		h.fields |= fieldHandshake
		if hasToken(value, "websocket") {
			h.fields |= fieldUpgrade
		}
	case isField(name, "connection"):
		if hasToken(value, "upgrade") {
			h.fields |= fieldConnection
		}
	case isField(name, "sec-websocket-version"):
		h.fields |= fieldHandshake
		if h.version = value; !h.once(fieldVersion) {
			h.wrong = "Sec-WebSocket-Version comes twice"
		}
	case isField(name, "sec-websocket-key"):
		h.fields |= fieldHandshake
		if h.key = value; !h.once(fieldKey) {
			h.wrong = "Sec-WebSocket-Key comes twice"
		}
	case isField(name, "sec-websocket-protocol"):
		h.offer(value)
	}
	return nil
}

func (h *head) host(value []byte) error {
	switch {
	case !h.once(fieldHost):
		return errTwoHosts
	case len(value) == 0:
		return errNoHost
	case !isHost(value):
		return errHost
	}
	return nil
}

func (h *head) length(value []byte) error {
	n, err := strconv.ParseUint(string(value), 10, 63)
	if err != nil || !h.once(fieldLength) {
		return errLength
	}
	if n > 0 {
		h.fields |= fieldBody
	}
	return nil
}

// offer adds a line of subprotocols, which is a list of tokens; empty elements count
// for nothing.
func (h *head) offer(line []byte) {
	if !h.once(fieldOffer) {
		line = bytes.Join([][]byte{h.offered, line}, comma)
	}
	h.offered = line
}

// checkOffer reports what is wrong with the subprotocols.
func (h *head) checkOffer() (wrong string) {
	if !h.has(fieldOffer) {
		return ""
	}
	seen := make([][]byte, 0, 8)
	for token := range bytes.SplitSeq(h.offered, comma) {
		switch token = trim(token); {
		case len(token) == 0:
			continue
		case !isTokens(token):
			return "Sec-WebSocket-Protocol has a name that is no token"
		}
		for _, other := range seen {
			if bytes.Equal(other, token) {
				return "Sec-WebSocket-Protocol has a name twice"
			}
		}
		if seen = append(seen, token); len(seen) > maxOffered {
			return "Sec-WebSocket-Protocol has more than " + strconv.Itoa(maxOffered) + " names"
		}
	}
	if len(seen) == 0 {
		return "Sec-WebSocket-Protocol is empty"
	}
	return ""
}

// maxOffered is how many subprotocols a client may offer.
const maxOffered = 64

// checkFields checks what the fields say together.
func (h *head) checkFields() error {
	switch {
	case h.has(fieldHTTP11) && !h.has(fieldHost):
		return errNoHost
	case h.has(fieldCoding | fieldLength):
		return errTwoLengths
	case h.has(fieldCoding) && !h.has(fieldHTTP11):
		return errEarlyCoding
	}
	return nil
}

var (
	colon = []byte(":")
	comma = []byte(",")
)

// trim takes optional white space off a value: RFC 9110, section 5.6.3.
func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// hasToken reports whether a list has a token, which is given in lower case.
func hasToken(list []byte, lower string) bool {
	for token := range bytes.SplitSeq(list, comma) {
		if isField(trim(token), lower) {
			return true
		}
	}
	return false
}

func isField(name []byte, lower string) bool {
	return len(name) == len(lower) && strings.EqualFold(string(name), lower)
}

// charSet is a set of ASCII characters.
type charSet [2]uint64

func (s *charSet) has(c byte) bool { return c < 0x80 && s[c>>6]>>(c&63)&1 != 0 }

func newCharSet(marks string) (s charSet) {
	for c := byte(0); c < 0x80; c++ {
		if isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || strings.IndexByte(marks, c) >= 0 {
			s[c>>6] |= 1 << (c & 63)
		}
	}
	return s
}

// Letters, digits and some marks: in a token of RFC 9110, section 5.6.2, in the name of a
// host of RFC 3986, section 3.2.2, and in base64 of RFC 4648, section 4.
var (
	tokenChars  = newCharSet("!#$%&'*+-.^_`|~")
	hostChars   = newCharSet("-._~!$&'()*+,;=")
	base64Chars = newCharSet("+/")
)

// isToken reports whether c may be part of a token, as a method or a field's name.
func isToken(c byte) bool { return tokenChars.has(c) }

// isTokens reports whether b is a token.
func isTokens(b []byte) bool { return isAll(b, &tokenChars) }

// isHost reports whether b is a host with or without a port. An address of IPv6 stands
// in brackets.
func isHost(b []byte) bool {
	host := b
	if i := bytes.LastIndexByte(b, ':'); i > bytes.LastIndexByte(b, ']') {
		host = b[:i]
		for _, c := range b[i+1:] {
			if !isDigit(c) {
				return false
			}
		}
	}
	if inside, ok := bytes.CutPrefix(host, []byte("[")); ok {
		ip, err := netip.ParseAddr(string(bytes.TrimSuffix(inside, []byte("]"))))
		return err == nil && ip.Is6() && ip.Zone() == "" && len(inside) > 0 && inside[len(inside)-1] == ']'
	}
	return isAll(host, &hostChars)
}

func isAll(b []byte, set *charSet) bool {
	for _, c := range b {
		if !set.has(c) {
			return false
		}
	}
	return len(b) > 0
}
