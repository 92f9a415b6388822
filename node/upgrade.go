package node

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// route finds the endpoint at the head's path, and checks that the head asks for a WebSocket.
func (n *Node) route(h *head) (*endpoint, *refusal) {
	at, r := n.endpointFor(h)
	if r != nil {
		r.brief = string(h.method) == http.MethodHead
	}
	return at, r
}

func (n *Node) endpointFor(h *head) (*endpoint, *refusal) {
	at, ok := n.paths[string(h.path)]
	switch {
	case !ok:
		return nil, refuse(resultUnknownPath, http.StatusNotFound,
			"no WebSocket at this path; allowed are %s", strings.Join(slices.Sorted(maps.Keys(n.paths)), ", "))
	case string(h.method) != http.MethodGet:
		return nil, refuse(resultBadMethod, http.StatusMethodNotAllowed,
			"method %.20s does not open a WebSocket; allowed is GET", h.method).with("Allow: GET")
	case n.draining.Load():
		return nil, tryLater(resultDraining, "node is draining: connect to another one")
	case !h.has(fieldHandshake):
		return nil, needsUpgrade(resultBadHandshake, "this path speaks WebSocket only: send Upgrade: websocket")
	}
	return at, checkUpgrade(h)
}

// needsUpgrade refuses with 426, which says what to upgrade to.
func needsUpgrade(result, format string, args ...any) *refusal {
	return refuse(result, http.StatusUpgradeRequired, format, args...).
		with("Upgrade: websocket").with("Connection: Upgrade").with("Sec-WebSocket-Version: 13")
}

// checkUpgrade checks the handshake as RFC 6455, section 4.2.1, wants it.
func checkUpgrade(h *head) *refusal {
	wrong := h.wrong
	switch {
	case !h.has(fieldHTTP11):
		return refuse(resultBadHandshake, http.StatusHTTPVersionNotSupported, "HTTP/1.0 knows no upgrade; allowed is HTTP/1.1")
	case h.has(fieldBody):
		wrong = "a WebSocket handshake has no body"
	case wrong != "":
	case !h.has(fieldUpgrade):
		wrong = "Upgrade: websocket is missing"
	case !h.has(fieldConnection):
		wrong = "Connection: Upgrade is missing"
	case !h.has(fieldVersion):
		wrong = "Sec-WebSocket-Version is missing"
	case string(h.version) != "13":
		return needsUpgrade(resultBadVersion, "Sec-WebSocket-Version %.20q is unknown; allowed is 13", h.version)
	case !isKey(h.key):
		wrong = "Sec-WebSocket-Key is not 16 bytes in base64"
	default:
		wrong = h.checkOffer()
	}
	if wrong == "" {
		return nil
	}
	return refuse(resultBadHandshake, http.StatusBadRequest,
		"%s; allowed is a WebSocket handshake of version 13 (RFC 6455, section 4.1)", wrong)
}

// keySize is the length of a handshake's key: 16 bytes in base64.
const keySize = 24

// isKey reports whether key is 16 bytes in base64, of which the last two of 24
// characters are padding.
func isKey(key []byte) bool {
	digits, ok := bytes.CutSuffix(key, []byte("=="))
	return ok && len(key) == keySize && isAll(digits, &base64Chars)
}

// acceptance is what the response to a handshake says: it is small, because it
// waits for the router with its session.
type acceptance struct {
	proof       [28]byte // that the key was read
	subprotocol string   // empty: none was offered that is known
}

// magic is of RFC 6455, section 1.3.
const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func accept(h *head, subprotocol string) (a acceptance) {
	var buf [keySize + len(magic)]byte
	sum := sha1.Sum(append(append(buf[:0], h.key...), magic...))
	base64.StdEncoding.Encode(a.proof[:], sum[:])
	for token := range bytes.SplitSeq(h.offered, comma) {
		if string(trim(token)) == subprotocol {
			a.subprotocol = subprotocol
		}
	}
	return a
}

// append appends the response.
func (a *acceptance) append(b []byte) []byte {
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = append(b, a.proof[:]...)
	if a.subprotocol != "" {
		b = append(append(b, "\r\nSec-WebSocket-Protocol: "...), a.subprotocol...)
	}
	return append(b, "\r\n\r\n"...)
}
