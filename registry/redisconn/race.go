package redisconn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// headStart is how long an attempt to connect runs before the next address is tried
// beside it, as RFC 8305 recommends. With little time each has its share of it.
const headStart = 250 * time.Millisecond

// attempt is one address of a race.
type attempt struct {
	conn  net.Conn
	place netip.AddrPort
	err   error
}

// race connects to the places in their order, each beginning when the one before
// has failed or has had its head start, and returns the first connection (RFC 8305,
// section 5). The error is that of each place, by its address.
func race(ctx context.Context, places []netip.AddrPort, connect func(context.Context, netip.AddrPort) (net.Conn, error)) (net.Conn, netip.AddrPort, error) {
	racing, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan attempt, len(places))
	start := func(place netip.AddrPort) {
		go func() {
			conn, err := connect(racing, place)
			results <- attempt{conn, place, err}
		}()
	}
	head := headStartOf(ctx, len(places))
	next := time.NewTimer(head)
	defer next.Stop()
	var winner attempt
	var failed []error
	start(places[0])
	for begun, ended := 1, 0; ended < begun; {
		more := begun < len(places) && winner.conn == nil && racing.Err() == nil
		goOn := false
		select {
		case a := <-results:
			ended++
			switch {
			case a.err != nil:
				failed = append(failed, a.err)
				goOn = true
			case winner.conn != nil: // too late
				_ = a.conn.Close()
			default:
				winner = a
				cancel()
			}
		case <-next.C:
			goOn = true
		}
		if goOn && more {
			start(places[begun])
			begun++
			next.Reset(head)
		}
	}
	if winner.conn == nil {
		return nil, netip.AddrPort{}, errors.Join(failed...)
	}
	return winner.conn, winner.place, nil
}

// headStartOf leaves the last of n attempts as much time as each before it has alone.
func headStartOf(ctx context.Context, n int) time.Duration {
	head := headStart
	if deadline, ok := ctx.Deadline(); ok {
		head = min(head, time.Until(deadline)/time.Duration(n+1))
	}
	return max(head, time.Millisecond)
}
