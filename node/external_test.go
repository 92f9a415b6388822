package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// backend is an external publisher: it needs no more than a client of Redis.
type backend struct {
	t       *testing.T
	client  *redis.Client
	keys    registry.Keys
	replies *redis.PubSub
	name    string // of its channel for receipts
}

func newBackend(t *testing.T, server *redistest.Server, name string) *backend {
	t.Helper()
	b := &backend{t: t, client: server.Client(t), name: name}
	b.keys = registry.NewKeys(server.Prefix, b.client)
	b.replies = b.client.Subscribe(t.Context(), b.keys.Reply(name))
	t.Cleanup(func() { _ = b.replies.Close() })
	if _, err := b.replies.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// publish hands a payload to a node's inlet, as soon as that is subscribed.
func (b *backend) publish(n *Node, payload string) {
	b.t.Helper()
	eventually(b.t, "the node takes what comes by its inlet", func() bool {
		heard, err := b.client.Publish(b.t.Context(), b.keys.Inlet(n.ID()), payload).Result()
		if err != nil {
			b.t.Fatal(err)
		}
		return heard == 1
	})
}

type backendReceipt struct {
	Type, Outcome, Reason, Message string
	ID                             json.RawMessage
}

func (b *backend) receipt() (r backendReceipt) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	m, err := b.replies.ReceiveMessage(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(m.Payload), &r); err != nil || r.Type != "receipt" {
		b.t.Fatalf("receipt %s: %v", m.Payload, err)
	}
	return r
}

func (b *backend) wantReceipt(id, outcome, reason string) {
	b.t.Helper()
	if r := b.receipt(); string(r.ID) != id || r.Outcome != outcome || r.Reason != reason || (r.Message != "") != (outcome == "rejected") {
		b.t.Errorf("receipt %+v with id %s, want %s, %q for %s", r, r.ID, outcome, reason, id)
	}
}

// One PUBLISH to any node reaches all sessions of a client, and its outcome comes back.
func TestBackendReachesAllSessionsByOneNode(t *testing.T) {
	server := redistest.Start(t)
	a, b, c := startWhole(t, server, "a", nil), startWhole(t, server, "b", nil), startWhole(t, server, "c", nil)
	shop, other := newBackend(t, server, "shop-1"), newBackend(t, server, "other")
	one, two, three := connect(t, a.Addr(), "bob"), connect(t, b.Addr(), "bob"), connect(t, b.Addr(), "bob")
	for i, n := range []*Node{a, b, c} {
		data := fmt.Sprintf(`{ "order":%d, "text":"\u00e4\ud83d\ude00" }`, i)
		shop.publish(n, fmt.Sprintf(`{"to":"bob","from":"shop","data":%s,"id":"o-%d","reply":"shop-1","more":null}`, data, i))
		for _, session := range []*client{one, two, three} {
			session.wantMessage("shop", data)
		}
		shop.wantReceipt(fmt.Sprintf(`"o-%d"`, i), "delivered", "")
	}
	other.publish(a, `{"to":"nobody","from":"other","data":1,"id":7,"reply":"other"}`)
	other.wantReceipt("7", "offline", "") // the first that it hears of
}

// The node that a back end has published to looks for a client that has just left it.
func TestBackendReachesWhoHasJustMoved(t *testing.T) {
	server := redistest.Start(t)
	a, b := startWhole(t, server, "a", nil), startWhole(t, server, "b", nil)
	shop := newBackend(t, server, "shop")
	bob := connect(t, a.Addr(), "bob")
	shop.publish(a, `{"to":"bob","from":"shop","data":1,"reply":"shop"}`)
	bob.wantMessage("shop", "1")
	shop.wantReceipt("", "delivered", "")
	bob.write(frame(ws.OpClose, "\x03\xe8"))
	bob.wantClose(ws.StatusNormalClosure)
	eventually(t, "bob has left", func() bool { return a.table.size() == 0 })
	moved := connect(t, b.Addr(), "bob")
	shop.publish(a, `{"to":"bob","from":"shop","data":2,"id":"2","reply":"shop"}`)
	moved.wantMessage("shop", "2")
	shop.wantReceipt(`"2"`, "delivered", "")
}

// A back end may ask for the receiver's own word, and may send again what it has no
// receipt for, like a client.
func TestBackendHasItsMessageConfirmedAndRepeats(t *testing.T) {
	server := redistest.Start(t)
	a, b := startWhole(t, server, "a", nil), startWhole(t, server, "b", nil)
	shop := newBackend(t, server, "shop")
	bob := connect(t, b.Addr(), "bob")
	const order = `{"to":"bob","from":"shop","data":"pay","id":"p1","confirm":true,"reply":"shop"}`
	shop.publish(a, order)
	bob.ack(bob.wantAsked("shop", `"pay"`))
	shop.wantReceipt(`"p1"`, "confirmed", "")
	shop.publish(a, order)
	shop.wantReceipt(`"p1"`, "confirmed", "")
	shop.publish(a, `{"to":"bob","from":"shop","data":"next","id":"p2","reply":"shop"}`)
	bob.wantMessage("shop", `"next"`)
	shop.wantReceipt(`"p2"`, "delivered", "")
}

// What is rubbish is rejected with the reason, where it says to whom, and reaches
// nobody. The rules are those for what clients send.
func TestBackendHearsWhyItsMessageIsRejected(t *testing.T) {
	server := redistest.Start(t)
	n := startWhole(t, server, "a", func(o *Options) { o.MaxMessage = 1 << 10 })
	shop := newBackend(t, server, "r")
	bob := connect(t, n.Addr(), "bob")
	const good = `"to":"bob","from":"shop","data":1`
	for _, c := range []struct{ payload, id, reason string }{
		{`{"reply":"r","to":"bob"`, "", "malformed"},
		{`{"reply":"r",` + good + `} {}`, "", "malformed"},
		{`{"reply":"r",` + good + `,"x":01}`, "", "malformed"},
		{"{\"reply\":\"r\",\"to\":\"bob\",\"from\":\"shop\",\"data\":\"\xff\"}", "", "malformed"},
		{`{"reply":"r",` + good + `,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "", "too_deep"},
		{`{"reply":"r","id":5,"from":"shop","data":1}`, "5", "missing_to"},
		{`{"reply":"r","id":"x","to":"","from":"shop","data":1}`, `"x"`, "bad_address"},
		{`{"reply":"r","to":7,"from":"shop","data":1}`, "", "bad_address"},
		{`{"reply":"r","to":"#lobby","from":"shop","data":1}`, "", "bad_address"},
		{`{"reply":"r","to":"a\u0000b","from":"shop","data":1}`, "", "bad_address"},
		{`{"reply":"r","to":"a\ud800","from":"shop","data":1}`, "", "bad_address"},
		{`{"reply":"r","to":"bob","to":"` + strings.Repeat("b", 257) + `","from":"shop","data":1}`, "", "bad_address"},
		{`{"reply":"r","to":"bob","data":1}`, "", "missing_from"},
		{`{"reply":"r","to":"bob","from":null,"data":1}`, "", "bad_from"},
		{`{"reply":"r","to":"bob","from":"\ud83d","data":1}`, "", "bad_from"},
		{`{"reply":"r","to":"bob","from":"$system","data":1}`, "", "bad_from"},
		{`{"reply":"r","to":"bob","from":"shop"}`, "", "missing_data"},
		{`{"reply":"r",` + good + `,"confirm":true}`, "", "missing_id"},
		{`{"reply":"r",` + good + `,"id":[1]}`, "", "bad_id"},
		{`{"reply":"r",` + good + `,"id":"` + strings.Repeat("i", 129) + `"}`, "", "bad_id"},
		{`{"reply":"r",` + good + `,"id":"1","confirm":1}`, `"1"`, "bad_flag"},
		{`{"reply":"r",` + good + `,"id":"1","droppable":"no"}`, `"1"`, "bad_flag"},
		{`{"reply":"r","id":"big","to":"bob","from":"shop","data":"` + strings.Repeat("d", 1<<10) + `"}`, `"big"`, "too_large"},
	} {
		shop.publish(n, c.payload)
		shop.wantReceipt(c.id, "rejected", c.reason)
	}
	rejected := n.metrics.Router.ExternalMessages.WithLabelValues("rejected")
	before := testutil.ToFloat64(rejected)
	silent := []string{"", "x", `[]`, `{` + good + `,"reply":""}`, `{` + good + `,"reply":7}`, `{` + good + `,"reply":"a.b"}`,
		`{` + good + `,"reply":"` + strings.Repeat("r", 65) + `"}`, `{` + good + `,"reply":"r\n"}`, `{"to":"bob"}`}
	for _, payload := range silent {
		shop.publish(n, payload)
	}
	shop.publish(n, `{`+good+`,"id":"last","reply":"r"}`)
	shop.wantReceipt(`"last"`, "delivered", "")
	if got := testutil.ToFloat64(rejected) - before; got != float64(len(silent)) {
		t.Errorf("%v are counted as rejected, want %d", got, len(silent))
	}
	bob.wantMessage("shop", "1")
}

// Of fields that come twice the last one counts, unknown ones are ignored, and names may
// be escaped, as for clients.
func TestBackendsFieldsAreReadLikeAClients(t *testing.T) {
	n := &Node{opts: Options{MaxMessage: 1 << 10}}
	x := n.readExternal([]byte(`{"type":"send","to":"eve","t\u006f":"b\u00f6b","from":"x","from":"shop","data":1,"data":{"n": 2},` +
		`"confirm":false,"droppable":true,"id":1,"id":"i","reply":"x","reply":"A_z-9","extra":{"to":"y"}}`))
	if x.Reason != "" || x.To != "böb" || x.From != "shop" || string(x.Data) != `{"n": 2}` || x.Confirm || !x.Droppable ||
		string(x.Ref) != `"i"` || x.Reply != "A_z-9" {
		t.Errorf("read as %+v", x)
	}
}

func TestValidDataIsOneValueInUTF8(t *testing.T) {
	for _, good := range []string{"1", ` {"a":[1,"\ud800"]} `, `"ä"`, "null", strings.Repeat("[", 63) + strings.Repeat("]", 63)} {
		if !validData([]byte(good)) {
			t.Errorf("%s is refused", good)
		}
	}
	for _, bad := range []string{"", "1 2", "{", "\"\xff\"", "nul", strings.Repeat("[", 64) + strings.Repeat("]", 64)} {
		if validData([]byte(bad)) {
			t.Errorf("%q is taken", bad)
		}
	}
}

// The inlet is subscribed again when its connection is lost.
func TestInletHearsAgain(t *testing.T) {
	server := redistest.StartOwn(t)
	server.AwaitUptime()
	n := startWhole(t, server, "a", func(o *Options) { o.Heartbeat = time.Second })
	bob := connect(t, n.Addr(), "bob")
	shop := newBackend(t, server, "shop")
	shop.publish(n, `{"to":"bob","from":"shop","data":1,"reply":"shop"}`)
	shop.wantReceipt("", "delivered", "")
	if err := shop.client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	shop = newBackend(t, server, "shop")
	shop.publish(n, `{"to":"bob","from":"shop","data":2,"reply":"shop"}`)
	shop.wantReceipt("", "delivered", "")
	bob.wantMessage("shop", "1")
	bob.wantMessage("shop", "2")
}

func FuzzExternal(f *testing.F) {
	f.Add([]byte(`{"to":"bob","from":"shop","data":{"n":1},"id":"1","confirm":true,"reply":"r"}`))
	f.Add([]byte(`{"reply":"r","to":"b\ud800"`))
	f.Add([]byte(`{"reply":"\u0072"}`))
	f.Add([]byte("{\"data\":\"\xff\"}"))
	n := &Node{opts: Options{MaxMessage: 256}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		x := n.readExternal(payload)
		if x.Reason != "" {
			if x.Text == "" {
				t.Errorf("%q is refused for %s without a word", payload, x.Reason)
			}
			return
		}
		if !json.Valid(payload) || !json.Valid(x.Data) || x.Ref != nil && !json.Valid(x.Ref) || x.To == "" || x.From == "" || len(x.Reply) > maxReply {
			t.Errorf("%q is read as %+v", payload, x)
		}
	})
}
