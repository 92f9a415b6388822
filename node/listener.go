package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// listen opens both listeners. Clients are accepted later: until then they wait
// in the kernel's queue.
func (n *Node) listen() (err error) {
	if n.admin, err = n.openListener("admin", n.opts.AdminListen); err != nil {
		return err
	}
	n.client, err = n.openListener("clients", n.opts.Listen)
	return err
}

func (n *Node) openListener(name, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	n.cleanups.add(name+" listener", func(context.Context) error {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

// startAccepting starts the loop that accepts clients, and the HTTP server for
// what is no WebSocket.
func (n *Node) startAccepting() {
	plain := newHandoff(n.client.Addr())
	n.serveHTTP("page", plain, n.pageHandler(), n.pages)
	var running sync.WaitGroup
	running.Go(func() { n.engine.accept(n.client, plain) })
	n.cleanups.add("accepting", func(ctx context.Context) error {
		n.client.Close()
		n.handshakes.stop()
		running.Wait()
		n.engine.refuseWaiting()
		return wait(ctx, &n.handshakes.running)
	})
}

// acceptAll accepts until l is closed, with a goroutine for each handshake. Not
// more than MaxHandshakes connections are on their way; the others wait in the
// kernel's queue.
func (n *Node) acceptAll(l net.Listener, plain *handoff) {
	for n.handshakes.acquire(func() { n.hurry(n.handshakes.hurry) }) {
		conn, err := l.Accept()
		if err == nil {
			n.accepted()
			n.handshakes.start(func() { n.serve(conn, plain) })
		} else if !n.acceptFailed(err) {
			return
		}
	}
}

// hurry makes room while no slot is free: it ends the handshakes whose heads are late, by
// heads, and those whose first messages are. Their time would be over before the end that heads is given.
func (n *Node) hurry(heads func(end time.Time)) {
	whole := n.opts.HandshakeTimeout
	end := time.Now().Add(whole - hasty(whole))
	heads(end)
	n.openings.hurry(end)
}

// acceptFailed pauses a while if others can be accepted later, else it returns
// false.
func (n *Node) acceptFailed(err error) bool {
	n.handshakes.free()
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	n.acceptErrors.log(n.log, "accept failed", err) // out of file descriptors, or memory
	n.acceptFailedAt.Store(max(1, int64(time.Since(n.born))))
	n.handshakes.pause(acceptPause)
	return true
}

// accepted notes that connections can be accepted.
func (n *Node) accepted() {
	if n.acceptFailedAt.Load() != 0 {
		n.acceptFailedAt.Store(0)
	}
}

// serve takes a connection from its first byte to the session or the HTTP server that it is for.
func (n *Node) serve(conn net.Conn, plain *handoff) {
	deadline := time.Now().Add(n.opts.HandshakeTimeout)
	if !n.handshakes.enter(conn, deadline) {
		conn.Close()
		n.handshakes.free()
		return
	}
	buf := n.heads.Get().(*buffer)
	defer n.heads.Put(buf)
	h, err := readHead(conn, buf.b)
	n.handshakes.headRead(conn)
	if err == nil {
		err = h.parse()
	}
	defer n.handshakes.leave()
	switch {
	case err != nil:
		n.refuseHead(conn, err, n.handshakes.free)
	case n.isPage(&h):
		n.counts.connects[resultHTTP].Inc()
		plain.hand(newPageConn(n, conn, &h))
		n.handshakes.free()
	default:
		n.welcome(conn, &h, deadline, n.handshakes.free)
	}
}

// isPage reports whether h is for the HTTP server.
func (n *Node) isPage(h *head) bool { return n.paths[string(h.path)] == nil && !h.has(fieldUpgrade) }

// refuseHead answers a connection whose head can't be read, or that has ended since.
// It frees the connection's slot.
func (n *Node) refuseHead(conn net.Conn, err error, free func()) {
	if errors.Is(err, errGone) {
		n.counts.connects[resultGone].Inc()
		conn.Close()
		free()
		return
	}
	n.refuse(conn, n.headRefusal(err), free)
}

func (n *Node) headRefusal(err error) *refusal {
	switch {
	case n.draining.Load():
		return tryLater(resultDraining, "node is draining: connect to another one")
	case errors.Is(err, errHeadTooLarge):
		return refuse(resultHeadTooLarge, 431, "the request's head is too large; allowed are %d bytes", n.opts.MaxHead)
	case errors.Is(err, errHeadTimeout):
		return refuse(resultHeadTimeout, 408, "the request's head did not come in time; allowed are %v, and %v while many connections wait",
			n.opts.HandshakeTimeout, hasty(n.opts.HandshakeTimeout))
	}
	if fault, ok := errors.AsType[*headFault](err); ok {
		return refuse(resultBadHead, fault.status, "%s", fault.text)
	}
	return refuse(resultBadHead, http.StatusBadRequest, "%v", err)
}

// advertised derives the URL by which other nodes reach a listener. For one that
// listens everywhere that is the host's first address that is not a loopback's:
// unlike its name it needs no resolver.
func advertised(l net.Addr) string {
	host, port, err := net.SplitHostPort(l.String())
	if err != nil {
		return "http://" + l.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = hostAddress()
	}
	return "http://" + net.JoinHostPort(host, port)
}

func hostAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		addrs = nil
	}
	var six string
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if six == "" {
			six = n.IP.String()
		}
	}
	if six != "" {
		return six
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		if _, err := net.LookupHost(name); err == nil {
			return name
		}
	}
	return "127.0.0.1"
}
