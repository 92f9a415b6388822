package simulation

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/ledger"
)

// The flags of make simulate, and of who replays a seed.
var (
	seed    = flag.Uint64("seed", 0, "the first seed; 0: by chance")
	seeds   = flag.Uint64("seeds", 0, "how many seeds to run, 0: without end; only for TestSimulate")
	trace   = flag.String("trace", "", "the file that gets all that happens in the history of -seed; only for TestReplay")
	forever = flag.Bool("simulate", false, "run TestSimulate")
)

// ofCI is how many seeds every run of the tests has.
const ofCI = 150

// report fails the test with the story of a history that broke a promise.
func report(t *testing.T, r *Result) {
	t.Helper()
	small := Shrink(r.Plan, 40)
	t.Errorf("seed %d breaks a promise; go test ./router/simulation -run TestReplay -seed=%d -trace=/tmp/history has all of it\n%s",
		r.Plan.Seed, r.Plan.Seed, small.Story())
}

// No promise is broken in any history. make simulate runs more of them.
func TestSeedsKeepThePromises(t *testing.T) {
	for seed := uint64(1); seed <= few(ofCI); seed++ {
		if r := Run(PlanOf(seed), nil); r.Failed() {
			report(t, r)
		}
	}
}

// One seed is one history, to the byte.
func TestSameSeedHasTheSameHistory(t *testing.T) {
	for seed := uint64(1); seed <= few(15); seed++ {
		var a, b bytes.Buffer
		first, second := Run(PlanOf(seed), &a), Run(PlanOf(seed), &b)
		if !bytes.Equal(a.Bytes(), b.Bytes()) || first.History != second.History || first.Steps != second.Steps {
			t.Errorf("seed %d has two histories, of %d and %d steps", seed, first.Steps, second.Steps)
		}
		if third := Run(PlanOf(seed), nil); third.History != first.History {
			t.Errorf("seed %d has another history when nobody reads it", seed)
		}
	}
	if a, b := Run(PlanOf(1), nil), Run(PlanOf(2), nil); a.History == b.History {
		t.Error("two seeds have the same history")
	}
}

// TestSimulate runs seeds until one breaks a promise, or until it is told to stop: make
// simulate.
func TestSimulate(t *testing.T) {
	if !*forever {
		t.Skip("run by make simulate")
	}
	next := *seed
	if next == 0 {
		next = rand.Uint64N(1 << 40)
	}
	began, first := time.Now(), next
	fmt.Printf("simulating from seed %d\n", first)
	var mu sync.Mutex
	var workers sync.WaitGroup
	messages, simulated := 0, time.Duration(0)
	take := func() (uint64, bool) {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() || *seeds > 0 && next-first == *seeds {
			return 0, false
		}
		if n := next - first; n > 0 && n%1000 == 0 {
			fmt.Printf("%d histories, %d messages, %v of simulated time in %v\n", n, messages, simulated.Round(time.Hour), time.Since(began).Round(time.Second))
		}
		next++
		return next - 1, true
	}
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				r := Run(PlanOf(seed), nil)
				if r.Failed() {
					report(t, r)
				}
				mu.Lock()
				messages += r.Verdict.Messages
				simulated += r.Time
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	fmt.Printf("%d histories from seed %d, %d messages, %v of simulated time in %v\n",
		next-first, first, messages, simulated.Round(time.Minute), time.Since(began).Round(time.Second))
}

// TestReplay tells the history of -seed.
func TestReplay(t *testing.T) {
	if *seed == 0 || *forever {
		t.Skip("replays -seed")
	}
	p := PlanOf(*seed)
	if *trace == "" {
		r := Run(p, nil)
		t.Logf("%v, %d messages: %v, excused: %v", r.Time, r.Verdict.Messages, r.Verdict.Receipts, r.Verdict.Excused)
		if r.Failed() {
			t.Error(r.Story())
		}
		return
	}
	f, err := os.Create(*trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r := Run(p, f); r.Failed() {
		t.Error(r.Story())
	}
}

// calm is a plan without faults.
func calm(seed uint64) Plan {
	return Plan{
		Seed: seed, Nodes: 3, Clients: 9, Names: 9, Heartbeat: 2 * time.Second, Deadline: 5 * time.Second,
		Duplicates: registry.Allow, Slowest: 20 * time.Millisecond, Interval: 200 * time.Millisecond, Confirm: 0.2,
		Begin: 4 * time.Second, Length: 15 * time.Second,
	}
}

// While clients stay, and Redis loses nothing, every message is delivered.
func TestEveryMessageArrivesInACalmCluster(t *testing.T) {
	for seed := uint64(1); seed <= few(5); seed++ {
		wantAll(t, calm(seed), "delivered", "confirmed")
	}
}

// A bus that loses and doubles batches, probes and acknowledgements loses no message, doubles
// none and changes no order: they are numbered, acknowledged and sent again.
func TestNoMessageIsLostOverALossyBus(t *testing.T) {
	for seed := uint64(1); seed <= few(5); seed++ {
		p := calm(seed)
		p.Deadline = 30 * time.Second
		p.Faults = []Fault{{At: 4 * time.Second, Kind: BusNoisy, For: 11 * time.Second}}
		r := wantAll(t, p, "delivered", "confirmed")
		if r.Lost == 0 || r.Doubled == 0 {
			t.Errorf("seed %d: the bus lost %d batches and doubled %d: it proves nothing", seed, r.Lost, r.Doubled)
		}
	}
}

// Clients that move all the time are found again: what is sent to them is delivered, or
// they were offline. Nothing times out.
func TestRoutesAreRepairedAfterMoves(t *testing.T) {
	for seed := uint64(1); seed <= few(10); seed++ {
		p := calm(seed)
		p.Moves = 0.3
		r := wantAll(t, p, "delivered", "confirmed", "offline")
		if r.Verdict.Receipts["delivered"]+r.Verdict.Receipts["confirmed"] < r.Verdict.Receipts["offline"] {
			t.Errorf("seed %d: most receivers were offline: %v", seed, r.Verdict.Receipts)
		}
	}
}

// wantAll has a plan's history keep the promises, and each message have one of some outcomes.
func wantAll(t *testing.T, p Plan, outcomes ...string) *Result {
	t.Helper()
	r := Run(p, nil)
	if r.Failed() {
		t.Error(r.Story())
	}
	left := 0
	for _, n := range r.Verdict.Receipts {
		left += n
	}
	for _, o := range outcomes {
		left -= r.Verdict.Receipts[o]
	}
	if left > 0 || len(r.Verdict.Receipts) == 0 {
		t.Errorf("seed %d: outcomes are %v, want only %v", p.Seed, r.Verdict.Receipts, outcomes)
	}
	return r
}

// Under each kind of fault alone the promises are kept, whatever the rule for duplicates.
func TestPromisesAreKeptUnderEachFault(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			for seed := uint64(1); seed <= few(6); seed++ {
				p := calm(seed)
				p.Moves, p.Repeat = 0.1, 1
				p.Replica = seed%2 == 0 || kind == FailedOver || kind == MasterKilled
				p.Duplicates = []registry.Duplicates{registry.Allow, registry.Replace, registry.Reject}[seed%3]
				for i, d := range []time.Duration{100 * time.Millisecond, 2 * time.Second, 8 * time.Second} {
					at := time.Duration(4+i*10) * time.Second
					p.Faults = append(p.Faults, Fault{At: at, Kind: kind, Node: i % p.Nodes, For: d})
				}
				p.Length = 34 * time.Second
				if r := Run(p, nil); r.Failed() {
					t.Error(r.Story())
				}
			}
		})
	}
}

// What a node does to messages on purpose is found: the judge can fail.
func TestEachBrokenPromiseIsFound(t *testing.T) {
	for want, sabotage := range map[ledger.Kind]sabotage{
		ledger.Lost:       {lose: true},
		ledger.Duplicated: {double: true},
		ledger.Reordered:  {swap: true},
	} {
		p := calm(1)
		p.sabotage = sabotage
		r := Run(p, nil)
		if r.Verdict.Count(want) == 0 {
			t.Errorf("%v is not found", want)
		}
		if small := Shrink(p, 10); small.Verdict.Count(want) == 0 {
			t.Errorf("%v is lost when the plan is made smaller", want)
		}
	}
	p := calm(1)
	p.sabotage = sabotage{mute: true}
	if r := Run(p, nil); r.Verdict.Count(ledger.Unanswered) == 0 {
		t.Error("messages without an outcome are not found")
	}
}

// What a node has delivered it remembers, however its clock is set: a message that is sent
// again is not delivered twice.
func TestClockThatIsSetForwardForgetsNoDelivery(t *testing.T) {
	for seed := uint64(1); seed <= few(20); seed++ {
		p := calm(seed)
		p.Moves, p.Repeat, p.Confirm, p.Slowest = 0.4, 1, 0, 100*time.Millisecond
		for i := range 90 {
			at := 5*time.Second + time.Duration(i)*100*time.Millisecond
			p.Faults = append(p.Faults, Fault{At: at, Kind: ClockJumped, Node: i % p.Nodes, For: 6200 * time.Millisecond})
		}
		if r := Run(p, nil); r.Failed() {
			t.Error(r.Story())
		}
	}
}

// Under replace the newest session stays: neither a claim that has failed nor one that the
// session's node had not heard of ends it.
func TestNewestSessionIsNotReplacedByAnOlderClaim(t *testing.T) {
	for seed := uint64(1); seed <= few(60); seed++ {
		p := calm(seed)
		p.Duplicates, p.Moves, p.Heartbeat = registry.Replace, 0.5, time.Second
		p.Faults = []Fault{
			{At: 6 * time.Second, Kind: LinkCut, Node: 1, For: 3 * time.Second},
			{At: 11 * time.Second, Kind: NodeFrozen, Node: 2, For: 5 * time.Second},
			{At: 15 * time.Second, Kind: LinkStalled, Node: 0, For: 3 * time.Second},
		}
		p.Length = 22 * time.Second
		if r := Run(p, nil); r.Failed() {
			t.Error(r.Story())
		}
	}
}
