package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// startBench starts a bench with nodes of its own.
func startBench(t *testing.T, args ...string) *process {
	t.Helper()
	redistest.Start(t) // ends the test where no redis-server is installed
	return startProcess(t, nil, append([]string{"bench"}, args...)...)
}

// benchToItsEnd runs a bench with nodes of its own that must find nothing wrong, and
// again if it did while the machine stood still: then messages time out. It returns what
// was written, and where the report is.
func benchToItsEnd(t *testing.T, args ...string) (output, dir string) {
	t.Helper()
	for try := 1; ; try++ {
		dir = t.TempDir()
		began := time.Now()
		b := startBench(t, append(args, "--out", dir)...)
		<-b.ended
		if again := machine.Since(began) && b.code != int(exitOK) && try < 10; !again {
			output, _ = b.wantEnd(exitOK)
			return output, dir
		}
	}
}

// points reads what a bench kept.
func points(t *testing.T, dir string) (all []report.Point) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "points.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var p report.Point
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// The workloads are divided between two runs, so that all are run, and all arms.
func TestBenchDeliversEverything(t *testing.T) {
	output, dir := benchToItsEnd(t, "--nodes", "2", "--clients", "20", "--rate", "200", "--duration", "200ms", "--repeat", "1",
		"--arms", "targeted,broadcast", "--workloads", "saturation,nodes,offline,churn,storm", "--offline-share", "0.5")
	wantContains(t, output, "targeted", "broadcast", "The report is in "+dir)
	all := points(t, dir)
	if len(all) != 10 {
		t.Errorf("%d points", len(all))
	}
	for _, p := range all {
		wantGood(t, p)
		f := p.Figures
		wasted, off := 0.0, 0.0
		if p.Arm == report.Broadcast { // the sender's node may read its copy after its metrics were read
			wasted, off = 1, 0.1
		}
		if p.Workload == report.Nodes && math.Abs(f[report.Wasted]-wasted) > off {
			t.Errorf("%s wastes %v deliveries a message on two nodes", p.Arm, f[report.Wasted])
		}
		if p.Workload == report.Offline && p.Arm == report.Broadcast { // it can't know
			if f[report.OfflineReceipts] != 0 {
				t.Errorf("%v senders were told that nobody is there", f[report.OfflineReceipts])
			}
			continue
		}
		if p.Workload == report.Offline && f[report.OfflineReceipts]+f[report.Delivered] != f[report.Sent] {
			t.Errorf("%v of %v messages were for nobody, %v delivered", f[report.OfflineReceipts], f[report.Sent], f[report.Delivered])
		}
	}
}

func TestBenchDeliversEverythingInTheOtherWorkloads(t *testing.T) {
	_, dir := benchToItsEnd(t, "--nodes", "3", "--clients", "30", "--rate", "200", "--duration", "300ms", "--repeat", "1", "--size", "128",
		"--arms", "targeted,subscribe", "--workloads", "rate,clients,size,idle,kill", "--distribution", "zipf")
	all := points(t, dir)
	if len(all) != 10 {
		t.Errorf("%d points", len(all))
	}
	for _, p := range all {
		wantGood(t, p)
	}
}

// wantGood fails if a point has a fault, or not the figures that make it one.
func wantGood(t *testing.T, p report.Point) {
	t.Helper()
	f := p.Figures
	figures := []report.Figure{report.Sent, report.Delivered, report.LatencyP50, report.DeliveredPerSecond}
	switch p.Workload {
	case report.Storm:
		figures = []report.Figure{report.ConnectsPerSecond, report.ConnectP99}
	case report.Idle: // what few connections cost is not told from chance
		figures = nil
		if _, ok := f[report.RefreshRedisBytesIn]; !ok {
			t.Errorf("%s, %s: %v", p.Workload, p.Arm, f)
		}
	}
	for _, figure := range figures {
		if f[figure] <= 0 {
			t.Errorf("%s, %s: %s is %v", p.Workload, p.Arm, figure, f[figure])
		}
	}
	for _, figure := range []report.Figure{report.Lost, report.Duplicated, report.Misordered, report.Misrouted, report.Misanswered} {
		if f[figure] != 0 || len(p.Faults) > 0 {
			t.Errorf("%s, %s: %s is %v, faults %v", p.Workload, p.Arm, figure, f[figure], p.Faults)
		}
	}
}

func TestBenchDrivesAClusterThatRuns(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := serve(t, server, "n1"), serve(t, server, "n2")
	r := beeline(nil, "bench", "--url", "ws://"+n1.clients+",http://"+n2.clients, "--admin", "http://"+n1.admin+",http://"+n2.admin,
		"--redis-url", server.URL(), "--clients", "20", "--rate", "200", "--duration", "200ms", "--repeat", "1", "--workloads", "rate,churn").want(t, exitOK)
	wantContains(t, r.out, "targeted")
	wantContains(t, r.err, "2/2", "lost 0")
}

func TestBenchBreaksWhereANodeOfARunningClusterDies(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := startNode(t, server, "n1"), startNode(t, server, "n2")
	b := stays(t, nil, "bench", "--url", n1.url+","+n2.url,
		"--clients", "20", "--rate", "200", "--duration", "1m", "--repeat", "1", "--workloads", "rate")
	n2.until("all clients are connected", func() bool { return n2.metric("beeline_sessions") == "10" })
	n2.kill()
	_, errors := b.wantEnd(exitFailure)
	wantContains(t, errors, "rate, targeted, 2 nodes, 20 clients: client ", " lost its connection to node 2: ")
}

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	server := redistest.Start(t)
	n := serve(t, server, "n1")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code exitCode
		want string
	}{
		{"--arms targetted", exitUsage, `--arms "targetted" (did you mean targeted?); allowed: targeted, broadcast, subscribe`},
		{"--workloads rate,strom", exitUsage, `--workloads "strom" (did you mean storm?); allowed: rate, saturation, `},
		{"--size 20", exitUsage, "size 20: allowed are 48 to 65408 bytes"},
		{"--size 70000", exitUsage, "BEELINE_MAX_MESSAGE"},
		{"--clients 3 --nodes 2", exitUsage, "3 clients on 2 nodes: allowed are 2 for each"},
		{"--nodes 1 --workloads kill", exitUsage, "workload kill needs 2 nodes"},
		{"--nodes 1000", exitUsage, "nodes 1000: allowed are 1 to 64"},
		{"--rate 0", exitUsage, "rate 0: allowed are 1 to"},
		{"--rate NaN", exitUsage, "rate NaN: allowed are 1 to"},
		{"--rate 1000000 --duration 1h", exitUsage, "allowed are 16777216, because the bench remembers what became of each"},
		{"--offline-share NaN", exitUsage, "offline share NaN: allowed are"},
		{"--duration 1ms", exitUsage, "duration 1ms: allowed are 100ms to"},
		{"--repeat 1000", exitUsage, "repeat 1000: allowed are 1 to 100"},
		{"--distribution normal", exitUsage, `distribution "normal": allowed are uniform and zipf`},
		{"--offline-share 1.5", exitUsage, "offline share 1.5: allowed are"},
		{"--out " + file, exitUsage, "cannot write to " + file},
		{"--admin http://127.0.0.1:1", exitUsage, "its nodes' URLs are missing"},
		{"--url ws://127.0.0.1:1 --admin 127.0.0.1:2", exitUsage, `admin URL "127.0.0.1:2": allowed is http://host:port`},
		{"--url ws://127.0.0.1:1", exitFailure, "ws://127.0.0.1:1 does not answer as a beeline node"},
		{"--url http://" + n.admin + " --workloads rate", exitFailure, "does not answer as a beeline node"},
		{"--url ftp://host", exitFailure, `URL "ftp://host": allowed is ws://host:port/ws`},
		{"--url ws://" + n.clients + " --workloads nodes", exitUsage, "workload nodes needs nodes of the bench's own"},
		{"--url ws://" + n.clients + " --arms targeted,broadcast", exitUsage, "name one arm"},
		{"--url ws://" + n.clients + " --workloads rate --admin http://" + n.clients, exitFailure, "read the metrics of node 1"},
	} {
		r := beeline(nil, append([]string{"bench"}, strings.Fields(test.args)...)...).want(t, test.code)
		if !strings.Contains(r.err, test.want) {
			t.Errorf("bench %s says %q, want %q", test.args, r.err, test.want)
		}
	}
}

func TestBenchKeepsAnEarlierReportUntilItHasAnother(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "report.html")
	if err := os.WriteFile(page, []byte("of an earlier run"), 0o600); err != nil {
		t.Fatal(err)
	}
	beeline(nil, "bench", "--url", "ws://127.0.0.1:1", "--out", dir).want(t, exitFailure)
	if text, err := os.ReadFile(page); err != nil || string(text) != "of an earlier run" {
		t.Errorf("a run that could not start left the page %q, %v", text, err)
	}
}

func TestCommandLineOfAReport(t *testing.T) {
	got := commandLine([]string{"bench", "--url", "ws://a:1,ws://b:2", "--redis-url=redis://me:secret@c:3", "--out", "my report"})
	want := "beeline bench --url ws://a:1,ws://b:2 --redis-url=redis://me:xxxxx@c:3 --out 'my report'"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
