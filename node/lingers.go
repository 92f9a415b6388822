package node

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// lingerTime is how long a refused connection is read on after the answer, so
// that what the client still sends does not make the kernel reset the
// connection before the answer was read; lingerBytes is how much.
const (
	lingerTime  = time.Second
	lingerBytes = 256 << 10
)

// lingers are the refused connections that are read on. They hold no handshake slot,
// so they have a bound of their own.
type lingers struct {
	limit int32 // static
	count atomic.Int32
}

// close closes conn, to which an answer was written, or not, with err. While there are
// as many as the limit, further ones are not read on.
func (l *lingers) close(conn net.Conn, err error) {
	defer conn.Close()
	defer l.count.Add(-1)
	if l.count.Add(1) > l.limit || err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		conn.SetDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, conn, lingerBytes)
	}
}
