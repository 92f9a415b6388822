package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

// inject does what a fault is.
func (c *cluster) inject(f Fault) {
	p := c.places[f.Node%len(c.places)]
	w := c.world
	w.record("fault: %v", f)
	c.events = append(c.events, ledger.Event{At: at(w.now), Text: f.String()})
	switch f.Kind {
	case NodeKilled:
		c.ledger.Outage(p.name, ledger.Killed, at(w.now))
		c.kill(p)
		w.after(f.For, func() { c.restart(p) })
	case NodeFrozen:
		c.freeze(p, f.For)
	case NodeDrained:
		c.drainAndRestart(p)
	case ClockJumped:
		p.clock += f.For*20 - 60*time.Second
		if p.host != nil {
			p.host.clock = p.clock
		}
	case LinkCut:
		c.disturb(p, linkCut, ledger.Severed, f.For)
	case LinkSwallowed:
		c.disturb(p, linkSwallowed, ledger.Swallowed, f.For)
	case LinkStalled:
		c.disturb(p, linkStalled, ledger.Severed, f.For)
	case ChannelMoved:
		c.moveChannel(p, f.For/50)
	case AddressesMoved:
		c.moving = w.now + f.For/50
		c.moved0 = c.moving
		c.away(f.For / 50)
	case BusNoisy:
		c.makeNoise(f.For)
	default:
		c.injectRedis(f)
	}
}

func (c *cluster) injectRedis(f Fault) {
	w, m := c.world, c.master
	if !m.up || m.stopped {
		return // it is away already
	}
	switch f.Kind {
	case Flushed:
		c.away(0)
		m.write(func(d *dataset) {
			*d = dataset{replid: d.replid, owners: map[string]*owners{}, leases: map[string]*nodeLease{}}
		})
	case RedisStopped:
		c.away(f.For)
		m.stop()
		w.after(f.For, m.proceed)
	case RedisRestarted:
		c.away(f.For)
		m.crash()
		w.after(f.For, func() { c.reboot(m, newDataset()) })
	case RedisOldData:
		old := m.data.clone()
		w.after(f.For, func() {
			if !m.up || m != c.master {
				return
			}
			c.away(f.For / 4)
			m.crash()
			w.after(f.For/4, func() { c.reboot(m, old) })
		})
	case FailedOver:
		c.failOver(false, f.For/10)
	case MasterKilled:
		c.failOver(true, f.For/4)
	default:
		panic(fmt.Sprintf("an unknown fault: %v", f))
	}
}

// away notes that Redis is away from every node for d.
func (c *cluster) away(d time.Duration) {
	for _, p := range c.places {
		ended := c.ledger.Outage(p.name, ledger.Away, at(c.world.now))
		ended(at(c.world.now + d))
	}
}

// reboot starts a master again, and its replica with its data.
func (c *cluster) reboot(m *server, d *dataset) {
	m.boot(d)
	for _, r := range m.replicas {
		r.data = d.clone()
	}
}

// restart starts a place's process again, if there is none.
func (c *cluster) restart(p *place) {
	if p.host == nil {
		c.start(p)
	}
}

func (c *cluster) freeze(p *place, d time.Duration) {
	h := p.host
	if h == nil || h.frozen {
		return
	}
	ended := c.ledger.Outage(p.name, ledger.Stopped, at(c.world.now))
	h.freeze()
	c.world.after(d, func() {
		ended(at(c.world.now))
		if !h.dead {
			c.world.record("%s goes on", h.id)
			h.thaw()
		}
	})
}

func (c *cluster) drainAndRestart(p *place) {
	if p.host == nil || !p.host.serving || p.host.frozen || p.host.draining {
		return
	}
	h := p.host
	ended := c.ledger.Outage(p.name, ledger.Severed, at(c.world.now))
	c.drain(p, func() { c.restart(p) })
	c.world.after(20*time.Second, func() {
		if p.host == h { // it could not stop, as when it was frozen meanwhile
			c.kill(p)
			c.restart(p)
		}
	})
	// Whatever was sent by it, or to it, may have no better answer than timeout.
	c.world.after(12*time.Second, func() { ended(at(c.world.now)) })
}

func (c *cluster) disturb(p *place, state linkState, kind ledger.OutageKind, d time.Duration) {
	if p.link != linkOpen {
		return
	}
	ended := c.ledger.Outage(p.name, kind, at(c.world.now))
	c.setLink(p, state)
	c.world.after(d, func() {
		ended(at(c.world.now))
		c.setLink(p, linkOpen)
	})
}

func (c *cluster) setLink(p *place, state linkState) {
	if p.link != linkOpen {
		p.troubled = c.world.now
	}
	p.link = state
	if p.host != nil {
		p.host.setLink(state)
	}
}

// moveChannel moves the slot of a node's private channel: its subscription ends, and who
// publishes there is led elsewhere for a moment.
func (c *cluster) moveChannel(p *place, d time.Duration) {
	if p.host == nil {
		return
	}
	c.away(d)
	channel := c.keys.Channel(p.host.id)
	c.moves[channel] = c.world.now + d
	for _, x := range slices.Clone(c.master.subs[channel]) {
		c.master.unsubscribe(x)
		x.send(toHost, func() { x.reset(errMoved) })
	}
}

// noisy is what a bus does that loses and doubles.
var noisy = noise{lost: 0.05, doubled: 0.1}

func (c *cluster) makeNoise(d time.Duration) {
	c.away(d)
	for _, h := range c.hosts {
		h.noise = noisy
		c.world.after(d, func() { h.noise = noise{} })
	}
}

// failOver makes the replica the master. If the master is killed, the replica has not got
// what was written last. Some of the connections to a master that lives on stay.
func (c *cluster) failOver(kill bool, away time.Duration) {
	i := slices.IndexFunc(c.servers, func(s *server) bool { return s.primary == c.master && s.up })
	if i < 0 {
		return
	}
	w, old, next := c.world, c.master, c.servers[i]
	c.away(away + time.Second)
	if kill {
		next.data = c.lagging(next.data)
		old.crash()
	}
	w.after(away, func() {
		old.replicas = nil
		next.primary, next.began = nil, w.now
		next.data.replid = w.chance.Uint64()
		c.master = next
		w.record("%s is master", next.name)
		if kill {
			w.after(between(w.chance, 0, 5*time.Second), func() {
				old.boot(newDataset())
				c.replicate(old)
			})
			return
		}
		c.replicate(old)
		stay := w.chance.IntN(3) // of three connections, how many stay with the old master
		old.disconnect(func(*conn) bool { return w.chance.IntN(3) >= stay })
	})
}

// lagging returns data without what was written last: some entries and leases.
func (c *cluster) lagging(d *dataset) *dataset {
	d = d.clone()
	for _, address := range sortedKeys(d.owners) {
		if c.world.chance.IntN(3) == 0 {
			delete(d.owners, address)
		}
	}
	for _, node := range sortedKeys(d.leases) {
		if c.world.chance.IntN(4) == 0 {
			delete(d.leases, node)
		}
	}
	return d
}

func sortedKeys[V any](m map[string]V) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// heal ends all faults that last.
func (c *cluster) heal() {
	for _, p := range c.places {
		c.setLink(p, linkOpen)
		if p.host != nil && p.host.frozen {
			p.host.thaw()
		}
		c.restart(p)
	}
	for _, s := range c.servers {
		if s.stopped {
			s.proceed()
		}
		if !s.up && s == c.master {
			c.reboot(s, newDataset())
		}
	}
}
