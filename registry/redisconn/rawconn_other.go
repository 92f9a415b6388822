//go:build !linux

package redisconn

import "net"

// rawConn is a connection with raw system calls, which only Linux has here.
type rawConn struct{ net.Conn }

func (*rawConn) tryWrite([]byte) (int, error) { return 0, nil }

// withRawCalls returns conn as it is.
func withRawCalls(conn net.Conn) net.Conn { return conn }
