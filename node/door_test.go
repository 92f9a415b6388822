package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

// idlePage returns a connection that has been answered a page and stays.
func idlePage(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := dial(t, addr)
	answers := bufio.NewReader(conn)
	wantPage(t, conn, answers)
	return conn, answers
}

func wantPage(t *testing.T, conn net.Conn, answers *bufio.Reader) {
	t.Helper()
	io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	r, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, r.Body)
}

func TestIdlePagesHoldNoHandshakeSlot(t *testing.T) {
	const slots = 3
	n := start(t, func(o *Options, _ *localExchange) { o.MaxHandshakes = slots })
	eventually(t, "more pages stay than there are slots", func() bool {
		idlePage(t, n.Addr())
		n.pages.mu.Lock()
		defer n.pages.mu.Unlock()
		return len(n.pages.of) > 2*slots
	})
	connect(t, n.Addr(), "newcomer")
}

// While no slot is free, who sends no head makes room for who does, long before the time
// for a handshake is over.
func TestLateHeadsMakeRoomForNewcomers(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxHandshakes, o.HandshakeTimeout = 3, 10*time.Minute })
	late := make([]net.Conn, 9)
	for i := range late {
		late[i] = dial(t, n.Addr())
		if i%2 == 0 {
			io.WriteString(late[i], "GET /ws?client=late HTTP/1.1\r\nHost: x\r\n")
		}
	}
	connect(t, n.Addr(), "newcomer")
	late[0].SetReadDeadline(time.Now().Add(patience))
	if r, err := http.ReadResponse(bufio.NewReader(late[0]), nil); err != nil || r.StatusCode != http.StatusRequestTimeout {
		t.Errorf("the first one's answer is %v, %v; want 408", r, err)
	}
}

// A head that comes just when it is hurried takes nothing of the time for the welcome.
func TestHurriedHeadThatCameHasItsTimeAgain(t *testing.T) {
	var h handshakes
	h.init(1)
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	h.enter(ours, time.Now().Add(time.Hour))
	defer h.leave()
	h.hurry(time.Now().Add(2 * time.Hour))
	h.headRead(ours)
	go io.WriteString(theirs, "early")
	if _, err := ours.Read(make([]byte, 5)); err != nil {
		t.Error(err)
	}
}

// visit is a connection as its server sees it.
type visit struct {
	net.Conn
	closed bool
}

func (v *visit) Close() error { v.closed = true; return nil }

func TestLongestIdleConnectionMakesRoom(t *testing.T) {
	all := newVisitors(4)
	conns := make([]*visit, 9)
	for i := range conns {
		conns[i] = new(visit)
	}
	wantClosed := func(what string, want ...int) {
		t.Helper()
		for i, c := range conns {
			if c.closed != slices.Contains(want, i) {
				t.Errorf("%s: connection %d is closed: %v", what, i, c.closed)
			}
		}
	}
	for _, c := range conns[:4] {
		all.changed(c, http.StateNew)
	}
	all.changed(conns[0], http.StateActive)
	all.changed(conns[0], http.StateIdle)
	all.changed(conns[2], http.StateActive)
	wantClosed("there is room")
	all.changed(conns[4], http.StateNew)
	wantClosed("1 has never asked for anything", 1)
	all.changed(conns[1], http.StateClosed)
	all.changed(conns[5], http.StateNew)
	all.changed(conns[6], http.StateNew)
	wantClosed("3 is next, then 0, since 2 is busy", 0, 1, 3)
	for _, c := range conns[4:7] {
		all.changed(c, http.StateActive)
	}
	all.changed(conns[7], http.StateNew)
	wantClosed("all are busy, 2 longest", 0, 1, 2, 3)
	all.changed(conns[5], http.StateClosed)
	all.changed(conns[8], http.StateNew)
	wantClosed("there is room again", 0, 1, 2, 3)
	if len(all.of) != 4 {
		t.Errorf("%d connections are known", len(all.of))
	}
}

// Both listeners have the bound.
func TestPlainConnectionsAreBounded(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxHTTP = 5 })
	for addr, v := range map[string]*visitors{n.Addr(): n.pages, n.AdminAddr(): n.admins} {
		for range v.limit + 5 {
			idlePage(t, addr)
			v.mu.Lock()
			if count := len(v.of); count < 1 || count > v.limit {
				t.Errorf("%d connections, %d are allowed", count, v.limit)
			}
			v.mu.Unlock()
		}
	}
}

// Connections that never send a request make room as well, so that the node's health can
// always be asked.
func TestHealthAnswersBesideSilentConnections(t *testing.T) {
	n := start(t, nil)
	for range 2 * maxAdmin {
		dial(t, n.AdminAddr())
	}
	wantGet(t, "http://"+n.AdminAddr()+"/healthz", http.StatusOK, "ok")
	n.admins.mu.Lock()
	defer n.admins.mu.Unlock()
	if count := len(n.admins.of); count > maxAdmin {
		t.Errorf("%d connections, %d are allowed", count, maxAdmin)
	}
}

func TestAdminRefusesOtherMethods(t *testing.T) {
	n := start(t, nil)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		r, err := http.Post("http://"+n.AdminAddr()+path, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, allowed %q", path, r.StatusCode, r.Header.Get("Allow"))
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A refused client that does not go has had its answer: it holds no slot.
func TestRefusedClientsHoldNoSlot(t *testing.T) {
	const slots = 3
	n := start(t, func(o *Options, _ *localExchange) { o.MaxHandshakes = slots })
	eventually(t, "more refused ones linger than there are slots", func() bool {
		io.WriteString(dial(t, n.Addr()), "no HTTP\r\n\r\n")
		return n.lingers.count.Load() > slots
	})
	connect(t, n.Addr(), "newcomer")
}

// patientConn can be closed halfway, and its deadlines do not come.
type patientConn struct{ net.Conn }

func (patientConn) CloseWrite() error           { return nil }
func (patientConn) SetDeadline(time.Time) error { return nil }

// Refused clients that say more are read on, up to a bound: others are closed at once. When
// they have gone there is room again.
func TestRefusedClientsThatLingerAreBounded(t *testing.T) {
	const limit = 3
	l := lingers{limit: limit}
	for range 2 {
		var clients []net.Conn
		var closing sync.WaitGroup
		refuse := func() {
			here, there := net.Pipe()
			clients = append(clients, there)
			closing.Go(func() { l.close(patientConn{here}, nil) })
		}
		for range limit {
			refuse()
		}
		eventually(t, "they are read on", func() bool { return l.count.Load() == limit })
		refuse()
		clients[limit].SetReadDeadline(time.Now().Add(patience))
		if _, err := clients[limit].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("one more: %v", err)
		}
		eventually(t, "it does not count", func() bool { return l.count.Load() == limit })
		for _, c := range clients[:limit] {
			if _, err := c.Write([]byte("more")); err != nil {
				t.Errorf("one that is read on: %v", err)
			}
			c.Close()
		}
		closing.Wait()
		if n := l.count.Load(); n != 0 {
			t.Errorf("%d linger when all have gone", n)
		}
	}
}

func TestNoFreeHandshakeSlotIsNotReady(t *testing.T) {
	proceed := make(chan struct{})
	n := start(t, func(o *Options, x *localExchange) {
		o.MaxHandshakes, o.HandshakeTimeout = 2, 4*patience
		x.joinError = func(address string) error {
			if strings.HasPrefix(address, "hung") {
				<-proceed
			}
			return nil
		}
	})
	readyz := "http://" + n.AdminAddr() + "/readyz"
	for i := range 2 {
		io.WriteString(dial(t, n.Addr()), upgradeHead(fmt.Sprint("/ws?client=hung", i)))
	}
	eventually(t, "it is not ready", func() bool { return len(n.unready()) > 0 })
	wantGet(t, readyz, http.StatusServiceUnavailable, string(causeHandshakes)+": no handshake slot has been free for 5s")
	close(proceed)
	eventually(t, "it is ready again", func() bool { return len(n.unready()) == 0 })
	wantGet(t, readyz, http.StatusOK, "ready")
	connect(t, n.Addr(), "newcomer")
}

// Without a bound of its own a node takes what the limit of open files leaves.
func TestSessionsLeaveDescriptorsForAllElse(t *testing.T) {
	files := leastFiles() + 40
	n := start(t, func(o *Options, _ *localExchange) { o.openFiles = func() int { return files } })
	most := n.capacity.sessions
	if most < fewSessions || most > files-reserve(files) {
		t.Fatalf("%d sessions with %d files", most, files)
	}
	for i := range most {
		connect(t, n.Addr(), fmt.Sprint("c", i))
	}
	if answer := tryToConnect(t, n.Node, "late"); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
		t.Errorf("one more is answered %q", answer)
	}
	wantGet(t, "http://"+n.AdminAddr()+"/healthz", http.StatusOK, "ok")
	wantGet(t, "http://"+n.AdminAddr()+"/readyz", http.StatusServiceUnavailable, "full: ")
	wantGet(t, "http://"+n.Addr()+"/node", http.StatusOK, n.ID())
}

// What is left beside clients is enough for the admin listener's connections, for what the
// process has open anyway, and for go-redis' pool, which has ten connections for each
// processor.
func TestAllConnectionsTogetherFitIntoTheLimitOfOpenFiles(t *testing.T) {
	o := Options{}
	o.setDefaults()
	others, pool := maxAdmin+32, 10*runtime.GOMAXPROCS(0)
	for _, files := range []int{leastFiles(), 1024, 4096, 20000, 65536, 1 << 20, manyFiles - 1} {
		for _, wanted := range []int{0, 10, manyFiles} {
			o.MaxSessions = wanted
			c, err := newCapacity(&o, files)
			sum := c.sessions + c.handshakes + c.http + c.lingers
			if left := files - sum; left < others || files/8 >= pool && left < others+pool {
				t.Errorf("%d files, %d sessions: %d are left for all else", files, wanted, left)
			}
			if err != nil || sum > files-reserve(files) || min(c.sessions, c.handshakes, c.http, c.lingers) < 1 || wanted == 10 && c.sessions != 10 {
				t.Errorf("%d files, %d sessions: %+v, %v", files, wanted, c, err)
			}
		}
	}
	o.MaxSessions = 0
	if c, err := newCapacity(&o, 0); err != nil || c.sessions != 0 {
		t.Errorf("without a limit of open files: %+v, %v", c, err)
	}
	if c, err := newCapacity(&o, 64); err == nil || !strings.Contains(err.Error(), fmt.Sprint(leastFiles())) {
		t.Errorf("64 files: %+v, %v", c, err)
	}
}

// What goes on many times a second is logged once a minute.
func TestRepeatedTroubleIsLoggedOnceAMinute(t *testing.T) {
	var r repeated
	now, lines, counted := time.Unix(1000, 0), 0, 0
	for range 3*600 + 1 { // three minutes, ten times a second
		if since, ok := r.due(now); ok {
			lines++
			counted += since + 1
		}
		now = now.Add(100 * time.Millisecond)
	}
	if lines != 4 || counted != 3*600+1 {
		t.Errorf("%d lines tell of %d", lines, counted)
	}
}

func TestSessionsOfAClientAreBounded(t *testing.T) {
	redis := redistest.Start(t)
	few := func(o *Options) { o.MaxClientSessions = 2 }
	a, b := startWhole(t, redis, "a", few), startWhole(t, redis, "b", few)
	first := connect(t, a.Addr(), "bob")
	connect(t, a.Addr(), "bob")
	conn := dial(t, a.Addr())
	io.WriteString(conn, upgradeHead("/ws?client=bob"))
	c := &client{t, conn, bufio.NewReader(conn), "bob"}
	r := c.response()
	text, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" || !strings.Contains(string(text), "2 sessions") {
		t.Errorf("the third session is answered %v %q", r, text)
	}
	connect(t, b.Addr(), "bob") // each node counts its own
	connect(t, a.Addr(), "alice")
	first.conn.Close()
	eventually(t, "the first has left", func() bool { return a.table.size() == 2 })
	eventually(t, "another one is welcomed", func() bool {
		return strings.HasPrefix(tryToConnect(t, a, "bob"), "HTTP/1.1 101 ")
	})
}

func TestTooManySessionsAreRefusedByTheRouter(t *testing.T) {
	n := start(t, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { return fmt.Errorf("join: %w", router.ErrTooManySessions) }
	})
	if answer := tryToConnect(t, n.Node, "bob"); !strings.HasPrefix(answer, "HTTP/1.1 429 ") || n.table.size() != 0 {
		t.Errorf("answer %q, %d sessions are left", answer, n.table.size())
	}
	n.wantCount(n.counts.connects, resultClientFull, 1)
}
