package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
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

// connect opens a connection to an address, with raw system calls below. TLS verifies the
// server by the host of target, unless its settings name one. With answers it waits until
// the server has answered something: of the addresses of a name, one that accepts
// connections and stands still must not win. With TLS it always waits, because only then a
// server says that it does not take this client's certificate (RFC 8446, section
// 4.4.2.4).
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

// ping is PING in Redis' protocol. An error, such as that a password is missing, is an
// answer as well.
const ping = "*1\r\n$4\r\nPING\r\n"

// awaitAnswer asks for a sign of life.
func awaitAnswer(ctx context.Context, conn net.Conn) error {
	unhook := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	_, _ = conn.Write([]byte(ping)) // where that fails, reading says why
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
