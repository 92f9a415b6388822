package redisconn

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// keepAlive is go-redis' own policy: a peer that vanished is known after 45
// seconds without traffic.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// dialer opens the connections of a client that Connect made. Each dial finds out
// afresh where the server is: it asks the Sentinels for the master, resolves the
// name, and tries the name's addresses side by side.
type dialer struct {
	timeout   time.Duration // of a dial, from the question where the server is to the end of TLS' handshake
	tls       *tlsSource    // nil: no TLS
	names     *names
	sentinels *sentinels // nil: the address to dial is the server's
}

// dialed is a connection, and where it leads. Those of clients that Connect did not
// make know only the former.
type dialed struct {
	net.Conn
	by     *dialer        // nil: not known, as are the following
	target string         // host:port, as the URL, a Sentinel or the Cluster names the server
	place  netip.AddrPort // what target was resolved to; invalid for a Unix socket

	// Set before the connection is shared, by who keeps account of it.
	since  time.Time
	cut    func() error  // closes the connection from outside
	closed func(*dialed) // told that it was closed
	told   func(error)   // told why it never came into use

	gone  atomic.Bool
	inUse atomic.Bool // the server has answered something that was no error
	gave  atomic.Bool // told was called
}

// dial is for redis.Options.Dialer.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.timeout)
		defer cancel()
	}
	if d.sentinels != nil {
		master, err := d.sentinels.find(ctx)
		if err != nil {
			return nil, err
		}
		addr = master.addr
	}
	if network == "unix" {
		conn, err := d.connect(ctx, network, addr, addr, false)
		if err != nil {
			return nil, err
		}
		return &dialed{Conn: conn, by: d, target: addr}, nil
	}
	return d.dialTCP(ctx, addr)
}

func (d *dialer) dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := splitPort(addr)
	if err == nil && (host == "" || host == "?") {
		err = errNoEndpoint
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	ips, err := d.names.candidates(ctx, host, port)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	conn, place, err := race(ctx, ips, func(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
		return d.connect(ctx, "tcp", place.String(), addr, len(ips) > 1)
	})
	if err != nil {
		if host != ips[0].Addr().String() {
			err = fmt.Errorf("%s: %w", addr, err)
		}
		return nil, err
	}
	return &dialed{Conn: conn, by: d, target: addr, place: place}, nil
}

// connect opens a connection to an address, with raw system calls below. The server is
// verified by the host of target, unless TLS' settings name one. If asked to, it
// waits until the server has answered something: one that accepts connections and
// stands still is not what a name with several addresses stands for. With TLS that is
// done each time, because only then a server says that it does not take this client's
// certificate (RFC 8446, section 4.4.2.4).
func (d *dialer) connect(ctx context.Context, network, addr, target string, answers bool) (net.Conn, error) {
	nd := net.Dialer{KeepAliveConfig: keepAlive}
	conn, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	remote := conn.RemoteAddr()
	conn = withRawCalls(conn)
	if d.tls != nil {
		conn, err = d.shake(ctx, conn, target)
	}
	if err == nil && (answers || d.tls != nil) {
		err = awaitAnswer(ctx, conn)
	}
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: network, Addr: remote, Err: err}
	}
	return conn, nil
}

func (d *dialer) shake(ctx context.Context, conn net.Conn, target string) (net.Conn, error) {
	config, err := d.tls.config()
	if err != nil {
		return conn, err
	}
	if config.ServerName == "" {
		config.ServerName = target
		if host, _, err := splitPort(target); err == nil {
			config.ServerName = host
		}
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return conn, fmt.Errorf("TLS handshake as %s: %w", config.ServerName, err)
	}
	return c, nil
}

// ask is PING as Redis' protocol has it. It may be answered by an error, that a
// password is missing: that is an answer.
const ask = "*1\r\n$4\r\nPING\r\n"

// awaitAnswer asks for a sign of life.
func awaitAnswer(ctx context.Context, conn net.Conn) error {
	unhook := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	_, _ = conn.Write([]byte(ask)) // where that fails, reading says why
	answer := make([]byte, 0, 512)
	for len(answer) == 0 || answer[len(answer)-1] != '\n' {
		if len(answer) == cap(answer) {
			unhook()
			return errors.New("the answer to PING is longer than any of Redis'")
		}
		n, err := conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if err != nil {
			unhook()
			return fmt.Errorf("no answer to PING: %w", err)
		}
	}
	if !unhook() {
		return ctx.Err()
	}
	for _, refusal := range []string{"-ERR max number of clients", "-DENIED"} {
		if text := string(answer); len(text) >= len(refusal) && text[:len(refusal)] == refusal {
			return errors.New(text[1 : len(text)-2])
		}
	}
	return nil
}

// Read reads. What the server says while the connection is introduced is noted if it is
// a refusal: go-redis keeps only that it could not go on.
func (c *dialed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.inUse.Load() {
		c.introduce(b[:n], err)
	}
	return n, err
}

// Write writes. A server that refuses connections says why and closes, so writing fails
// and the reason is there to be read.
func (c *dialed) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !c.inUse.Load() && !c.gave.Load() {
		c.lastWords(err)
	}
	return n, err
}

// maxRefusal bounds how much of a refusal is kept, in bytes.
const maxRefusal = 256

func (c *dialed) introduce(answer []byte, err error) {
	switch {
	case len(answer) > 0 && answer[0] == '-':
		line, _, _ := bytes.Cut(answer[1:], []byte("\r\n"))
		c.tell(errors.New(string(line[:min(len(line), maxRefusal)])))
	case len(answer) > 0:
		c.inUse.Store(true)
	case err != nil && !c.gave.Load():
		c.tell(err)
	}
}

// lastWords reads what a connection that can't be written has left to say.
func (c *dialed) lastWords(err error) {
	room := make([]byte, maxRefusal)
	_ = c.Conn.SetReadDeadline(time.Now().Add(lastWordsTime))
	n, _ := c.Conn.Read(room)
	if n == 0 {
		c.tell(err)
		return
	}
	c.introduce(room[:n], nil)
}

// lastWordsTime is for what has already arrived.
const lastWordsTime = 5 * time.Millisecond

func (c *dialed) tell(err error) {
	if c.told != nil && !c.gone.Load() {
		c.gave.Store(true)
		var op *net.OpError
		if !errors.As(err, &op) {
			err = fmt.Errorf("%v: %w", c.RemoteAddr(), err)
		}
		c.told(err)
	}
}

// SyscallConn is what go-redis looks for to see whether the connection lives.
func (c *dialed) SyscallConn() (syscall.RawConn, error) {
	if sys, ok := c.Conn.(syscall.Conn); ok {
		return sys.SyscallConn()
	}
	return opaque{c}, nil
}

// Close closes the connection and strikes it off the account of its client's.
func (c *dialed) Close() error {
	if c.told != nil && !c.inUse.Load() && !c.gave.Load() && !c.gone.Load() {
		c.lastWords(io.EOF)
	}
	if c.gone.CompareAndSwap(false, true) && c.closed != nil {
		c.closed(c)
	}
	return c.Conn.Close()
}

// opaque stands for a connection whose socket must not be read past its TLS: all
// that is known of its life is whether this end has closed it.
type opaque struct{ c *dialed }

func (o opaque) look(func(uintptr) bool) error {
	if o.c.gone.Load() {
		return net.ErrClosed
	}
	return nil
}

// Read reads nothing.
func (o opaque) Read(f func(uintptr) bool) error { return o.look(f) }

// Write writes nothing.
func (o opaque) Write(f func(uintptr) bool) error { return o.look(f) }

// Control controls nothing.
func (o opaque) Control(func(uintptr)) error { return errors.ErrUnsupported }
