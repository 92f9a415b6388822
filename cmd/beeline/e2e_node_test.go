package main

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// patience bounds every wait. It is reached only by a failure.
const patience = 2 * time.Minute

const shortHeartbeat = 300 * time.Millisecond

// nodeProcess is one `beeline serve`.
type nodeProcess struct {
	*process
	url, admin string
}

// startNode runs a node of a cluster around server. Its heartbeat is short, so
// that what takes heartbeats is soon seen; nothing else ends on a machine that stands
// still.
func startNode(t *testing.T, server *redistest.Server, name string, settings ...string) *nodeProcess {
	t.Helper()
	all := append(nodeSettings(server, name), "BEELINE_HEARTBEAT="+shortHeartbeat.String(), "BEELINE_DRAIN_PERIOD=200ms",
		"BEELINE_MESSAGE_TIMEOUT="+patience.String(), "BEELINE_HANDSHAKE_TIMEOUT="+patience.String())
	n := &nodeProcess{process: startProcess(t, append(all, settings...), "serve")}
	t.Cleanup(func() {
		if log, _ := n.errors.read(); t.Failed() && log != "" {
			t.Logf("%s logged:\n%s", name, log)
		}
	})
	clients, admin := servedAt(t, n.await(n.errors, "node serves"))
	n.url, n.admin = "ws://"+clients+"/ws", "http://"+admin
	n.until("it is ready", func() bool { return n.status("/readyz") == http.StatusOK })
	return n
}

func (n *nodeProcess) connect(name string) *person {
	n.t.Helper()
	return connect(n.t, n.url, name)
}

func (n *nodeProcess) status(path string) int {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	status, _, err := get(ctx, n.admin+path)
	if err != nil {
		return 0
	}
	return status
}

func (n *nodeProcess) until(what string, ok func() bool) {
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
	client := http.Client{Timeout: patience}
	resp, err := client.Get(n.admin + "/metrics")
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
