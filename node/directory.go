package node

import (
	"encoding/hex"

	"github.com/beeline-ws/beeline/registry/directory"
)

// Directory returns who is connected where, in the cluster and on this node. It is nil
// before Start.
func (n *Node) Directory() *directory.Directory { return n.directory }

// ownSessions are the node's sessions, for its directory.
type ownSessions struct{ node *Node }

func (o ownSessions) Sessions(address string) (all []directory.Session) {
	for _, s := range o.of(address) {
		all = append(all, s.describe())
	}
	return all
}

// of returns the sessions of an address that the router knows.
func (o ownSessions) of(address string) (all []*session) {
	for _, member := range o.node.router.Sessions(address) {
		if s, ok := member.(*session); ok {
			all = append(all, s)
		}
	}
	return all
}

func (o ownSessions) Disconnect(address string) int {
	all := o.of(address)
	for _, s := range all {
		s.close(closedDisconnected)
	}
	return len(all)
}

func (o ownSessions) DisconnectSession(id string) bool {
	var wanted sessionID
	if b, err := hex.DecodeString(id); err != nil || copy(wanted[:], b) != len(b) || len(b) != len(wanted) {
		return false
	}
	s := o.node.table.find(wanted)
	if s == nil {
		return false
	}
	s.close(closedDisconnected)
	return true
}

func (s *session) describe() directory.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return directory.Session{ID: s.id.String(), Client: s.client, Protocol: s.protocol.traits().subprotocol}
}
