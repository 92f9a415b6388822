package simulation

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/router/ledger"
)

// Result is what became of a history.
type Result struct {
	Plan    Plan
	Verdict *ledger.Verdict
	History uint64 // a hash of all that happened
	Steps   int    // events and tasks' turns
	Time    time.Duration
	Lost    int // batches that the bus lost
	Doubled int // and doubled

	ledger *ledger.Ledger
	events []ledger.Event
}

// settleTime is what a cluster needs to be whole again when all faults are over: as long as
// the longest fault, until leases have ended, and until epochs have settled.
const (
	faultsOver = 12 * time.Second
	settleTime = 30 * time.Second
	rollCalls  = 3
)

// Run has the history of a plan happen, and judges it. trace gets a line for all that
// happens; nil: nobody does.
func Run(p Plan, trace io.Writer) *Result {
	c := newCluster(p, metrics.New(prometheus.NewRegistry()), trace)
	w := c.world
	defer w.end()
	for _, place := range c.places {
		w.after(between(w.chance, 0, 200*time.Millisecond), func() { c.start(place) })
	}
	for _, l := range c.lines {
		w.after(between(w.chance, 0, 3*time.Second), l.connect)
	}
	for _, f := range p.Faults {
		w.after(f.At, func() { c.inject(f) })
	}
	w.run(p.Length)
	c.quiet = true
	w.run(p.Length + faultsOver)
	c.heal()
	w.run(p.Length + faultsOver + settleTime)
	missed := c.rollCall()
	w.run(w.now + p.Deadline + 2*time.Second)
	r := &Result{Plan: p, Verdict: c.ledger.Judge(c.rules()), History: w.history, Steps: w.steps, Time: w.now, Lost: c.lost, Doubled: c.doubled, ledger: c.ledger, events: c.events}
	for _, m := range missed {
		r.Verdict.Unreached(m.message, m.what, at(w.now))
	}
	return r
}

// rules are those of the chaos suite, for the plan's heartbeat and a machine that is never
// busy.
func (c *cluster) rules() ledger.Rules {
	h := c.plan.Heartbeat
	ttl := max(2*h, 2*time.Second) + h
	return ledger.Rules{
		Deadline: c.plan.Deadline,
		Slack:    200*time.Millisecond + 4*c.plan.Slowest,
		Notice:   300*time.Millisecond + 4*c.plan.Slowest,
		Lapse:    ttl - h - 200*time.Millisecond,
		Redial:   h * 5 / 4,
		Beat:     h * 3 / 2,
		Return:   2 * ttl,
		Clocks:   slices.ContainsFunc(c.plan.Faults, func(f Fault) bool { return f.Kind == ClockJumped }),
	}
}

// missing is somebody who could not be reached in the calm.
type missing struct {
	message *ledger.Message
	what    string
}

// call is what the clients of a node have to do in the end: to reach somebody.
type call struct {
	place   *place
	to      string
	message *ledger.Message
}

// maxCalls is how many calls there are at the most that are not one for each client.
const maxCalls = 2000

// callsToMake has every node call every client, in a large cluster one node each of them.
func (c *cluster) callsToMake() (calls []*call) {
	called := make(map[string]bool)
	for i, l := range c.lines {
		if called[l.client] || !l.up {
			continue
		}
		called[l.client] = true
		for j, p := range c.places {
			if len(c.places)*len(c.lines) <= maxCalls || i%len(c.places) == j {
				calls = append(calls, &call{place: p, to: l.client})
			}
		}
	}
	return calls
}

// rollCall has clients of all nodes send to every client, when all are connected.
func (c *cluster) rollCall() (list []missing) {
	for _, l := range c.lines {
		if !l.up {
			list = append(list, missing{nil, l.client + " could not connect again"})
		}
	}
	calls := c.callsToMake()
	for range rollCalls {
		for _, x := range calls {
			if caller := c.callerOn(x.place); caller != nil {
				x.message = caller.send(x.to)
			}
		}
		c.world.run(c.world.now + c.plan.Deadline + time.Second)
		calls = slices.DeleteFunc(calls, func(x *call) bool { return x.message == nil || c.ledger.Arrived(x.message) })
		if len(calls) == 0 {
			break
		}
	}
	for _, x := range calls {
		list = append(list, missing{x.message, fmt.Sprintf("nobody on %s could reach %s in %d calls", x.place.name, x.to, rollCalls)})
	}
	return list
}

func (c *cluster) callerOn(p *place) *line {
	for _, l := range c.lines {
		if l.up && l.session.host.place == p {
			return l
		}
	}
	return nil
}

// Failed reports whether a promise was broken.
func (r *Result) Failed() bool { return len(r.Verdict.Violations) > 0 }

// Story tells of the first violation, and how to see it again.
func (r *Result) Story() string {
	var b strings.Builder
	p := r.Plan
	fmt.Fprintf(&b, "seed %d: %d violations\n", p.Seed, len(r.Verdict.Violations))
	fmt.Fprintf(&b, "%d nodes, %d connections of %d clients, heartbeat %v, %s, replica %v, grace %v, cache %d, slowest %v, moves %v\n",
		p.Nodes, p.Clients, p.Names, p.Heartbeat, p.Duplicates, p.Replica, p.Grace, p.OwnerCache, p.Slowest, p.Moves)
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "  %10.4f  planned: %v\n", f.At.Seconds(), f)
	}
	if r.Failed() {
		b.WriteString(r.ledger.Story(r.Verdict.Violations[0], start, r.events))
	}
	return b.String()
}
