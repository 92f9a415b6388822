//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/ledger"
)

const (
	// returnTime is what everybody has to be connected again after the last fault.
	returnTime = 60 * time.Second
	// rollCalls is how often somebody is called until he counts as unreachable.
	rollCalls = 6
)

// missing is somebody who can't be reached after all faults were over.
type missing struct {
	message *ledger.Message // nil: he has no session
	what    string
	at      time.Time
}

// rollCall makes every node call everybody. It is called when all faults are over.
func (s *site) rollCall(ctx context.Context) (list []missing) {
	everybody := func() bool {
		return !slices.ContainsFunc(s.people, func(p *person) bool { return p.current() == nil })
	}
	if !s.await(ctx, returnTime, everybody) {
		for _, p := range s.people {
			if p.current() == nil {
				list = append(list, missing{nil, p.name + " could not connect again", time.Now()})
			}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	calls := make(map[*ledger.Message]*person) // the callers that are not heard yet
	for i := range s.nodes {
		for _, p := range s.people {
			caller := s.callerOn(i)
			if caller == nil || p == caller || p.current() == nil {
				continue
			}
			if m := s.call(caller, p.name); m != nil {
				calls[m] = caller
			}
		}
	}
	for n := 1; len(calls) > 0; n++ {
		s.await(ctx, s.opts.Rules.Deadline+s.opts.Rules.Slack, func() bool {
			for m := range calls {
				if s.ledger.Arrived(m) {
					delete(calls, m)
				}
			}
			return len(calls) == 0
		})
		again := make(map[*ledger.Message]*person)
		for m, caller := range calls {
			if n == rollCalls {
				what := fmt.Sprintf("%s could not reach %s in %d calls", caller.name, m.To(), n)
				list = append(list, missing{m, what, time.Now()})
			} else if m := s.call(caller, m.To()); m != nil {
				again[m] = caller
			}
		}
		calls = again
	}
	return list
}

// callerOn finds somebody who is connected to a node.
func (s *site) callerOn(node int) *person {
	for _, p := range s.people {
		if v := p.current(); v != nil && v.node == node {
			return p
		}
	}
	return nil
}

func (s *site) call(caller *person, to string) *ledger.Message {
	v := caller.current()
	if v == nil {
		return nil
	}
	return caller.send(v, to, false)
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
