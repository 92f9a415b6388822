package bench

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// window is how many messages of a client are under way in the closed loop.
const window = 2

// warmUp is how long the load runs before it is measured.
func warmUp(during time.Duration) time.Duration {
	const share, most = 0.3, 10 * time.Second
	return min(time.Duration(share*float64(during)), most)
}

// acquaints reports whether a workload begins with nodes that know the owners of the
// clients. In the growth over clients it is to be seen what a lookup costs, and an
// owner that there is not is never remembered.
func acquaints(w report.Workload) bool { return w != report.Offline && w != report.Clients }

// point is one measurement while it is made.
type point struct {
	*report.Point
	site  *site
	fleet *fleet
	late  []time.Duration
	first uint32        // the number of the first measured message
	lasts time.Duration // the load of the measured messages

	killed int64           // when a node was killed, on the fleet's clock
	gone   map[uint32]bool // its clients
}

// measure makes one measurement. Its figures are whole or there is an error.
func (r *runner) measure(whole context.Context, p *report.Point) (err error) {
	ctx, fail := context.WithCancelCause(whole)
	defer fail(nil)
	s, err := r.target.open(ctx, p, fail)
	if err != nil {
		return err
	}
	defer s.close()
	defer func() {
		if err != nil && whole.Err() == nil {
			err = s.explain(err)
		}
	}()
	absent := 0
	if p.OfflineShare > 0 {
		absent = p.Clients
	}
	x := &point{Point: p, site: s, fleet: newFleet(s.urls, p.Clients, absent, p.MessageBytes, fail), gone: make(map[uint32]bool)}
	x.fleet.draw = newDraw(p, absent)
	x.fleet.checker.unsure = p.Arm == report.Broadcast
	x.fleet.moving = p.Workload == report.Churn
	x.fleet.receipts = p.Workload == report.Offline || p.Workload == report.Churn || p.Workload == report.Kill
	p.Figures = make(map[report.Figure]float64)
	defer r.watch(x.fleet)()
	defer x.fleet.close()
	defer context.AfterFunc(ctx, x.fleet.hangUp)() // who writes to a node that does not read waits for long
	if err := x.run(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func (x *point) run(ctx context.Context) error {
	switch x.Workload {
	case report.Idle:
		return x.idle(ctx)
	case report.Storm:
		return x.storm(ctx)
	}
	if _, err := x.fleet.connectAll(ctx, dialers); err != nil {
		return err
	}
	during := time.Duration(x.Seconds * float64(time.Second))
	if acquaints(x.Workload) {
		x.fleet.acquaint(ctx)
	}
	x.load(ctx, warmUp(during))
	x.fleet.drain(ctx)
	defer quietly()()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	before, err := x.site.gauge.before(ctx)
	if err != nil {
		return err
	}
	x.first = x.fleet.checker.count()
	x.late = nil
	restless := x.disturb(ctx, during)
	begun := time.Now()
	x.load(ctx, during)
	x.lasts = time.Since(begun)
	if x.Workload == report.Saturation {
		x.Seconds = x.lasts.Seconds() // it may have had enough messages before its time
	}
	delivered := x.fleet.checker.received.Load()
	restless()
	x.fleet.drain(ctx)
	after, err := x.site.gauge.after(ctx)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x.judge(&before, &after, delivered)
	return nil
}

// quietly keeps the generator's garbage collector from a measured window, which
// allocates little.
func quietly() (restore func()) {
	runtime.GC()
	percent := debug.SetGCPercent(400)
	return func() { debug.SetGCPercent(percent) }
}

// load sends for a while.
func (x *point) load(ctx context.Context, during time.Duration) {
	if x.Workload == report.Saturation {
		x.fleet.loop(ctx, window, during)
		return
	}
	x.late = x.fleet.pace(ctx, x.RatePerSecond, during)
}

// judge turns what was seen into figures, faults and marks.
func (x *point) judge(before, after *reading, delivered int64) {
	stayed := connected(nil)
	if x.Workload == report.Churn || x.Workload == report.Kill {
		stayed = x.connectedSince()
	}
	x.fleet.close()
	found := x.fleet.checker.judge(x.first, x.fleet.checker.count(), stayed)
	f := x.Figures
	f[report.Sent], f[report.Delivered], f[report.Lost] = float64(found.sent), float64(found.delivered), float64(found.lost)
	f[report.Duplicated], f[report.Misordered], f[report.Misrouted] = float64(found.duplicated), float64(found.misordered), float64(found.misrouted)
	if x.fleet.receipts {
		f[report.Misanswered] = float64(found.misanswered)
	}
	if x.killed > 0 {
		x.recovered()
	}
	if x.OfflineShare > 0 || x.Workload == report.Kill {
		f[report.OfflineReceipts] = float64(found.offline)
	}
	f[report.DeliveredPerSecond] = float64(found.delivered) / x.lasts.Seconds()
	if x.Workload == report.Saturation {
		f[report.DeliveredPerSecond] = float64(delivered-int64(x.first)) / x.lasts.Seconds()
	}
	if x.Workload != report.Kill { // the killed node's counters are in the first reading only
		perMessage(f, before, after, found.delivered)
	}
	x.latencies(found.latencies)
	x.watchOneself(before, after)
	x.Faults = append(x.Faults, found.faults...)
	if found.delivered == 0 {
		x.Faults = append(x.Faults, "not one message was delivered")
	}
}

// connectedSince keeps who is connected now, which ends with the fleet.
func (x *point) connectedSince() connected {
	now := make([]bool, len(x.fleet.sessions))
	left := make([]int64, len(now))
	for i := range now {
		now[i], left[i] = x.fleet.sessions[i].Load() != nil, x.fleet.left[i].Load()
	}
	return func(client uint32, from int64) bool {
		return int(client) < len(now) && now[client] && left[client] < from
	}
}

// latencyLimit is the longest latency that is told apart, in microseconds.
const latencyLimit = 60_000_000

func (x *point) latencies(all []time.Duration) {
	if len(all) == 0 {
		return
	}
	h := hdrhistogram.New(1, latencyLimit, 3)
	for _, one := range all {
		_ = h.RecordValue(min(max(one.Microseconds(), 1), latencyLimit)) // it is within the limits
	}
	for figure, percent := range map[report.Figure]float64{
		report.LatencyP50: 50, report.LatencyP90: 90, report.LatencyP99: 99, report.LatencyP999: 99.9, report.LatencyMax: 100,
	} {
		x.Figures[figure] = float64(h.ValueAtPercentile(percent))
	}
	for _, percent := range []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100} {
		x.Latencies = append(x.Latencies, report.Percentile{Percent: percent, Micros: float64(h.ValueAtPercentile(percent))})
	}
}

const (
	// tooLate and tooLateShare: the generator may send late by this at the 99th
	// percentile, or by this share of the latency there, whichever is more.
	tooLate      = time.Millisecond
	tooLateShare = 0.1
	// burst is the share of the messages that may leave tooLate, and so together with
	// others, before that makes them cheaper.
	burst = 0.1
	// busy is the share of the machine's processors beyond which an open loop
	// measures its own queue.
	busy = 0.85
	// greedy is the share that a closed loop's generator may take.
	greedy = 0.5
)

// watchOneself marks the point if the generator was a part of what it measured.
func (x *point) watchOneself(before, after *reading) {
	lasts := after.at.Sub(before.at)
	cores := float64(runtime.NumCPU())
	own := float64(after.own-before.own) / float64(lasts)
	all := own
	if before.hasCPU && after.hasCPU {
		all += float64(after.nodesSince(before)+after.redis-before.redis) / float64(lasts)
	}
	if own > 0 {
		x.Figures[report.GeneratorCPU] = own
	}
	if x.Workload == report.Saturation {
		if own > greedy*cores {
			x.Marks = append(x.Marks, fmt.Sprintf("the generator took %.0f %% of the %.0f processors: the nodes could do more", 100*own/cores, cores))
		}
		return
	}
	if len(x.late) == 0 {
		return
	}
	slices.Sort(x.late)
	if late := x.late[int(float64(len(x.late))*(1-burst))]; late > tooLate {
		x.Marks = append(x.Marks, fmt.Sprintf("%.0f %% of the messages left in bursts, %v late or more, and shared batches", 100*burst, late.Round(10*time.Microsecond)))
	}
	late := x.late[len(x.late)*99/100]
	x.Figures[report.GeneratorLateP99] = micros(late)
	switch allowed := max(micros(tooLate), tooLateShare*x.Figures[report.LatencyP99]); {
	case all > busy*cores:
		x.Late = fmt.Sprintf("%.0f %% of the processors were busy", 100*all/cores)
	case micros(late) > allowed:
		x.Late = fmt.Sprintf("the generator sent %v late (p99)", late.Round(10*time.Microsecond))
	}
}
