package registry

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// keepAlive is go-redis' own policy: a peer that vanished is known after 45
// seconds without traffic.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}

// dialer returns what go-redis' own dialer does, with raw system calls below.
// timeout bounds the connecting and TLS' handshake together.
func dialer(timeout time.Duration, config *tls.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		d := net.Dialer{KeepAliveConfig: keepAlive}
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		conn = withRawCalls(conn)
		if config == nil {
			return conn, nil
		}
		return shake(ctx, conn, addr, config)
	}
}

// shake begins TLS on conn. The server is verified by the host that was dialed,
// unless config names one.
func shake(ctx context.Context, conn net.Conn, addr string, config *tls.Config) (net.Conn, error) {
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = addr
		if host, _, err := net.SplitHostPort(addr); err == nil {
			config.ServerName = host
		}
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}
