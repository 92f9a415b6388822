//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

const (
	// returnTime is the usual returnTime of a site.
	returnTime = 60 * time.Second
	// rollCalls is how often somebody is called until he counts as unreachable.
	rollCalls = 6
)

// missing is somebody who can't be reached after all faults were over, or a node
// that can't be connected to.
type missing struct {
	message *ledger.Message // nil: there is none
	what    string
	at      time.Time
}

// call is what a node's clients have to do: to reach somebody.
type call struct {
	node    int
	to      *person
	message *ledger.Message // the last attempt; nil: there was nobody to make one
}

// rollCall makes every node call everybody, when all are back: every person has a
// session, the residents at home. It is called when all faults are over.
func (s *site) rollCall(ctx context.Context) (list []missing) {
	s.await(ctx, s.returnTime, func() bool { return !slices.ContainsFunc(s.people, (*person).isAway) })
	var calls []*call
	for _, p := range s.people {
		if p.isAway() {
			where := "to any node"
			if p.home >= 0 {
				where = "to " + s.nodes[p.home].name + ", where it belongs"
			}
			list = append(list, missing{nil, p.name + " could not connect again " + where, time.Now()})
		}
		for i := range s.nodes {
			if p.home != i && p.current() != nil {
				calls = append(calls, &call{node: i, to: p})
			}
		}
	}
	calls = s.callAll(ctx, calls)
	if ctx.Err() != nil {
		return nil
	}
	for _, c := range calls {
		what := fmt.Sprintf("nobody on %s could reach %s in %d calls", s.nodes[c.node].name, c.to.name, rollCalls)
		list = append(list, missing{c.message, what, time.Now()})
	}
	return list
}

// isAway reports whether p has no session, or not the one that it belongs to.
func (p *person) isAway() bool {
	v := p.current()
	return v == nil || p.home >= 0 && v.node != p.home
}

// callAll makes calls and returns those that did not get through.
func (s *site) callAll(ctx context.Context, calls []*call) []*call {
	for n := 0; n < rollCalls && len(calls) > 0 && ctx.Err() == nil; n++ {
		for _, c := range calls {
			c.message = nil
		}
		s.await(ctx, s.opts.Rules.Deadline+s.opts.Rules.Slack, func() bool {
			calls = slices.DeleteFunc(calls, s.arrived)
			return len(calls) == 0
		})
	}
	return calls
}

// arrived reports whether a call got through. It makes it first if that was not done,
// or as soon as there is somebody to do so.
func (s *site) arrived(c *call) bool {
	if c.message == nil {
		caller, visit := s.callerOn(c.node, c.to)
		if caller == nil {
			return false
		}
		c.message = caller.send(visit, c.to.name, false)
	}
	return s.ledger.Arrived(c.message)
}

// callerOn finds somebody else who is connected to a node.
func (s *site) callerOn(node int, than *person) (*person, *visit) {
	for _, p := range s.people {
		if v := p.current(); v != nil && v.node == node && p != than {
			return p, v
		}
	}
	return nil, nil
}

// drain returns when every message has a receipt, or when that is overdue.
func (s *site) drain(ctx context.Context) {
	s.await(ctx, s.opts.Rules.Deadline+2*s.opts.Rules.Slack, func() bool {
		for _, p := range s.people {
			if v := p.current(); v != nil && v.outstanding() > 0 {
				return false
			}
		}
		return true
	})
}

func (s *site) await(ctx context.Context, limit time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ok() {
		if !sleep(ctx, 10*time.Millisecond) {
			return ok()
		}
	}
	return true
}
