package node

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

// engines are those that the tests run with, one after the other.
var engines = map[string]func(*Node) engine{"best": bestEngine, "goroutines": newGoroutines}

// testEngine is the one that runs now.
var testEngine = bestEngine

// TestMain runs all tests with each engine. What is left behind fails them.
func TestMain(m *testing.M) {
	flag.Parse()
	before := openFiles()
	code := 0
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		testEngine = engines[name]
		fmt.Println("engine:", name)
		code = max(code, m.Run())
		if onlyOnce() {
			break
		}
	}
	redistest.End()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Println(err)
		code = 1
	}
	if after := openFiles(); code == 0 && len(after) > len(before) {
		fmt.Printf("files are open: %q; before: %q\n", after, before)
		code = 1
	}
	os.Exit(code)
}

// onlyOnce reports whether this run is not of tests alone.
func onlyOnce() bool {
	for _, name := range []string{"test.bench", "test.fuzz", "test.fuzzworker", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			return true
		}
	}
	return false
}

// openFiles lists this process' sockets and pollers, where the system tells. The
// runtime's own are opened before.
func openFiles() (all []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil
	}
	defer l.Close()
	files, _ := os.ReadDir("/proc/self/fd")
	for _, f := range files {
		name, _ := os.Readlink("/proc/self/fd/" + f.Name())
		if strings.HasPrefix(name, "socket:") || strings.HasSuffix(name, "[eventpoll]") {
			all = append(all, name)
		}
	}
	return all
}

// patience bounds every wait of a test. It is reached only by a failure.
const patience = 2 * time.Minute

// localExchange is a router of one node, without Redis.
type localExchange struct {
	joinError func(address string) error // nil: join
	hold      func(m router.Message) bool
	sink      chan struct{} // told of each message, if there is one
	async     atomic.Bool   // JoinAsync was called
	withdrawn atomic.Int32  // joins
	after     chan int      // told how many sessions an address has when a join was answered, if there is one

	mu         sync.Mutex
	sessions   map[string][]router.Session
	held       []func(router.MessageID, router.Outcome)
	count      uint64
	hindrances []router.Hindrance
	drained    bool
	evicted    bool // sessions, which may leave once more

	unconfirmed map[router.MessageID]func(router.MessageID, router.Outcome)
}

func newLocalExchange() *localExchange {
	return &localExchange{
		sessions:    map[string][]router.Session{},
		unconfirmed: map[router.MessageID]func(router.MessageID, router.Outcome){},
	}
}

func (x *localExchange) Start(context.Context) error { return nil }
func (x *localExchange) Stop(context.Context) error  { return nil }

func (x *localExchange) SetDraining(context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.drained = true
	return nil
}

func (x *localExchange) Hindrances() []router.Hindrance {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.hindrances
}

func (x *localExchange) Join(ctx context.Context, address string, s router.Session) error {
	if x.joinError != nil {
		result := make(chan error, 1)
		go func() { result <- x.joinError(address) }()
		select {
		case err := <-result:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", router.ErrUnavailable, context.Cause(ctx))
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if slices.Contains(x.sessions[address], s) {
		return router.ErrDuplicate
	}
	x.sessions[address] = append(x.sessions[address], s)
	return nil
}

func (x *localExchange) Withdraw(string, router.Session) { x.withdrawn.Add(1) }

func (x *localExchange) Leave(address string, s router.Session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, other := range x.sessions[address] {
		if other == s {
			x.sessions[address] = append(x.sessions[address][:i:i], x.sessions[address][i+1:]...)
			return
		}
	}
	if !x.evicted {
		panic("a session left that had not joined")
	}
}

func (x *localExchange) Sessions(address string) []router.Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.sessions[address])
}

func (x *localExchange) JoinAsync(deadline time.Time, address string, s router.Session, joined func(error)) {
	go func() {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		x.async.Store(true)
		joined(x.Join(ctx, address, s))
		if x.after != nil {
			x.after <- x.members(address)
		}
	}()
}

func (x *localExchange) Flush() {}

func (x *localExchange) Confirm(_ string, id router.MessageID) { x.answer(id, router.Confirmed) }

func (x *localExchange) Drop(_ string, id router.MessageID) { x.answer(id, router.Overloaded) }

// answer ends a message that is to be confirmed, if there is such a one.
func (x *localExchange) answer(id router.MessageID, outcome router.Outcome) {
	x.mu.Lock()
	done := x.unconfirmed[id]
	delete(x.unconfirmed, id)
	x.mu.Unlock()
	if done != nil {
		done(id, outcome)
	}
}

// Send delivers with mu held, as the router does.
func (x *localExchange) Send(m router.Message, done func(router.MessageID, router.Outcome)) {
	x.mu.Lock()
	x.count++
	m.ID = router.MessageID{Origin: 0xabc, Count: x.count}
	if x.hold != nil && x.hold(m) {
		x.held = append(x.held, done)
		x.mu.Unlock()
		return
	}
	outcome := router.Offline
	for _, s := range x.sessions[m.To] {
		outcome = s.Deliver(&m)
	}
	if m.Confirm && outcome == router.Delivered {
		x.unconfirmed[m.ID] = done
		x.mu.Unlock()
		return
	}
	x.mu.Unlock()
	done(m.ID, outcome)
	if x.sink != nil {
		x.sink <- struct{}{}
	}
}

func (x *localExchange) holding() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.held)
}

// release answers what is held, and holds nothing more.
func (x *localExchange) release() {
	x.mu.Lock()
	held := x.held
	x.held, x.hold = nil, nil
	x.mu.Unlock()
	for _, done := range held {
		done(router.MessageID{}, router.Delivered)
	}
}

func (x *localExchange) members(address string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.sessions[address])
}

// join adds a session that no client is connected to: what is for it waits.
func (x *localExchange) join(s *session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sessions[s.client] = append(x.sessions[s.client], s)
}

// rig is a node around a local exchange.
type rig struct {
	*Node
	t testing.TB
	x *localExchange
}

// start starts a node without Redis. change may be nil.
func start(t testing.TB, change func(*Options, *localExchange)) *rig {
	t.Helper()
	return startOn(t, testEngine, change)
}

func startOn(t testing.TB, engine func(*Node) engine, change func(*Options, *localExchange)) *rig {
	t.Helper()
	o, x := startOptions(t)
	if change != nil {
		change(&o, x)
	}
	return startWith(t, o, x, engine, func(*Node) {})
}

// startOptions returns those of a node that asks no Redis, but for what a test changes.
func startOptions(t testing.TB) (Options, *localExchange) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // never asked
	t.Cleanup(func() { client.Close() })
	return Options{
		Name: "test", Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", Redis: client, DrainPeriod: -1,
		HandshakeTimeout: patience, PongTimeout: 4 * patience,
	}, newLocalExchange()
}

// startWith starts a node around x, which prepare may change before.
func startWith(t testing.TB, o Options, x *localExchange, engine func(*Node) engine, prepare func(*Node)) *rig {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	n.compose, n.newEngine = func(string) (exchange, error) { return x, nil }, engine
	prepare(n)
	return &rig{started(t, n), t, x}
}

func started(t testing.TB, n *Node) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	return n
}

func stop(t testing.TB, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// client is the other end of a session.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	name string
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func upgradeHead(target string, more ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n" + strings.Join(more, "") + "\r\n"
}

// connect returns a welcomed client.
func connect(t testing.TB, addr, name string) *client {
	t.Helper()
	c := open(t, addr, name)
	c.want(ws.OpText, `{"type":"welcome","client":"`+name+`","session":"`)
	return c
}

// open upgrades, and reads nothing more.
func open(t testing.TB, addr, name string) *client {
	t.Helper()
	conn := dial(t, addr)
	io.WriteString(conn, upgradeHead("/ws?client="+name))
	c := &client{t, conn, bufio.NewReader(conn), name}
	if got := c.response().StatusCode; got != http.StatusSwitchingProtocols {
		t.Fatalf("%s: status %d", name, got)
	}
	return c
}

func (c *client) response() *http.Response {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("%s: no HTTP response: %v", c.name, err)
	}
	return r
}

// frame returns a client's frame.
func frame(op ws.OpCode, payload string) []byte { return rawFrame(0x80|byte(op), true, payload) }

func rawFrame(first byte, masked bool, payload string) []byte {
	b := appendHeader(nil, 0, len(payload))
	b[0] = first
	if !masked {
		return append(b, payload...)
	}
	b[1] |= 0x80
	mask := [4]byte{1, 2, 3, 4}
	body := []byte(payload)
	ws.Cipher(body, mask, 0)
	return append(append(b, mask[:]...), body...)
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
}

func (c *client) say(text string) { c.t.Helper(); c.write(frame(ws.OpText, text)) }

func (c *client) send(to, data, id string) {
	c.t.Helper()
	text := fmt.Sprintf(`{"type":"send","to":%q,"data":%s`, to, data)
	if id != "" {
		text += `,"id":` + id
	}
	c.say(text + "}")
}

// next returns the next frame that is no ping; pings are answered.
func (c *client) next() (ws.OpCode, string, error) {
	for {
		h, err := ws.ReadHeader(c.r)
		if err != nil {
			return 0, "", err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(c.r, payload); err != nil {
			return 0, "", err
		}
		if h.OpCode != ws.OpPing {
			return h.OpCode, string(payload), nil
		}
		c.conn.Write(frame(ws.OpPong, string(payload)))
	}
}

// want reads a frame that begins with prefix.
func (c *client) want(op ws.OpCode, prefix string) string {
	c.t.Helper()
	gotOp, got, err := c.next()
	if err != nil || gotOp != op || !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("%s: got opcode %d %q, %v; want %d %q...", c.name, gotOp, got, err, op, prefix)
	}
	if op == ws.OpText && !json.Valid([]byte(got)) {
		c.t.Fatalf("%s: not JSON: %q", c.name, got)
	}
	return got
}

func (c *client) wantMessage(from, data string) {
	c.t.Helper()
	got := c.want(ws.OpText, `{"type":"message","from":"`+from+`","to":"`+c.name+`","id":"`)
	if !strings.HasSuffix(got, `","data":`+data+`}`) {
		c.t.Fatalf("%s: got %.300q; want the data %.300q", c.name, got, data)
	}
}

func (c *client) wantReceipt(id, outcome string) {
	c.t.Helper()
	c.want(ws.OpText, `{"type":"receipt","id":`+id+`,"outcome":"`+outcome+`"`)
}

func (c *client) wantError(code string) string {
	c.t.Helper()
	return c.want(ws.OpText, `{"type":"error","code":"`+code+`","message":"`)
}

// wantClose reads up to the close frame, answers it, and sees the connection end.
func (c *client) wantClose(code ws.StatusCode) {
	c.t.Helper()
	for {
		op, got, err := c.next()
		if err != nil {
			c.t.Fatalf("%s: %v before a close frame", c.name, err)
		}
		if op != ws.OpClose {
			continue
		}
		if got := ws.StatusCode(got[0])<<8 | ws.StatusCode(got[1]); got != code {
			c.t.Fatalf("%s: closed with %d; want %d", c.name, got, code)
		}
		break
	}
	c.conn.Write(frame(ws.OpClose, "\x03\xe8"))
	c.wantEnd()
}

func (c *client) wantEnd() {
	c.t.Helper()
	if op, got, err := c.next(); err == nil {
		c.t.Fatalf("%s: got opcode %d %q; want the end", c.name, op, got)
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		c.t.Fatalf("%s: the connection stays open", c.name)
	}
}

// queued is the number of bytes that wait for s to be written to.
func queued(s *session) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.size()
}

// pair is two clients of a node that nothing may disturb.
type pair struct{ from, to *client }

func (r *rig) bystanders() pair {
	r.t.Helper()
	return pair{connect(r.t, r.Addr(), "by-sender"), connect(r.t, r.Addr(), "by-stander")}
}

func (p pair) wantUndisturbed() {
	p.from.t.Helper()
	p.from.send("by-stander", `"still here?"`, "1")
	p.to.wantMessage("by-sender", `"still here?"`)
	p.from.wantReceipt("1", "delivered")
}

// eventually waits for what no event announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (r *rig) wantCount(set counterSet, label string, want float64) {
	r.t.Helper()
	if got := testutil.ToFloat64(set[label]); got != want {
		r.t.Errorf("counter %s is %v, want %v", label, got, want)
	}
}
