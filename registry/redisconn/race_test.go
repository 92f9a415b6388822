package redisconn

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

var place1, place2, place3 = netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("[2001:db8::2]:2"), netip.MustParseAddrPort("192.0.2.3:3")

// racing is what each place of a race does.
type racing map[netip.AddrPort]func(context.Context) (net.Conn, error)

func (r racing) run(ctx context.Context, places ...netip.AddrPort) (netip.AddrPort, error) {
	conn, place, err := race(ctx, places, func(ctx context.Context, p netip.AddrPort) (net.Conn, error) { return r[p](ctx) })
	if conn != nil {
		_ = conn.Close()
	}
	return place, err
}

func hangs(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func connects(context.Context) (net.Conn, error) {
	conn, other := net.Pipe()
	_ = other.Close()
	return conn, nil
}

func refuses(context.Context) (net.Conn, error) { return nil, errors.New("refused") }

func TestAddressThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	winner, err := racing{place1: hangs, place2: refuses, place3: connects}.run(ctx, place1, place2, place3)
	must(t, err)
	if winner != place3 {
		t.Errorf("connected to %v, want %v", winner, place3)
	}
}

func TestFirstAddressIsPreferred(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its clock does not run while the first has something to do
		second := func(context.Context) (net.Conn, error) {
			t.Error("the second address is tried")
			return refuses(t.Context())
		}
		winner, err := racing{place1: connects, place2: second}.run(t.Context(), place1, place2)
		must(t, err)
		if winner != place1 {
			t.Errorf("connected to %v, want %v", winner, place1)
		}
	})
}

func TestEachAddressHasItsShareOfLittleTime(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{time.Hour, 400 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		if head := headStartOf(ctx, 3); head > timeout/4 || head > headStart {
			t.Errorf("with %v for three the first has %v alone", timeout, head)
		}
		cancel()
	}
}

func TestErrorsOfAllAddressesAreTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := racing{place1: hangs, place2: refuses}.run(ctx, place1, place2)
	wantError(t, err, context.DeadlineExceeded)
	if !strings.Contains(err.Error(), "refused") {
		t.Errorf("error: %v, want both", err)
	}
}

func TestFamiliesOfAddressesTakeTurns(t *testing.T) {
	t.Parallel()
	parse := netip.MustParseAddr
	four := func(last string) netip.Addr { return parse("192.0.2." + last) }
	six := func(last string) netip.Addr { return parse("2001:db8::" + last) }
	got := interleaved([]netip.Addr{six("1"), six("2"), six("3"), four("1"), four("2")})
	want := []netip.Addr{six("1"), four("1"), six("2"), four("2"), six("3")}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("order %v, want %v", got, want)
		}
	}
}

// The first address of a name accepts connections and does not answer.
func TestServerThatAcceptsAndHangsIsPassedOver(t *testing.T) {
	t.Parallel()
	from, to, name := startMoving(t)
	name.LeadTo(from, to)
	name.Proxy(from).Stall()
	d, err := Connector{Resolver: name}.dialer(time.Hour, nil)
	must(t, err)
	conn, err := d.dial(t.Context(), "tcp", strings.TrimPrefix(name.URL(), "redis://"))
	must(t, err)
	defer func() { _ = conn.Close() }()
	if at := conn.RemoteAddr().String(); at != name.Proxy(to).Addr {
		t.Errorf("connected to %s, want the server that answers", at)
	}
	must(t, redisOn(conn).Ping(t.Context()).Err())
}

// redisOn returns a client that talks on conn.
func redisOn(conn net.Conn) *redis.Client {
	return redis.NewClient(&redis.Options{DisableIdentity: true, MaxRetries: -1,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return conn, nil }})
}

// fakeSentinel names a master, or hangs.
func fakeSentinel(t *testing.T, master, epoch string) (addr string) {
	t.Helper()
	s, err := server.NewServer("127.0.0.1:0")
	must(t, err)
	t.Cleanup(s.Close)
	must(t, s.Register("SENTINEL", func(c *server.Peer, _ string, args []string) {
		host, port, _ := net.SplitHostPort(master)
		switch strings.ToLower(args[0]) {
		case "get-master-addr-by-name":
			c.WriteStrings([]string{host, port})
		case "master":
			c.WriteStrings([]string{"ip", host, "config-epoch", epoch})
		default:
			c.WriteLen(0)
		}
	}))
	return s.Addr().String()
}

// hanging returns an address that accepts connections and never answers.
func hanging(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// vote asks Sentinels with all the time that a slow machine needs.
func vote(t *testing.T, addrs ...string) (elected, error) {
	t.Helper()
	_, s, err := sentinelOptions("redis", strings.Join(addrs, ",")+"/mymaster")
	must(t, err)
	d, err := Connector{}.dialer(time.Hour, nil)
	must(t, err)
	s.options.Dialer, s.options.DialTimeout, s.options.ReadTimeout = d.dial, time.Hour, time.Hour
	s.grace = time.Hour
	return s.find(t.Context())
}

func TestSentinelThatHangsHoldsUpNobody(t *testing.T) {
	t.Parallel()
	a, b := fakeSentinel(t, "[2001:db8::1]:6379", "7"), fakeSentinel(t, "[2001:db8::1]:6379", "7")
	got, err := vote(t, hanging(t), a, b)
	must(t, err)
	if got.addr != "[2001:db8::1]:6379" {
		t.Errorf("the master is %s", got.addr)
	}
}

func TestSentinelThatMissedTheFailoverIsOutvoted(t *testing.T) {
	t.Parallel()
	late, current := fakeSentinel(t, "192.0.2.1:6379", "9"), fakeSentinel(t, "192.0.2.2:6379", "10")
	for range 5 {
		got, err := vote(t, late, current)
		must(t, err)
		if got.addr != "192.0.2.2:6379" {
			t.Errorf("the master is %s, want that of the later failover", got.addr)
		}
	}
}

func TestErrorNamesEachSentinel(t *testing.T) {
	t.Parallel()
	gone, without := redistest.FreeAddr(t), redistest.Start(t).Addr
	_, err := vote(t, gone, without)
	if err == nil || !strings.Contains(err.Error(), gone) || !strings.Contains(err.Error(), without) || !strings.Contains(err.Error(), "mymaster") {
		t.Errorf("error: %v, want one with both addresses", err)
	}
}

// Connections to the earlier master are left, although that refuses nothing and all
// agree.
func TestWatchFollowsTheSentinels(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	client := connectTo(t, s.URL())
	c := newTestClient(client)
	must(t, client.Ping(t.Context()).Err())
	w := &placeWatch{c: c.Client, delay: watchEvery, clients: make(map[string]*redis.Client)}
	defer w.closeClients()
	if strays := w.strays(t.Context()); len(strays) != 0 {
		t.Errorf("%d connections are found to lead elsewhere", len(strays))
	}
	s.Failover()
	eventually(t, func() bool { return len(w.strays(t.Context())) > 0 }, func() string { return "the failover is not noticed" })
}
