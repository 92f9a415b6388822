//go:build unix

package chaos

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

const (
	probeEvery = 5 * time.Millisecond
	// probeFast is how long a probe asks that often; then it asks every tenth time.
	probeFast = 2 * time.Second
	probeTime = 10 * time.Second
	// probeBefore is how long before a kill its probe begins.
	probeBefore = 50 * time.Millisecond
)

// probe begins to ask for a resident of a node that is about to be killed. The
// returned function tells it when that happened. It asks nothing if the resident is
// not there, or if there is nobody to ask.
func (s *site) probe(ctx context.Context, node int) (killed func(time.Time)) {
	target := s.people[node].current()
	asker, visit := s.asker(node)
	if target == nil || target.node != node || visit == nil {
		return func(time.Time) {}
	}
	moment := make(chan time.Time, 1)
	s.probing.Go(func() { s.ask(ctx, asker, visit, s.people[node].name, moment) })
	sleep(ctx, probeBefore)
	return func(at time.Time) { moment <- at }
}

// asker finds a resident who is connected to another node, which runs.
func (s *site) asker(than int) (*person, *visit) {
	now := time.Now()
	for i := 1; i < len(s.nodes); i++ {
		p := s.people[(than+i)%len(s.nodes)]
		v := p.current()
		if v != nil && v.node != than && !s.ledger.StoodStill(s.nodes[v.node].name, now, now.Add(1)) {
			return p, v
		}
	}
	return nil, nil
}

func (s *site) ask(ctx context.Context, asker *person, v *visit, target string, moment <-chan time.Time) {
	r := ledger.Recovery{Asker: s.nodes[v.node].name, Client: target}
	var asked []*ledger.Message
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case r.Killed = <-moment:
		case <-ticker.C:
		case <-v.ended:
			return // the asker's own node has failed: it says nothing
		case <-ctx.Done():
			return
		}
		if !r.Killed.IsZero() {
			answered, ok := s.ledger.Answered(asked, r.Killed)
			if r.Known, r.Took = ok, answered.Sub(r.Killed); ok {
				break
			}
			if r.Took = time.Since(r.Killed); r.Took > probeTime {
				break
			}
		}
		if r.Killed.IsZero() || time.Since(r.Killed) < probeFast || n%10 == 0 {
			asked = append(asked, asker.send(v, target, false))
		}
	}
	if s.ledger.StoodStill(r.Asker, r.Killed, r.Killed.Add(r.Took)) {
		return // it could not have known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recoveries = append(s.recoveries, r)
	if s.mix.undisturbed() {
		s.ledger.Recovered(r)
	}
}
