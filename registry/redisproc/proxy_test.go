package redisproc

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a server that says what it hears, behind a proxy.
func echo(t *testing.T) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := StartProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	t.Cleanup(func() {
		p.Close()
		l.Close()
		<-done
	})
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// hears sends a word and returns what comes back, at most so long.
func hears(conn net.Conn, word string, wait time.Duration) error {
	if _, err := conn.Write([]byte(word)); err != nil {
		return err
	}
	return answers(conn, word, wait)
}

func answers(conn net.Conn, word string, wait time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(word)))
	return err
}

const (
	soon      = 2 * time.Minute       // reached only by a failure
	aGoodBit  = 50 * time.Millisecond // in which nothing arrives
	firstWord = "hello"
)

func silent(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestProxyCutsAndMends(t *testing.T) {
	p := echo(t)
	old := dial(t, p)
	if err := hears(old, firstWord, soon); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := answers(old, firstWord, soon); err == nil || silent(err) {
		t.Errorf("an old connection has %v, want a reset", err)
	}
	young, err := net.Dial("tcp", p.Addr)
	if err == nil { // else the reset was quicker
		defer young.Close()
		err = hears(young, firstWord, soon)
	}
	if err == nil || silent(err) {
		t.Errorf("a new connection has %v, want a reset", err)
	}
	p.Mend()
	if err := hears(dial(t, p), firstWord, soon); err != nil {
		t.Error(err)
	}
}

func TestProxyIsABlackHole(t *testing.T) {
	p := echo(t)
	old := dial(t, p)
	if err := hears(old, firstWord, soon); err != nil {
		t.Fatal(err)
	}
	p.BlackHole()
	young := dial(t, p)
	for _, conn := range []net.Conn{old, young} {
		if err := hears(conn, firstWord, aGoodBit); !silent(err) {
			t.Errorf("a connection into a black hole has %v, want silence", err)
		}
	}
	p.Mend()
	if err := hears(old, firstWord, aGoodBit); !silent(err) {
		t.Errorf("an old connection has %v after the end, want silence", err)
	}
	if err := hears(dial(t, p), firstWord, soon); err != nil {
		t.Error(err)
	}
}

func TestProxyStallsAndGoesOn(t *testing.T) {
	p := echo(t)
	conn := dial(t, p)
	if err := hears(conn, firstWord, soon); err != nil {
		t.Fatal(err)
	}
	p.Stall()
	if err := hears(conn, firstWord, aGoodBit); !silent(err) {
		t.Errorf("a stalled connection has %v, want silence", err)
	}
	p.Mend()
	if err := answers(conn, firstWord, soon); err != nil {
		t.Error(err)
	}
}

func TestProxyStallsSubscriptionsAlone(t *testing.T) {
	p := echo(t)
	subscriber, other := dial(t, p), dial(t, p)
	if err := hears(subscriber, "subscribe\r\n", soon); err != nil {
		t.Fatal(err)
	}
	if err := hears(other, firstWord, soon); err != nil {
		t.Fatal(err)
	}
	if n := p.StallSubscriptions(); n != 1 || p.Open() != 2 {
		t.Errorf("%d of %d connections are held back, want 1 of 2", n, p.Open())
	}
	if err := hears(other, firstWord, soon); err != nil {
		t.Error(err)
	}
	if err := hears(subscriber, firstWord, aGoodBit); !silent(err) {
		t.Errorf("a held connection has %v, want silence", err)
	}
	p.Mend()
	if err := answers(subscriber, firstWord, soon); err != nil {
		t.Error(err)
	}
}
