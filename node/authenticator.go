package node

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/beeline-ws/beeline/router"
)

// Authenticator finds out who connects. Its methods are called by many goroutines at a
// time, and keep nothing of the handshake after they have returned.
//
// An error that is a *Denial is the client's fault, and its answer. With any other error
// the client is asked to try again later, and the log is told.
type Authenticator interface {
	// AuthenticateNow answers at once: it is called on event loops, and must not block. For
	// what it can't answer so, it returns ErrLater.
	AuthenticateNow(h *Handshake) (Identity, error)
	// Authenticate is asked, in a goroutine of its own, what AuthenticateNow does not
	// answer. No more than Options.MaxAuthentications are under way; others wait for their
	// turn. ctx ends with the handshake's time, with the node, or when the client goes.
	Authenticate(ctx context.Context, h *Handshake) (Identity, error)
}

// ErrLater is what AuthenticateNow returns if the answer takes time.
var ErrLater = errors.New("the answer takes time")

// Handshake is what a client has said before it has a session.
type Handshake struct {
	// Head is its HTTP request from the request line up to and with the blank line, which
	// a strict parser has accepted.
	Head []byte
	// Query is that of the request's target, as it came.
	Query []byte
	// First is its first message, under a protocol whose client speaks first; else nil.
	First []byte
}

// clone returns a handshake that outlives the buffer of its head.
func (h *Handshake) clone() *Handshake {
	return &Handshake{bytes.Clone(h.Head), bytes.Clone(h.Query), bytes.Clone(h.First)}
}

// Denial is the refusal of a client.
type Denial struct {
	Status int      // of HTTP: 400, 401, 403 or 429
	Text   string   // one line: what was wrong and what is allowed
	Header []string // further lines of the answer's head, as "WWW-Authenticate: Bearer"
}

func (d *Denial) Error() string { return d.Text }

// authenticateNow asks the authenticator for what it knows at once.
func (n *Node) authenticateNow(h *Handshake) (Identity, error) {
	id, err := n.opts.Authenticator.AuthenticateNow(h)
	return checked(id, err)
}

// authenticate asks the authenticator when it is h's turn.
func (n *Node) authenticate(ctx context.Context, h *Handshake) (Identity, error) {
	select {
	case n.authentications <- struct{}{}:
		defer func() { <-n.authentications }()
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
	id, err := n.opts.Authenticator.Authenticate(ctx, h)
	return checked(id, err)
}

// checked denies an identity whose client's name is none.
func checked(id Identity, err error) (Identity, error) {
	if err != nil {
		return Identity{}, err
	}
	if err := router.CheckClient(id.Client); err != nil {
		return Identity{}, &Denial{Status: http.StatusForbidden, Text: "bad client: " + err.Error()}
	}
	return id, nil
}

// denied returns the answer to a client that was not authenticated.
func (n *Node) denied(err error) *refusal {
	if d, ok := errors.AsType[*Denial](err); ok {
		return &refusal{result: resultBadClient, status: d.Status, text: d.Text, header: d.Header}
	}
	if n.draining.Load() {
		return tryLater(resultDraining, "node is draining: connect to another one")
	}
	n.authErrors.log(n.log, "clients can't be authenticated", err)
	return tryLater(resultUnavailable, "who clients are can't be found out just now: try again")
}
