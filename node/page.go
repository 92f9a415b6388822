package node

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// pageHandler answers on the clients' listener what is no WebSocket.
func (n *Node) pageHandler() http.Handler {
	mux := http.NewServeMux()
	if n.opts.Page != nil {
		mux.Handle("GET /{$}", n.opts.Page)
	}
	mux.HandleFunc("GET /node", n.self)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not found; WebSockets are at /ws", http.StatusNotFound)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.paths[r.URL.Path] != nil || asksForWebSocket(r) {
			n.takeBack(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// asksForWebSocket tells whether r offers that upgrade; others are no business of
// this node, and the request is served as if they were not there.
func asksForWebSocket(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Upgrade"], func(line string) bool { return hasToken([]byte(line), "websocket") })
}

// self tells other nodes whether this process is still the one they mean.
func (n *Node) self(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"node":%q}`+"\n", n.id) // letters, digits, '.', '_' and '-'
}

// takeBack takes a connection back from the HTTP server: its second or later
// request asks for a WebSocket. The head is written out again, for the same way
// that first requests take.
func (n *Node) takeBack(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		http.Error(w, "a WebSocket handshake has no body", http.StatusBadRequest)
		return
	}
	deadline := time.Now().Add(n.opts.HandshakeTimeout)
	hijacked, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "open a new connection for a WebSocket", http.StatusBadRequest)
		return
	}
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "%s %s HTTP/%d.%d\r\nHost: %s\r\n", r.Method, r.RequestURI, r.ProtoMajor, r.ProtoMinor, r.Host)
	_ = r.Header.Write(&raw) // memory takes it
	raw.WriteString("\r\n")
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	conn, unread := unwrap(hijacked)
	h := head{raw: raw.Bytes(), rest: append(bytes.Clone(rest), unread...)}
	if !n.handshakes.enter(conn, deadline) {
		conn.Close()
		return
	}
	defer n.handshakes.leave()
	n.handshakes.headRead(conn)
	if err := h.parse(); err != nil {
		n.refuseHead(conn, err)
		return
	}
	n.welcome(conn, &h, deadline)
}

// handoff is a listener in memory: it gives the HTTP server connections whose
// head was read already.
type handoff struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// hand gives conn to the server. closed is called when it is done with it.
func (l *handoff) hand(conn net.Conn, h *head, closed func()) {
	conn.SetDeadline(time.Time{})
	replay := &replayConn{Conn: conn, unread: append(bytes.Clone(h.raw), h.rest...), closed: sync.OnceFunc(closed)}
	select {
	case l.conns <- replay:
	case <-l.done:
		replay.Close()
	}
}

func (l *handoff) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handoff) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *handoff) Addr() net.Addr { return l.addr }

// replayConn is a connection of which something was read already.
type replayConn struct {
	net.Conn
	unread []byte // read by one goroutine at a time
	closed func()
}

func (c *replayConn) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *replayConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// unwrap returns the connection that was handed over, and what was not read of
// it.
func unwrap(conn net.Conn) (net.Conn, []byte) {
	c, ok := conn.(*replayConn)
	if !ok {
		return conn, nil
	}
	c.closed()
	return c.Conn, c.unread
}
