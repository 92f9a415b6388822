package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// patience bounds every wait. It is reached only by a failure.
const patience = 30 * time.Second

// nodeProcess is one `beeline serve`.
type nodeProcess struct {
	t          *testing.T
	cmd        *exec.Cmd
	url, admin string
	log        *strings.Builder
}

// startNode runs a node of a cluster around server. Its heartbeat is short, so
// that what takes heartbeats is soon seen.
func startNode(t *testing.T, server *redistest.Server, name string, settings ...string) *nodeProcess {
	t.Helper()
	ports := freePorts(t, 2)
	n := &nodeProcess{t: t, url: "ws://" + ports[0] + "/ws", admin: "http://" + ports[1], log: new(strings.Builder)}
	n.cmd = exec.Command(os.Args[0], "serve")
	n.cmd.Env = append([]string{
		mainVariable + "=1", "PATH=" + os.Getenv("PATH"),
		"BEELINE_REDIS_URL=" + server.URL(), "BEELINE_KEY_PREFIX=" + server.Prefix, "BEELINE_NODE_NAME=" + name,
		"BEELINE_LISTEN=" + ports[0], "BEELINE_ADMIN_LISTEN=" + ports[1],
		"BEELINE_HEARTBEAT=300ms", "BEELINE_DRAIN_PERIOD=200ms",
	}, settings...)
	n.cmd.Stderr = n.log
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	n.await("it is ready", func() bool { return n.status("/readyz") == http.StatusOK })
	return n
}

func (n *nodeProcess) connect(name string) *person {
	n.t.Helper()
	return connect(n.t, n.url, name)
}

// freePorts returns addresses that nobody listens on now.
func freePorts(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after all are taken, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// kill ends the process as a crash would.
func (n *nodeProcess) kill() {
	if n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
	if n.t.Failed() && n.log.Len() > 0 {
		n.t.Logf("%s logged:\n%s", n.url, n.log)
	}
}

func (n *nodeProcess) status(path string) int {
	resp, err := http.Get(n.admin + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (n *nodeProcess) await(what string, ok func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: never: %s", n.url, what)
		}
	}
}

// metric returns the value of a series without labels.
func (n *nodeProcess) metric(name string) string {
	n.t.Helper()
	resp, err := http.Get(n.admin + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	return ""
}
