package node

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// welcome takes a connection whose head asks for a WebSocket from its check to
// its session. It answers and closes what it does not take. deadline bounds it.
func (n *Node) welcome(conn net.Conn, h *head, deadline time.Time) {
	s, response, r := n.open(h, deadline)
	if r != nil {
		n.counts.connects[r.result].Inc()
		n.log.Debug("connection refused", "remote", conn.RemoteAddr(), "result", r.result, "answer", r.text)
		r.answer(conn)
		return
	}
	conn.SetDeadline(deadline)
	if _, err := conn.Write(response); err != nil {
		n.counts.connects[resultGone].Inc()
		s.abandon()
		conn.Close()
		return
	}
	conn.SetDeadline(time.Time{})
	if s.isMember() {
		n.counts.connects[resultWelcomed].Inc()
	} else {
		n.counts.connects[resultDuplicate].Inc()
	}
	s.attach(conn, bytes.Clone(h.rest))
}

// open checks the handshake and the client, makes the session and joins it. It
// returns the response that upgrades the connection.
func (n *Node) open(h *head, deadline time.Time) (*session, []byte, *refusal) {
	p, r := n.route(h)
	if r != nil {
		return nil, nil, r
	}
	response, r := upgrade(h, p)
	if r != nil {
		return nil, nil, r
	}
	client, r := n.identified(h)
	if r != nil {
		return nil, nil, r
	}
	s := newSession(n, p, client)
	if !n.table.add(s) {
		return nil, nil, tryLater(resultTooMany, "node is full: it holds %d sessions; try another one", n.opts.MaxSessions)
	}
	if r := n.join(s, deadline); r != nil {
		s.abandon()
		return nil, nil, r
	}
	return s, response, nil
}

// join makes s reachable. The welcome is queued before, because messages may be
// delivered before Join returns. A duplicate is upgraded all the same and closed
// then: a browser does not see the status of an HTTP answer.
func (n *Node) join(s *session, deadline time.Time) *refusal {
	ctx, cancel := context.WithDeadline(n.handshakes.ctx, deadline)
	defer cancel()
	s.greet()
	err := n.router.Join(ctx, s.client, s)
	switch {
	case err == nil:
		s.setJoined()
		return nil
	case errors.Is(err, router.ErrDuplicate):
		s.close(closedDuplicate)
		return nil
	case n.draining.Load():
		return tryLater(resultDraining, "node is draining: connect to another one")
	}
	if !errors.Is(err, router.ErrUnavailable) {
		n.log.Error("join failed", "error", err)
	}
	return tryLater(resultUnavailable, "registry is not available: try again")
}

// route finds the protocol of the head's path.
func (n *Node) route(h *head) (protocol, *refusal) {
	p, ok := n.paths[h.path]
	switch {
	case !ok:
		return nil, refuse(resultUnknownPath, http.StatusNotFound,
			"no WebSocket at this path; allowed are %s", strings.Join(slices.Sorted(maps.Keys(n.paths)), ", "))
	case h.method != http.MethodGet:
		return nil, refuse(resultBadMethod, http.StatusMethodNotAllowed,
			"method %.20s does not open a WebSocket; allowed is GET", h.method).with("Allow: GET")
	case n.draining.Load():
		return nil, tryLater(resultDraining, "node is draining: connect to another one")
	case !h.handshake:
		return nil, refuse(resultBadHandshake, http.StatusUpgradeRequired,
			"this path speaks WebSocket only: send Upgrade: websocket").
			with("Upgrade: websocket").with("Connection: Upgrade").with("Sec-WebSocket-Version: 13")
	case h.version != "" && h.version != "13":
		return nil, refuse(resultBadVersion, http.StatusUpgradeRequired,
			"Sec-WebSocket-Version %.20q is unknown; allowed is 13", h.version).with("Sec-WebSocket-Version: 13")
	}
	return p, nil
}

// upgrade checks the handshake as RFC 6455, section 4.2.1, wants it and returns
// the response that accepts it.
func upgrade(h *head, p protocol) ([]byte, *refusal) {
	u := ws.Upgrader{Protocol: func(offered []byte) bool { return string(offered) == p.subprotocol() }}
	var rw headConn
	rw.Reset(h.raw)
	if _, err := u.Upgrade(&rw); err != nil {
		status := http.StatusBadRequest
		if rejected, ok := errors.AsType[*ws.ConnectionRejectedError](err); ok && rejected.StatusCode() != 0 {
			status = rejected.StatusCode()
		}
		return nil, refuse(resultBadHandshake, status, "%s; allowed is a WebSocket handshake of version 13 (RFC 6455, section 4.1)",
			strings.TrimPrefix(err.Error(), "handshake error: "))
	}
	return rw.out, nil
}

// headConn lets the upgrader read a head and write its answer in memory.
type headConn struct {
	bytes.Reader
	out []byte
}

func (b *headConn) Write(p []byte) (int, error) {
	b.out = append(b.out, p...)
	return len(p), nil
}
