package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

func TestTooManyConnectionsAreToldWithTheLimit(t *testing.T) {
	for _, test := range []struct {
		allowed, refused error
		want             string
	}{
		{fits(824, 1024), fits(825, 1024), "825 clients: this process may open 1024 files, which is enough for 824 clients"},
		{reaches(9000, 1, 10_000), reaches(9001, 1, 10_000), "1 node for 9001 clients: this machine has 10000 ports for connections to each node"},
		{reaches(18_000, 2, 10_000), reaches(18_001, 2, 10_000), "2 nodes for 18001 clients: "},
	} {
		if test.allowed != nil {
			t.Error(test.allowed)
		}
		if test.refused == nil || !strings.Contains(test.refused.Error(), test.want) {
			t.Errorf("error %v, want %q", test.refused, test.want)
		}
	}
}

func TestMoreMessagesThanCanBeRememberedAreRefused(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Rates: []float64{100_000}, Duration: 2 * time.Minute}, ""},
		{Options{Rates: []float64{100_000}, Duration: 3 * time.Minute}, "workload rate: 100000 messages/s for 3m0s are 19004000 messages with those of the warm-up: allowed are 16777216"},
		{Options{Rates: []float64{MaxRate}, Duration: MaxDuration}, "shorten --duration or lower --rate"},
		{Options{Workloads: []report.Workload{report.Saturation}, Duration: MaxDuration}, ""},
		{Options{Clients: []int{MaxClients}, Nodes: []int{MaxNodes}, Rates: []float64{1}}, "allowed are 16777216"},
	} {
		err := test.o.checkNumbersOf()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.o, err, test.want)
		}
	}
}

// A list of nodes that begins with 1 is for the workload that grows over it; those that
// need two nodes take the next, or are not among the defaults.
func TestWorkloadsThatNeedTwoNodes(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want int // nodes of churn and kill; 0: left out
	}{
		{Options{Nodes: []int{1}}, 0},
		{Options{Nodes: []int{1, 2, 4, 8}}, 2},
		{Options{Nodes: []int{8, 4}}, 8},
		{Options{}, 4},
		{Options{Quick: true}, 3},
	} {
		if err := test.o.checkNumbersOf(); err != nil {
			t.Errorf("nodes %v: %v", test.o.Nodes, err)
			continue
		}
		found := 0
		for _, p := range test.o.plan() {
			if needsTwo(p.Workload) {
				found++
				if p.Nodes != test.want {
					t.Errorf("nodes %v: %s has %d nodes, want %d", test.o.Nodes, p.Workload, p.Nodes, test.want)
				}
			}
		}
		if (found > 0) != (test.want > 0) {
			t.Errorf("nodes %v: %d workloads need two", test.o.Nodes, found)
		}
	}
}

func TestDefaultsAreAllowed(t *testing.T) {
	for _, o := range []Options{{}, {Quick: true}, {URLs: []string{"ws://a"}}, {URLs: []string{"ws://a", "ws://b"}}} {
		if err := o.checkNumbersOf(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// checkNumbersOf is Check without this machine's limits.
func (o *Options) checkNumbersOf() error {
	o.complete()
	if err := o.checkNumbers(); err != nil {
		return err
	}
	return o.checkTarget()
}

// Each load is measured with all arms, one right after the other, and none is
// always the first.
func TestArmsAreInterleavedAndRotated(t *testing.T) {
	o := Options{Workloads: []report.Workload{report.Nodes}, Nodes: []int{2, 4}, Repeat: 3}
	o.complete()
	points := o.schedule()
	if len(points) != 2*3*3 {
		t.Fatalf("%d points", len(points))
	}
	first := map[report.Arm]int{}
	for i := 0; i < len(points); i += 3 {
		arms := map[report.Arm]bool{}
		for _, p := range points[i : i+3] {
			arms[p.Arm] = true
			if p.Nodes != points[i].Nodes || p.Repetition != points[i].Repetition {
				t.Errorf("point %+v stands beside %+v", p, points[i])
			}
		}
		if len(arms) != 3 {
			t.Errorf("the arms %v share a load", arms)
		}
		first[points[i].Arm]++
	}
	if first[report.Targeted] != 2 || first[report.Broadcast] != 2 || first[report.Subscribe] != 2 {
		t.Errorf("first are %v", first)
	}
}

func TestListsAreForTheWorkloadThatGrows(t *testing.T) {
	o := Options{Workloads: []report.Workload{report.Nodes, report.Size}, Nodes: []int{2, 8}, Sizes: []int{100, 200, 300}}
	o.complete()
	var got []string
	for _, p := range o.plan() {
		got = append(got, string(p.Workload)+":"+string(rune('0'+p.Nodes))+":"+string(rune('0'+p.MessageBytes/100)))
	}
	if all := strings.Join(got, " "); all != "nodes:2:1 nodes:8:1 size:2:1 size:2:2 size:2:3" {
		t.Errorf("planned %s", all)
	}
}

// In the growth over nodes no message stays on its node.
func TestReceiversOfTheGrowthAreApart(t *testing.T) {
	home := func(client uint32) int { return int(client) % 4 }
	for _, distribution := range []string{Uniform, Zipf} {
		d := newDraw(&report.Point{Workload: report.Nodes, Nodes: 4, Clients: 40, Distribution: distribution}, 0)
		for range 1000 {
			from := d.sender()
			if to := d.receiver(from, home); to == from || home(to) == home(from) || to >= 40 {
				t.Fatalf("%s: client %d sends to client %d", distribution, from, to)
			}
		}
	}
}

func TestShareOfTheReceiversIsOffline(t *testing.T) {
	d := newDraw(&report.Point{Workload: report.Offline, Nodes: 2, Clients: 10, OfflineShare: 0.5}, 10)
	absent := 0
	for range 10_000 {
		if d.receiver(0, nil) >= 10 {
			absent++
		}
	}
	if absent < 4500 || absent > 5500 {
		t.Errorf("%d of 10,000 receivers are offline, want half", absent)
	}
}

func TestZipfPrefersTheFirst(t *testing.T) {
	d := newDraw(&report.Point{Workload: report.Rate, Nodes: 1, Clients: 1000, Distribution: Zipf}, 0)
	counts := make([]int, 1000)
	for range 100_000 {
		counts[d.sender()]++
	}
	if counts[0] < 5*counts[10] || counts[0] > 50_000 {
		t.Errorf("client 0 sends %d, client 10 %d of 100,000", counts[0], counts[10])
	}
}
