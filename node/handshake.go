package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
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
