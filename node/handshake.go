package node

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// welcome takes a connection whose head asks for a WebSocket from its check to
// its session. It answers and closes what it does not take. deadline bounds it, and
// free is called when its slot is needed no longer.
func (n *Node) welcome(conn net.Conn, h *head, deadline time.Time, free func()) {
	at, r := n.route(h)
	if r != nil {
		n.refuse(conn, r, free)
		return
	}
	if at.order == clientFirst {
		n.welcomeLater(conn, at, h, deadline, free)
		return
	}
	ctx, cancel := context.WithDeadline(n.handshakes.ctx, deadline)
	defer cancel()
	early := earlyBytes{conn: conn, deadline: deadline}
	s, err := n.identify(ctx, at, h, &early)
	if err == nil {
		err = n.join(ctx, s, &early)
	}
	if errors.Is(err, errGone) {
		n.refuseHead(conn, err, free)
		return
	}
	if s == nil {
		n.refuse(conn, n.refusalFor(err), free)
		return
	}
	if r := n.concludeJoin(s, err, deadline); r != nil {
		n.refuse(conn, r, free)
		return
	}
	defer free()
	conn.SetDeadline(time.Time{})
	n.read(s, slices.Concat(h.rest, early.bytes))
	response := accept(h, at.subprotocol)
	s.attach(response, func() wire { return n.engine.add(s, conn) })
}

// identify has the authenticator say who the client is, and makes its session.
func (n *Node) identify(ctx context.Context, at *endpoint, h *head, early *earlyBytes) (*session, error) {
	id, err := n.authenticateNow(h.show())
	if errors.Is(err, ErrLater) {
		shown := h.shown.clone()
		if gone := early.read(ctx, func(ctx context.Context) { id, err = n.authenticate(ctx, shown) }); gone {
			return nil, errGone
		}
	}
	if err != nil {
		return nil, err
	}
	return n.open(at, &id)
}

// join has the router join s. If the client goes meanwhile s is abandoned, and the error
// is errGone: what the router delivers to such a session would be called delivered.
func (n *Node) join(ctx context.Context, s *session, early *earlyBytes) (err error) {
	gone := early.read(ctx, func(ctx context.Context) {
		err = n.router.Join(ctx, s.client, s)
	})
	if !gone {
		return err
	}
	s.abandon()
	if err == nil {
		s.leaveLate()
	}
	return errGone
}

// refuse answers a connection that does not become a session, frees its slot, and
// closes it.
func (n *Node) refuse(conn net.Conn, r *refusal, free func()) {
	n.counts.connects[r.result].Inc()
	n.log.Debug("connection refused", "remote", conn.RemoteAddr(), "result", r.result, "answer", r.text)
	err := r.write(conn)
	free()
	n.lingers.close(conn, err)
}

// open makes the session of a client, unless the node is full.
func (n *Node) open(at *endpoint, id *Identity) (*session, error) {
	s := newSession(n, at.speak(), id)
	if !n.table.add(s) {
		return nil, tryLater(resultTooMany, "node is full: it holds %d sessions; try another one", n.table.limit)
	}
	return s, nil
}

// refusalFor returns the answer to a client that got no session.
func (n *Node) refusalFor(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return n.denied(err)
}

// concludeJoin takes the router's answer to a join. Messages may be delivered before.
// A duplicate is upgraded all the same and closed then: a browser does not see
// the status of an HTTP answer. A refused session is abandoned. The handshake had until
// deadline.
func (n *Node) concludeJoin(s *session, err error, deadline time.Time) *refusal {
	switch {
	case err == nil:
		s.setJoined()
		n.welcomed(deadline)
		return nil
	case errors.Is(err, router.ErrDuplicate):
		s.close(closedDuplicate)
		n.counts.connects[resultDuplicate].Inc()
		return nil
	}
	s.abandon()
	return n.joinRefusal(err)
}

// welcomed counts a client whose handshake had until deadline.
func (n *Node) welcomed(deadline time.Time) {
	n.counts.connects[resultWelcomed].Inc()
	n.counts.WelcomeSeconds.Observe((n.opts.HandshakeTimeout - time.Until(deadline)).Seconds())
}

// joinRefusal returns the answer to a client that could not join, but for a duplicate.
func (n *Node) joinRefusal(err error) *refusal {
	switch {
	case errors.Is(err, router.ErrTooManySessions):
		return refuse(resultClientFull, http.StatusTooManyRequests,
			"this client has %d sessions on this node, which are all that are allowed", n.opts.MaxClientSessions).with("Retry-After: 10")
	case n.draining.Load():
		return tryLater(resultDraining, "node is draining: connect to another one")
	}
	if !errors.Is(err, router.ErrUnavailable) {
		n.log.Error("join failed", "error", err)
	}
	return tryLater(resultUnavailable, "registry is not available: try again")
}

// read feeds s with what came behind its head, before the engine has it.
func (n *Node) read(s *session, rest []byte) {
	if len(rest) > 0 {
		_ = s.receive(rest) // an error closes the session
		n.router.Flush()
	}
}

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
