package redisconn

import (
	"io"
	"net"
	"testing"
)

func TestTryWriteDoesNotWait(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		near, far := socketPair(t, network)
		raw, ok := withRawCalls(near).(*rawConn)
		if !ok {
			t.Fatalf("a %s connection has no raw system calls", network)
		}
		sent := 0
		for full := false; !full; {
			n, err := raw.tryWrite(make([]byte, 1<<20))
			must(t, err)
			sent, full = sent+n, n == 0
		}
		wrote := make(chan error, 1)
		go func() {
			_, err := raw.Write(make([]byte, 1<<20))
			wrote <- err
		}()
		eventually(t, func() bool {
			free := raw.writing.TryLock()
			if free {
				raw.writing.Unlock()
			}
			return !free
		}, func() string { return "the write does not begin" })
		if n, err := raw.tryWrite([]byte("x")); n != 0 || err != nil {
			t.Errorf("beside a write that waits: %d, %v", n, err)
		}
		_, err := io.CopyN(io.Discard, far, int64(sent)+1<<20)
		must(t, err)
		must(t, receive(t, wrote, "the write ends"))
		if n, err := raw.tryWrite([]byte("x")); n != 1 || err != nil {
			t.Errorf("into an empty socket: %d, %v", n, err)
		}
		must(t, near.Close())
		_, err = raw.tryWrite([]byte("x"))
		wantOpError(t, err, near, "write", net.ErrClosed)
	}
}
