package router

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// Where clients may have several sessions nobody is replaced, whoever says so and has read
// the token in Redis. A node with a key does not even read it.
func TestForgedReplacementEndsNoSession(t *testing.T) {
	for name, change := range map[string]func(*Options){"unsigned": nil, "signed": withKey(registry.Allow)} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 1, change)
			n := c.node(0)
			bob := n.connect("bob")
			token := c.owners("bob")[0].Token
			forged := link.AppendReplaced(link.AppendHeader(nil, &link.Header{From: "n9", Life: 1, First: 1, Base: 1}), "bob", token)
			in := newInbox(n.Router)
			in.handle(in.private, string(forged))
			n.wantOutcome("bob", "still here", Delivered)
			bob.wantGot("still here")
			reason := dropNotReplacing
			if name == "signed" {
				reason = dropUnsigned
			}
			if got := testutil.ToFloat64(n.drops[reason]); got != 1 {
				t.Errorf("%v are counted as %s, want 1", got, dropNames[reason])
			}
		})
	}
}

// Where nothing is signed, a message that comes as a node's is passed on only if it is what
// a node would have accepted of a client.
func TestUnsignedMessagesAreCheckedLikeAClients(t *testing.T) {
	n := newCluster(t, 1, func(o *Options) { o.ValidData = nil }).node(0)
	bob := n.connect("bob")
	in := newInbox(n.Router)
	messages := []Message{
		{To: "bob", From: "eve", Data: []byte("{")},
		{To: "bob", From: "eve", Data: []byte("\"\xff\"")},
		{To: "bob", From: "eve", Data: []byte("1 2")},
		{To: "bob", From: "eve"},
		{To: "bob", From: "e\x00ve", Data: []byte("1")},
		{To: "bob", From: "$system", Data: []byte("1")},
		{To: "b\xffb", From: "eve", Data: []byte("1")},
		{To: "bob", From: "eve", Data: []byte(`{"good":"\ud800"}`)},
	}
	batch := link.AppendHeader(nil, &link.Header{From: "n9", Life: 1, First: 1, Base: 1})
	for i := range messages {
		messages[i].ID = MessageID{9, uint64(i)}
		batch = appendMessage(batch, &messages[i], link.FlagFirst, 1, 1, noneAssumed)
	}
	in.handle(in.private, string(batch))
	bob.wantGot(`{"good":"\ud800"}`)
	if got, want := testutil.ToFloat64(n.drops[dropMalformed]), float64(len(messages)-1); got != want {
		t.Errorf("%v are counted as malformed, want %v", got, want)
	}
}
