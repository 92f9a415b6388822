package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

func TestWelcome(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "alice")
	if n.x.members("alice") != 1 {
		t.Error("welcomed before it joined")
	}
	n.wantCount(n.counts.connects, resultWelcomed, 1)
	c.send("alice", `{"a": [1, 2]}`, `"x"`)
	c.wantMessage("alice", `{"a": [1, 2]}`)
	c.wantReceipt(`"x"`, "delivered")
}

func TestSubprotocol(t *testing.T) {
	n := start(t, nil)
	for offered, want := range map[string]string{
		"": "", "Sec-WebSocket-Protocol: other, beeline.v1\r\n": "beeline.v1", "Sec-WebSocket-Protocol: other\r\n": "",
	} {
		conn := dial(t, n.Addr())
		io.WriteString(conn, upgradeHead("/ws?client=a", offered))
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Protocol") != want {
			t.Errorf("%q: %v %v", offered, r, err)
		}
	}
}

func TestFramesBehindTheHead(t *testing.T) {
	n := start(t, nil)
	conn := dial(t, n.Addr())
	io.WriteString(conn, upgradeHead("/ws?client=eager")+string(frame(ws.OpText, `{"type":"ping"}`)))
	c := &client{t, conn, bufio.NewReader(conn), "eager"}
	c.response()
	c.want(ws.OpText, `{"type":"welcome"`)
	c.want(ws.OpText, `{"type":"pong"}`)
}

// What a handshake says besides does not matter.
func TestUnusualHandshakes(t *testing.T) {
	n := start(t, nil)
	for _, row := range [][2]string{
		{"Connection: Upgrade", "Connection: keep-alive, Upgrade"},
		{"Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"},
		{"Connection: Upgrade", "Connection: upgrade\r\nConnection: keep-alive"},
		{"Upgrade: websocket", "Upgrade: h2c, WebSocket"},
		{"Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"},
		{"Host: test", "Host: test\r\nContent-Length: 0"},
	} {
		conn := dial(t, n.Addr())
		io.WriteString(conn, strings.Replace(upgradeHead("/ws?client=a"), row[0], row[1], 1))
		if r := (&client{t, conn, bufio.NewReader(conn), "a"}).response(); r.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%q: %v", row[1], r)
		}
	}
}

// Each row is a connection that is refused: what the peer sees, and what it is
// counted as.
func TestRefusedConnections(t *testing.T) {
	without := func(header string) string {
		var lines []string
		for _, l := range strings.SplitAfter(upgradeHead("/ws?client=a"), "\r\n") {
			if !strings.HasPrefix(l, header) {
				lines = append(lines, l)
			}
		}
		return strings.Join(lines, "")
	}
	swap := func(old, new string) string { return strings.Replace(upgradeHead("/ws?client=a"), old, new, 1) }
	rows := []struct {
		name, request string
		status        int
		result, text  string
	}{
		{"head over the limit", upgradeHead("/ws?client=a", "X: "+strings.Repeat("x", 9000)+"\r\n"), 431, resultHeadTooLarge, "8192"},
		{"head that never comes", "GET /ws", 408, resultHeadTimeout, "200ms"},
		{"no HTTP", "\x16\x03\x01\x02\x00", 400, resultBadHead, "HTTP/1.1"},
		{"no request line", "hello\r\n\r\n", 400, resultBadHead, "HTTP/1.1"},
		{"bad target", "GET ws HTTP/1.1\r\n\r\n", 400, resultBadHead, "HTTP/1.1"},
		{"no upgrade at all", "GET /ws?client=a HTTP/1.1\r\nHost: x\r\n\r\n", 426, resultBadHandshake, "Upgrade: websocket"},
		{"no Upgrade", without("Upgrade"), 400, resultBadHandshake, "Upgrade"},
		{"no Connection", without("Connection"), 400, resultBadHandshake, "Connection"},
		{"no key", without("Sec-WebSocket-Key"), 400, resultBadHandshake, "Key"},
		{"short key", swap("AAAAAAAAAAAAAAAAAAAAAA==", "AA=="), 400, resultBadHandshake, "Key"},
		{"no version", without("Sec-WebSocket-Version"), 400, resultBadHandshake, "Version"},
		{"no host", without("Host"), 400, resultBadHead, "Host"},
		{"other Upgrade", swap("Upgrade: websocket", "Upgrade: h2c"), 400, resultBadHandshake, "Upgrade"},
		{"other Connection", swap("Connection: Upgrade", "Connection: close"), 400, resultBadHandshake, "Connection"},
		{"body", swap("Upgrade: websocket", "Upgrade: websocket\r\nContent-Length: 5"), 400, resultBadHandshake, "body"},
		{"chunked body", swap("Upgrade: websocket", "Upgrade: websocket\r\nTransfer-Encoding: chunked"), 400, resultBadHandshake, "body"},
		{"two hosts", swap("Host: test", "Host: test\r\nHost: other"), 400, resultBadHead, "Host"},
		{"wrong version", swap("Version: 13", "Version: 8"), 426, resultBadVersion, "13"},
		{"unknown path", upgradeHead("/other?client=a"), 404, resultUnknownPath, "/ws"},
		{"wrong method", swap("GET", "POST"), 405, resultBadMethod, "GET"},
		{"no client", upgradeHead("/ws"), 400, resultBadClient, "empty"},
		{"empty client", upgradeHead("/ws?client="), 400, resultBadClient, "empty"},
		{"long client", upgradeHead("/ws?client=" + strings.Repeat("a", 257)), 400, resultBadClient, "257"},
		{"client not UTF-8", upgradeHead("/ws?client=%ff"), 400, resultBadClient, "UTF-8"},
		{"client not printable", upgradeHead("/ws?client=a%00"), 400, resultBadClient, "U+0000"},
		{"client with a surrogate", upgradeHead("/ws?client=%ed%a0%80"), 400, resultBadClient, "U+D800"},
		{"client of another direction", upgradeHead("/ws?client=a%E2%80%AEb"), 400, resultBadClient, "U+202E"},
		{"client a back end", upgradeHead("/ws?client=@shop"), 400, resultBadClient, "U+0040"},
		{"client the cluster", upgradeHead("/ws?client=$x"), 400, resultBadClient, "U+0024"},
		{"client a group", upgradeHead("/ws?client=%23a"), 400, resultBadClient, "#"},
		{"client badly encoded", upgradeHead("/ws?client=%zz"), 400, resultBadClient, "percent"},
	}
	patient := start(t, nil)
	hasty := start(t, func(o *Options, _ *localExchange) { o.HandshakeTimeout = 200 * time.Millisecond })
	by := patient.bystanders()
	counted := map[string]float64{}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			n := patient
			if row.result == resultHeadTimeout {
				n = hasty
			}
			conn := dial(t, n.Addr())
			go io.WriteString(conn, row.request)
			r, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(r.Body)
			if r.StatusCode != row.status || !strings.Contains(string(body), row.text) || strings.Count(string(body), "\n") != 1 {
				t.Errorf("got %d %q, want %d %q", r.StatusCode, body, row.status, row.text)
			}
			if r.StatusCode == http.StatusUpgradeRequired && r.Header.Get("Sec-WebSocket-Version") != "13" {
				t.Error("426 without the version that is allowed")
			}
			counted[row.result]++
			n.wantCount(n.counts.connects, row.result, counted[row.result])
			by.wantUndisturbed()
		})
	}
}

func TestRefusedByTheCluster(t *testing.T) {
	n := start(t, func(o *Options, x *localExchange) {
		o.MaxSessions = 3
		x.joinError = func(address string) error {
			switch address {
			case "unavailable":
				return fmt.Errorf("join: %w", router.ErrUnavailable)
			case "twice":
				return router.ErrDuplicate
			}
			return nil
		}
	})
	by := n.bystanders()
	conn := dial(t, n.Addr())
	io.WriteString(conn, upgradeHead("/ws?client=unavailable"))
	r := (&client{t, conn, bufio.NewReader(conn), "unavailable"}).response()
	if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
		t.Errorf("registry away: %v", r)
	}
	c := open(t, n.Addr(), "twice")
	c.want(ws.OpText, `{"type":"bye","reason":"duplicate"`)
	c.wantClose(codeDuplicate)
	n.wantCount(n.counts.connects, resultDuplicate, 1)

	eventually(t, "the refused ones are gone", func() bool { return len(n.table.snapshot(nil)) == 2 })
	connect(t, n.Addr(), "third")
	conn = dial(t, n.Addr())
	io.WriteString(conn, upgradeHead("/ws?client=fourth"))
	if r := (&client{t, conn, bufio.NewReader(conn), "fourth"}).response(); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("full: %v", r)
	}
	n.wantCount(n.counts.connects, resultTooMany, 1)
	by.wantUndisturbed()
}

func TestHeadInPieces(t *testing.T) {
	n := start(t, nil)
	request := upgradeHead("/ws?client=slow")
	conn := dial(t, n.Addr())
	for i := range request {
		io.WriteString(conn, request[i:i+1])
	}
	c := &client{t, conn, bufio.NewReader(conn), "slow"}
	c.response()
	c.want(ws.OpText, `{"type":"welcome"`)
}

// A client that goes while it joins is noticed at once: what the router delivers to
// such a session would be called delivered, and nobody would get it.
func TestClientThatVanishes(t *testing.T) {
	for name, end := range map[string]func(*net.TCPConn){
		"closes":                func(c *net.TCPConn) { c.Close() },
		"resets":                func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"ends its output":       func(c *net.TCPConn) { c.CloseWrite() },
		"has said something":    func(c *net.TCPConn) { c.Write(frame(ws.OpText, "{}")); c.Close() },
		"has said more, resets": func(c *net.TCPConn) { c.Write(make([]byte, 1<<10)); c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			joining, proceed := make(chan struct{}), make(chan struct{})
			n := start(t, func(_ *Options, x *localExchange) {
				x.joinError = func(string) error { close(joining); <-proceed; return nil }
				x.after = make(chan int, 1)
			})
			conn := dial(t, n.Addr())
			io.WriteString(conn, upgradeHead("/ws?client=gone"))
			<-joining
			end(conn.(*net.TCPConn))
			eventually(t, "it is noticed", func() bool { return testutil.ToFloat64(n.counts.connects[resultGone]) == 1 })
			eventually(t, "it has no session", func() bool { return n.table.size() == 0 })
			if n.x.async.Load() { // the other slot is for who comes next
				eventually(t, "its claim is withdrawn", func() bool { return n.x.withdrawn.Load() == 1 })
				eventually(t, "its slot is taken while its claim is under way", func() bool { return len(n.handshakes.slots) == 2 })
			}
			close(proceed)
			if n.x.async.Load() { // else its join has ended
				if left := <-n.x.after; left != 0 {
					t.Errorf("%d sessions are there for who comes next", left)
				}
			}
			eventually(t, "its slot is free", func() bool { return len(n.handshakes.slots) <= 1 })
			n.wantCount(n.counts.connects, resultWelcomed, 0)
		})
	}
}

// lateEnd is a connection whose end is noticed only when nobody waits for more.
type lateEnd struct {
	net.Conn
	over chan struct{}
}

func (c lateEnd) Read([]byte) (int, error)        { <-c.over; return 0, io.EOF }
func (c lateEnd) SetReadDeadline(time.Time) error { close(c.over); return nil }

// The node may stop just when a client goes that joins. Its session ends once.
func TestClientThatVanishesAsTheNodeStops(t *testing.T) {
	proceed := make(chan struct{})
	n := start(t, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { <-proceed; return nil }
	})
	defer close(proceed)
	stays := newSession(n.Node, plain{}, &Identity{Client: "stays"})
	goes := newSession(n.Node, plain{}, &Identity{Client: "goes"})
	n.table.add(goes)
	n.table.add(stays)
	stopping, stop := context.WithCancel(t.Context())
	stop()
	if err := n.join(stopping, goes, &earlyBytes{conn: lateEnd{over: make(chan struct{})}}); !errors.Is(err, errGone) {
		t.Errorf("the join ends with %v, want %v", err, errGone)
	}
	goes.abandon() // once more
	if all := n.table.snapshot(nil); len(all) != 1 || all[0] != stays {
		t.Errorf("%d sessions are left", len(all))
	}
	stays.abandon()
}

// What a client says while it joins, or a pause in it, ends nothing.
func TestClientThatTalksWhileItJoins(t *testing.T) {
	joining, proceed := make(chan struct{}), make(chan struct{})
	n := start(t, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { close(joining); <-proceed; return nil }
	})
	conn := dial(t, n.Addr())
	first := frame(ws.OpText, `{"type":"send","to":"eager","data":0,"id":"0"}`)
	io.WriteString(conn, upgradeHead("/ws?client=eager")+string(first))
	<-joining
	c := &client{t, conn, bufio.NewReader(conn), "eager"}
	for i := 1; i < 10; i++ {
		c.send("eager", strconv.Itoa(i), `"`+strconv.Itoa(i)+`"`)
	}
	close(proceed)
	c.response()
	c.want(ws.OpText, `{"type":"welcome"`)
	for i := range 10 {
		c.wantMessage("eager", strconv.Itoa(i))
		c.wantReceipt(`"`+strconv.Itoa(i)+`"`, "delivered")
	}
}

func TestPage(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the page") })
	n := start(t, func(o *Options, _ *localExchange) { o.Page = page })
	wantGet(t, "http://"+n.Addr()+"/", 200, "the page")
	wantGet(t, "http://"+n.Addr()+"/node", 200, `{"node":"`+n.ID()+`"}`)
	wantGet(t, "http://"+n.Addr()+"/other", 404, "/ws")
	conn := dial(t, n.Addr())
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if r := (&client{t, conn, bufio.NewReader(conn), ""}).response(); r.StatusCode != http.StatusOK {
		t.Errorf("who offers HTTP/2, too, gets %v", r)
	}
	without := start(t, nil)
	wantGet(t, "http://"+without.Addr()+"/", 404, "/ws")
}

func wantGet(t *testing.T, url string, status int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode != status || !strings.Contains(string(body), text) {
		t.Errorf("%s: %d %q; want %d %q", url, r.StatusCode, body, status, text)
	}
}

func TestUpgradeAfterAnotherRequest(t *testing.T) {
	n := start(t, nil)
	conn := dial(t, n.Addr())
	c := &client{t, conn, bufio.NewReader(conn), "later"}
	io.WriteString(conn, "GET /node HTTP/1.1\r\nHost: x\r\n\r\n")
	io.Copy(io.Discard, c.response().Body)
	io.WriteString(conn, upgradeHead("/ws?client=later")+string(frame(ws.OpText, `{"type":"ping"}`)))
	if r := c.response(); r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v", r)
	}
	c.want(ws.OpText, `{"type":"welcome"`)
	c.want(ws.OpText, `{"type":"pong"}`)
}
