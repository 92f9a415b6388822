package redisconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// onPairs runs a test on connected sockets whose near end is package net's own,
// and on such whose near end makes raw system calls: nobody may see a difference.
func onPairs(t *testing.T, test func(t *testing.T, near, far net.Conn)) {
	t.Parallel()
	wraps := map[string]func(net.Conn) net.Conn{"net": func(c net.Conn) net.Conn { return c }, "raw": withRawCalls}
	for wrap, f := range wraps {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(wrap+" "+network, func(t *testing.T) {
				t.Parallel()
				near, far := socketPair(t, network)
				test(t, f(near), far)
			})
		}
	}
}

func socketPair(t testing.TB, network string) (near, far net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	must(t, err)
	defer func() { _ = l.Close() }()
	near, err = net.Dial(network, l.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = near.Close() })
	far, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { _ = far.Close() })
	return near, far
}

func TestConnCarriesBytesBothWays(t *testing.T) {
	onPairs(t, func(t *testing.T, near, far net.Conn) {
		for _, size := range []int{1, 100, 8 << 20} {
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				sent := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
				wrote := make(chan error, 1)
				go func() {
					n, err := from.Write(sent)
					if err == nil && n != size {
						err = io.ErrShortWrite
					}
					wrote <- err
				}()
				got := make([]byte, size)
				for at := 0; at < size; { // a slow reader takes a little at a time
					n, err := to.Read(got[at:min(size, at+30_000)])
					must(t, err)
					at += n
				}
				must(t, receive(t, wrote, "the write ends"))
				if !bytes.Equal(got, sent) {
					t.Fatalf("%d bytes arrive changed", size)
				}
			}
		}
		if n, err := near.Read(nil); n != 0 || err != nil {
			t.Errorf("empty read: %d, %v", n, err)
		}
		if n, err := near.Write(nil); n != 0 || err != nil {
			t.Errorf("empty write: %d, %v", n, err)
		}
	})
}

// wantOpError asserts that err looks as package net's does.
func wantOpError(t *testing.T, err error, near net.Conn, op string, is error) {
	t.Helper()
	var e *net.OpError
	if !errors.As(err, &e) || e.Op != op || e.Net != near.LocalAddr().Network() || !errors.Is(err, is) {
		t.Errorf("error: %#v (%v), want a net.OpError of %s that is %v", err, err, op, is)
	}
}

func TestConnDeadlines(t *testing.T) {
	onPairs(t, func(t *testing.T, near, far net.Conn) {
		for _, deadline := range []time.Duration{-time.Second, 10 * time.Millisecond} {
			must(t, near.SetReadDeadline(time.Now().Add(deadline)))
			_, err := near.Read(make([]byte, 1))
			wantOpError(t, err, near, "read", os.ErrDeadlineExceeded)
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%v is no timeout", err)
			}

			must(t, near.SetWriteDeadline(time.Now().Add(deadline)))
			_, err = near.Write(make([]byte, 64<<20))
			wantOpError(t, err, near, "write", os.ErrDeadlineExceeded)
		}
		must(t, near.SetDeadline(time.Time{}))
		_, err := far.Write([]byte("x"))
		must(t, err)
		_, err = near.Read(make([]byte, 1))
		must(t, err)
	})
}

func TestDeadlineEndsAReadThatWaits(t *testing.T) {
	onPairs(t, func(t *testing.T, near, _ net.Conn) {
		failed := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			failed <- err
		}()
		runtime.Gosched()
		must(t, near.SetReadDeadline(time.Now()))
		wantOpError(t, receive(t, failed, "the read ends"), near, "read", os.ErrDeadlineExceeded)
	})
}

func TestConnEnds(t *testing.T) {
	onPairs(t, func(t *testing.T, near, far net.Conn) {
		_, err := far.Write([]byte("last"))
		must(t, err)
		must(t, far.Close())
		got, err := io.ReadAll(near)
		must(t, err)
		if string(got) != "last" {
			t.Errorf("read %q", got)
		}
		if _, err = near.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("error: %v, want io.EOF itself", err)
		}
		eventually(t, func() bool {
			_, err = near.Write([]byte("x"))
			return err != nil
		}, func() string { return "writes to nobody succeed" })
		var call *os.SyscallError
		if !errors.As(err, &call) || call.Syscall != "write" {
			t.Errorf("error: %#v, want a syscall's", err)
		}
		if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("error: %v, want a broken pipe", err)
		}
	})
}

func TestConnIsReset(t *testing.T) {
	onPairs(t, func(t *testing.T, near, far net.Conn) {
		tcp, ok := far.(*net.TCPConn)
		if !ok {
			return
		}
		must(t, tcp.SetLinger(0))
		must(t, far.Close())
		_, err := near.Read(make([]byte, 1))
		wantOpError(t, err, near, "read", syscall.ECONNRESET)
	})
}

func TestCloseEndsWhatWaits(t *testing.T) {
	onPairs(t, func(t *testing.T, near, _ net.Conn) {
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := near.Read(make([]byte, 1))
				wantOpError(t, err, near, "read", net.ErrClosed)
			})
			all.Go(func() {
				_, err := near.Write(make([]byte, 64<<20))
				wantOpError(t, err, near, "write", net.ErrClosed)
			})
		}
		runtime.Gosched()
		must(t, near.Close())
		all.Wait()
		_, err := near.Read(make([]byte, 1))
		wantOpError(t, err, near, "read", net.ErrClosed)
		wantOpError(t, near.Close(), near, "close", net.ErrClosed)
	})
}

func TestWritesAreWhole(t *testing.T) {
	onPairs(t, func(t *testing.T, near, far net.Conn) {
		const size, each = 100_000, 20
		for i := range 4 {
			go func() {
				for range each {
					if _, err := near.Write(bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		got := make([]byte, size)
		for range 4 * each {
			_, err := io.ReadFull(far, got)
			must(t, err)
			if !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
				t.Fatal("two writes are mixed")
			}
		}
	})
}

// It does not run beside other tests, whose allocations would count.
func TestRawCallsDoNotAllocate(t *testing.T) {
	near, far := socketPair(t, "tcp")
	a, b := withRawCalls(near), withRawCalls(far)
	buf := make([]byte, 64)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := a.Write(buf); err != nil {
			t.Error(err)
		}
		if _, err := b.Read(buf); err != nil {
			t.Error(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkConn asks an idle Redis something from an otherwise idle process, which
// is when what the calls wake counts. The process' own time is cpu-ns/op.
func BenchmarkConn(b *testing.B) {
	s := redistest.Start(b)
	for name, f := range map[string]func(net.Conn) net.Conn{"net": func(c net.Conn) net.Conn { return c }, "raw": withRawCalls} {
		b.Run(name, func(b *testing.B) {
			conn, err := net.Dial("tcp", s.Addr)
			must(b, err)
			conn = f(conn)
			defer func() { _ = conn.Close() }()
			ask, buf := []byte("PING\r\n"), make([]byte, 128)
			b.ReportAllocs()
			before := ownCPU(b)
			for b.Loop() {
				if _, err := conn.Write(ask); err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Read(buf); err != nil {
					b.Fatal(err)
				}
				time.Sleep(300 * time.Microsecond)
			}
			b.ReportMetric(float64(ownCPU(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// ownCPU returns how much CPU this process has used.
func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
