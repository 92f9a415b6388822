package node

import (
	"net"
	"testing"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// breakOff ends the connection without a closing handshake.
func (c *client) breakOff() {
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
}

// A client whose connection breaks before its receipt came sends the message again:
// to its own node, to the receiver's, or to another one. It arrives once.
func TestSentAgainAfterABreak(t *testing.T) {
	redis := redistest.Start(t)
	a, b, c := startWhole(t, redis, "a", nil), startWhole(t, redis, "b", nil), startWhole(t, redis, "c", nil)
	for name, node := range map[string]*Node{"own": a, "another": b, "receiver's": c} {
		t.Run(name, func(t *testing.T) {
			alice, bob := connect(t, a.Addr(), "alice"), connect(t, c.Addr(), "bob")
			defer bob.breakOff()
			once, next := `"once, `+name+`"`, `"next, `+name+`"` // data, and ids
			alice.send("bob", once, once)
			bob.wantMessage("alice", once)
			alice.breakOff()
			again := connect(t, node.Addr(), "alice")
			defer again.breakOff()
			again.send("bob", once, once)
			again.wantReceipt(once, "delivered")
			again.send("bob", next, next)
			bob.wantMessage("alice", next)
			again.wantReceipt(next, "delivered")
		})
	}
}
