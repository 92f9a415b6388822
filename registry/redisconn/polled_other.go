//go:build !linux

package redisconn

import (
	"errors"
	"time"
)

// polledConn is a connection out of the runtime's poller, which only Linux has
// here.
type polledConn struct{}

func detach(*rawConn) (*polledConn, error) { return nil, errors.ErrUnsupported }

func (*polledConn) tryRead([]byte) (int, error)             { return 0, errors.ErrUnsupported }
func (*polledConn) tryWrite([]byte) (int, error)            { return 0, errors.ErrUnsupported }
func (*polledConn) writeAll([]byte, time.Time) (int, error) { return 0, errors.ErrUnsupported }
func (*polledConn) close() error                            { return errors.ErrUnsupported }
