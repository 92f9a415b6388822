package router

import (
	"context"
	"net"
	"syscall"

	"github.com/redis/go-redis/v9"
)

type plainConn struct {
	net.Conn
	raw syscall.RawConn
}

func dialPlain(ctx context.Context, client *redis.Client) (wire, error) {
	o := client.Options()
	c, err := (&net.Dialer{}).DialContext(ctx, o.Network, o.Addr)
	if err != nil {
		return nil, err
	}
	raw, err := c.(syscall.Conn).SyscallConn()
	return &plainConn{c, raw}, err
}

func (c *plainConn) TryWrite(b []byte) (n int, err error) {
	werr := c.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	if err == syscall.EAGAIN {
		return 0, nil
	}
	if n < 0 {
		n = 0
	}
	if werr != nil {
		return 0, werr
	}
	return n, err
}
