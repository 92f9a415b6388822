package bench

import (
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/hostport"
	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// The limits of what can be asked for.
const (
	MaxNodes   = 64
	MaxClients = 1_000_000
	MaxRate    = 1_000_000
	MaxRepeat  = 100
	// MinSize is the least that a payload needs for what it carries.
	MinSize = minPayload
	// MaxSize leaves room for a message's frame below BEELINE_MAX_MESSAGE, which is
	// 64 KiB.
	MaxSize = 64<<10 - 128
	// MaxDuration bounds the measured part of a point.
	MaxDuration = time.Hour
)

// Options say what to measure. What is left zero has a default.
type Options struct {
	Arms      []report.Arm      // default: all
	Workloads []report.Workload // default: all that the target allows

	// The workload that grows over a parameter takes all its values; the others take
	// the first, and those that need two nodes the first that is not 1. Default: see
	// plan.go.
	Nodes, Clients, Sizes []int
	Rates                 []float64 // messages a second, of all senders
	OfflineShares         []float64 // of the receivers, 0 to 1

	Duration     time.Duration // the measured part of a point; default 3 s, or 1 s if Quick
	Repeat       int           // default 3, or 1 if Quick
	Distribution string        // Uniform, which is the default, or Zipf
	Quick        bool          // little of everything

	URLs     []string // of a cluster that runs; none: processes of this program's own
	Admins   []string // where that cluster's metrics are, http://host:port
	RedisURL string   // that cluster's Redis, to read its counters; may be empty

	Binary  string // a beeline that the nodes are started from
	Version string // of beeline
	Command string // that asked for this run
}

// Arms and Workloads are all there are, in their order.
func Arms() []report.Arm { return []report.Arm{report.Targeted, report.Broadcast, report.Subscribe} }

// Workloads lists all workloads.
func Workloads() []report.Workload {
	return []report.Workload{report.Rate, report.Saturation, report.Nodes, report.Clients, report.Size,
		report.Idle, report.Storm, report.Offline, report.Churn, report.Kill}
}

// About says what a workload is, in a few words.
func About(w report.Workload) string {
	return map[report.Workload]string{
		report.Rate:       "a fixed rate; latency counts from when a message was due",
		report.Saturation: "as much as goes through, each client waiting for answers",
		report.Nodes:      "growth over nodes; receivers are on another node than the sender",
		report.Clients:    "growth over clients",
		report.Size:       "growth over the bytes of a message",
		report.Idle:       "connections that do nothing: memory, and keeping leases",
		report.Storm:      "all clients connect at once",
		report.Offline:    "a share of the receivers is not connected",
		report.Churn:      "clients move between nodes while messages fly",
		report.Kill:       "a node is killed while messages fly",
	}[w]
}

// needsProcesses reports whether a workload starts or ends nodes, or looks into them.
func needsProcesses(w report.Workload) bool {
	return w == report.Nodes || w == report.Idle || w == report.Kill
}

// needsTwo reports whether a workload makes no sense on one node.
func needsTwo(w report.Workload) bool { return w == report.Churn || w == report.Kill }

// severalNodes is how many nodes a workload has that needs two: the first number that
// was asked for and is not 1, if there is one.
func (o *Options) severalNodes() int {
	if len(o.URLs) > 0 {
		return len(o.URLs)
	}
	for _, n := range o.Nodes {
		if n > 1 {
			return n
		}
	}
	return first(o.Nodes, o.defaults().nodes)
}

// Check says what is wrong with the options, and completes them.
func (o *Options) Check() error {
	o.complete()
	for _, check := range []func() error{o.checkNumbers, o.checkTarget, o.checkMachine} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) complete() {
	if len(o.Workloads) == 0 {
		for _, w := range Workloads() {
			if (len(o.URLs) == 0 || !needsProcesses(w)) && (!needsTwo(w) || o.severalNodes() > 1) {
				o.Workloads = append(o.Workloads, w)
			}
		}
	}
	if len(o.Arms) == 0 {
		o.Arms = Arms()
		if len(o.URLs) > 0 {
			o.Arms = o.Arms[:1]
		}
	}
	if o.Duration == 0 {
		o.Duration = 3 * time.Second
		if o.Quick {
			o.Duration = time.Second
		}
	}
	if o.Repeat == 0 {
		o.Repeat = 3
		if o.Quick {
			o.Repeat = 1
		}
	}
	if o.Distribution == "" {
		o.Distribution = Uniform
	}
}

func (o *Options) checkNumbers() error {
	if o.Duration < 100*time.Millisecond || o.Duration > MaxDuration {
		return fmt.Errorf("duration %v: allowed are 100ms to %v", o.Duration, MaxDuration)
	}
	for _, list := range []struct {
		name        string
		values      []int
		least, most int
	}{
		{"repeat", []int{o.Repeat}, 1, MaxRepeat},
		{"nodes", o.Nodes, 1, MaxNodes},
		{"clients", o.Clients, 2, MaxClients},
		{"size", o.Sizes, MinSize, MaxSize},
	} {
		for _, v := range list.values {
			if v < list.least || v > list.most {
				return fmt.Errorf("%s %d: allowed are %d to %d%s", list.name, v, list.least, list.most, because(list.name))
			}
		}
	}
	for _, r := range o.Rates {
		if !(r >= 1 && r <= MaxRate) { // NaN is neither
			return fmt.Errorf("rate %g: allowed are 1 to %d messages a second", r, MaxRate)
		}
	}
	for _, s := range o.OfflineShares {
		if !(s >= 0 && s <= 0.95) {
			return fmt.Errorf("offline share %g: allowed are 0 to 0.95", s)
		}
	}
	if o.Distribution != Uniform && o.Distribution != Zipf {
		return fmt.Errorf("distribution %q: allowed are %s and %s", o.Distribution, Uniform, Zipf)
	}
	return nil
}

// because explains limits that are not round.
func because(name string) string {
	if name == "size" {
		return " bytes: a message carries its sender, receiver, number and time, and with its frame is at most 64 KiB (BEELINE_MAX_MESSAGE)"
	}
	return ""
}

func (o *Options) checkTarget() error {
	if len(o.URLs) == 0 {
		if len(o.Admins) > 0 || o.RedisURL != "" {
			return fmt.Errorf("the admin and Redis URLs are those of a cluster that runs: its nodes' URLs are missing")
		}
		return o.checkPlan()
	}
	if len(o.Arms) > 1 {
		return fmt.Errorf("a cluster that runs delivers in one way: name one arm, the cluster's BEELINE_DELIVERY")
	}
	if len(o.Nodes) > 0 {
		return fmt.Errorf("nodes: a cluster that runs has the nodes that it has; name their URLs")
	}
	if len(o.Admins) > 0 && len(o.Admins) != len(o.URLs) {
		return fmt.Errorf("%d admin URLs for %d nodes: allowed are one for each node, or none", len(o.Admins), len(o.URLs))
	}
	for _, admin := range o.Admins {
		if u, err := hostport.ParseURL(admin); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return fmt.Errorf("admin URL %q: allowed is http://host:port or https://", admin)
		}
	}
	for _, w := range o.Workloads {
		if needsProcesses(w) {
			return fmt.Errorf("workload %s needs nodes of the bench's own, and a cluster that runs was named", w)
		}
	}
	return o.checkPlan()
}

// checkPlan looks at combinations.
func (o *Options) checkPlan() error {
	for _, p := range o.plan() {
		switch {
		case needsTwo(p.Workload) && p.Nodes < 2:
			return fmt.Errorf("workload %s needs 2 nodes at least", p.Workload)
		case p.Clients < 2*p.Nodes:
			return fmt.Errorf("%d clients on %d nodes: allowed are 2 for each node at least", p.Clients, p.Nodes)
		case messages(&p) > maxMessages:
			return fmt.Errorf("workload %s: %.0f messages/s for %v are %.0f messages with those of the warm-up: allowed are %d, because the bench remembers what became of each; shorten --duration or lower --rate",
				p.Workload, p.RatePerSecond, o.Duration, messages(&p), maxMessages)
		}
	}
	return nil
}
