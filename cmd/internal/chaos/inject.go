//go:build unix

package chaos

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/beeline-ws/beeline/registry/redisproc"
	"github.com/beeline-ws/beeline/router/ledger"
)

// inject carries out the site's plan, as far as there is time, and returns when all
// is over and mended.
func (s *site) inject(ctx context.Context, start time.Time) {
	lanes := make(map[string][]Fault)
	for _, f := range s.faults {
		lanes[f.lane()] = append(lanes[f.lane()], f)
	}
	var working sync.WaitGroup
	for _, faults := range lanes {
		working.Go(func() {
			for _, f := range faults {
				if !sleep(ctx, time.Until(start.Add(f.At))) || time.Since(start) > s.opts.Length {
					return // too late: what came before took too long
				}
				if err := s.do(ctx, f); err != nil && ctx.Err() == nil {
					s.trouble(fmt.Errorf("%s: %w", f.Kind, err))
				}
			}
		})
	}
	working.Wait()
	s.probing.Wait()
	if err := s.backing.mend(ctx); err != nil && ctx.Err() == nil {
		s.trouble(err)
	}
	for _, p := range s.nodes {
		if err := p.start(ctx); err != nil && ctx.Err() == nil {
			s.trouble(err)
		}
	}
}

func (s *site) do(ctx context.Context, f Fault) error {
	switch f.Kind {
	case KillNode:
		return s.killNode(ctx, f)
	case StopNode, FreezeNode:
		return s.stopNode(ctx, f)
	case RestartRedis:
		return s.restartRedis(ctx, f)
	case PauseRedis:
		return s.pauseRedis(ctx, f)
	case CutLink:
		return s.disturb(ctx, f, ledger.Severed, (*redisproc.Proxy).Cut)
	case SwallowLink:
		return s.disturb(ctx, f, ledger.Swallowed, (*redisproc.Proxy).BlackHole)
	case StallLink:
		return s.disturb(ctx, f, ledger.Severed, (*redisproc.Proxy).Stall)
	case MoveClient, DropClient:
		return s.move(f)
	case SentinelFailover:
		return s.failOver(ctx, f, func() error { return s.backing.sentinel.Failover(ctx) })
	case SentinelKill:
		return s.failOver(ctx, f, func() error { return s.backing.sentinel.KillMaster(ctx) })
	case MigrateLease, MigrateChannel:
		return s.migrate(ctx, f)
	case ClusterFailover, ClusterKill:
		return s.failOverShard(ctx, f)
	}
	return fmt.Errorf("unknown fault %q", f.Kind)
}

func (s *site) killNode(ctx context.Context, f Fault) error {
	p := s.nodes[f.Target]
	if !p.isUp() { // it could not be started again the last time
		return p.start(ctx)
	}
	kill := s.probe(ctx, f.Target)
	now := time.Now()
	s.ledger.Outage(p.name, ledger.Killed, now)
	p.kill()
	kill(now)
	s.count(f.Kind)
	s.event(now, "%s killed, for %v", p.name, f.For)
	sleep(ctx, f.For)
	err := p.start(ctx)
	s.event(time.Now(), "%s is up again", p.name)
	return err
}

func (s *site) stopNode(ctx context.Context, f Fault) error {
	p := s.nodes[f.Target]
	node := p.current()
	if node == nil {
		return nil
	}
	now := time.Now()
	ended := s.ledger.Outage(p.name, ledger.Stopped, now)
	err := node.Signal(syscall.SIGSTOP)
	s.event(now, "%s stopped, for %v", p.name, f.For)
	sleep(ctx, f.For)
	if err == nil {
		err = node.Signal(syscall.SIGCONT)
	}
	ended(time.Now())
	s.event(time.Now(), "%s continued", p.name)
	if err != nil {
		return err
	}
	s.count(f.Kind)
	return nil
}

func (s *site) restartRedis(ctx context.Context, f Fault) error {
	return s.timed(f, func() error {
		s.backing.single.Kill()
		sleep(ctx, f.For)
		return s.backing.single.Restart(ctx)
	})
}

func (s *site) pauseRedis(ctx context.Context, f Fault) error {
	return s.timed(f, func() error {
		if err := s.backing.single.Pause(); err != nil {
			return err
		}
		sleep(ctx, f.For)
		return s.backing.single.Resume()
	})
}

// timed injects a fault of Redis that has its end in itself: until then nobody has
// a Redis.
func (s *site) timed(f Fault, inject func() error) error {
	var back []func(time.Time)
	for _, p := range s.nodes {
		back = append(back, s.ledger.Outage(p.name, ledger.Away, time.Now()))
	}
	return s.noted(f, func() error {
		err := inject()
		for _, ended := range back {
			ended(time.Now())
		}
		return err
	})
}

// noted injects a fault, and notes it.
func (s *site) noted(f Fault, inject func() error) error {
	s.event(time.Now(), "%s", f.Kind)
	if err := inject(); err != nil {
		return err
	}
	s.event(time.Now(), "%s: over", f.Kind)
	s.count(f.Kind)
	return nil
}

// failOver injects a failover. There is a master again when it is over; what the
// servers need then to be ready for the next one is no outage.
func (s *site) failOver(ctx context.Context, f Fault, inject func() error) error {
	if err := s.backing.mend(ctx); err != nil {
		return err
	}
	if err := s.timed(f, inject); err != nil {
		return err
	}
	return s.backing.mend(ctx)
}

func (s *site) disturb(ctx context.Context, f Fault, kind ledger.OutageKind, how func(*redisproc.Proxy)) error {
	p, link := s.nodes[f.Target], s.backing.links[f.Target]
	ended := s.ledger.Outage(p.name, kind, time.Now())
	s.event(time.Now(), "%s of %s, for %v", f.Kind, p.name, f.For)
	how(link)
	sleep(ctx, f.For)
	link.Mend()
	ended(time.Now())
	s.event(time.Now(), "%s of %s: over", f.Kind, p.name)
	s.count(f.Kind)
	return nil
}

// move tells somebody to go. Who is just going is left alone.
func (s *site) move(f Fault) error {
	p := s.people[f.Target]
	if p.current() == nil {
		return nil
	}
	select {
	case p.orders <- order{cut: f.Kind == DropClient, pause: f.For}:
		s.count(f.Kind)
	default:
	}
	return nil
}

// failOverShard fails over the shard that serves one of a node's keys.
func (s *site) failOverShard(ctx context.Context, f Fault) error {
	slot, what, err := s.slot(ctx, f)
	if err != nil {
		return err
	}
	s.event(time.Now(), "%s, of %s", f.Kind, what)
	return s.failOver(ctx, f, func() error {
		if f.Kind == ClusterKill {
			return s.backing.cluster.KillMaster(ctx, slot)
		}
		return s.backing.cluster.Failover(ctx, slot)
	})
}

// migrate moves a slot, which is no outage: at each moment it has a master.
func (s *site) migrate(ctx context.Context, f Fault) error {
	slot, what, err := s.slot(ctx, f)
	if err != nil {
		return err
	}
	if err := s.backing.mend(ctx); err != nil {
		return err
	}
	to, err := s.backing.cluster.OtherMaster(ctx, slot)
	if err != nil {
		return err
	}
	s.event(time.Now(), "%s, of %s", f.Kind, what)
	return s.noted(f, func() error {
		from, err := s.backing.cluster.Migrate(ctx, slot, to, func() error {
			sleep(ctx, f.For) // the slot has two masters
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		s.event(time.Now(), "slot %d went from %s to %s", slot, from.Addr, to.Addr)
		return nil
	})
}

// slot picks the slot that a fault is about: that of a lease or of a private
// channel.
func (s *site) slot(ctx context.Context, f Fault) (slot int, what string, err error) {
	what = s.keys.Address(s.people[f.Target%len(s.people)].name)
	if node := s.nodes[f.Target%len(s.nodes)].current(); node != nil && f.Kind != MigrateLease {
		what = s.keys.Channel(node.ID)
	}
	slot, err = s.backing.cluster.Slot(ctx, what)
	return slot, what, err
}
