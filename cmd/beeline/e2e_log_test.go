package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// pipeProcess is a node whose standard error is a pipe of the test's.
type pipeProcess struct {
	*process
	server *redistest.Server
	reader *os.File // nil once closed
}

// startOnPipe starts a node that writes its whole log into a pipe which is full
// already, and which nobody reads.
func startOnPipe(t *testing.T, server *redistest.Server) *pipeProcess {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fill(t, writer)
	p := &pipeProcess{
		process: &process{background: &background{t: t, ended: make(chan struct{}), output: newTail(), errors: newTail()}},
		server:  server, reader: reader,
	}
	cmd := exec.Command(os.Args[0], "serve")
	cmd.Env = childEnv(t, append([]string{"BEELINE_LOG_LEVEL=debug",
		"BEELINE_HEARTBEAT=" + shortHeartbeat.String(), "BEELINE_DRAIN_PERIOD=200ms",
		"BEELINE_MESSAGE_TIMEOUT=" + patience.String(), "BEELINE_HANDSHAKE_TIMEOUT=" + patience.String()}, nodeSettings(server, "n1")...)...)
	cmd.Stderr = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	p.Process = cmd.Process
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its exit code is looked at
		p.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { p.kill(); p.closeReader() })
	return p
}

func (p *pipeProcess) closeReader() {
	if p.reader != nil {
		p.reader.Close()
		p.reader = nil
	}
}

// fill writes into a pipe until it takes no more, and has writes to it wait again.
func fill(t *testing.T, pipe *os.File) {
	t.Helper()
	raw, err := pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		page := []byte(strings.Repeat("x", 4095) + "\n")
		var full error
		for full == nil {
			_, full = syscall.Write(int(fd), page)
		}
		if !errors.Is(full, syscall.EAGAIN) {
			t.Errorf("fill the pipe: %v", full)
		}
		if err := syscall.SetNonblock(int(fd), false); err != nil { // the child shares the description
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// url asks the registry where the node is: its log can't be read.
func (p *pipeProcess) url() string {
	p.t.Helper()
	var nodes []nodeView
	until(p.t, "the node is listed", func() bool {
		r := beeline(toolSettings(p.server), "nodes", "--json").want(p.t, exitOK)
		if err := json.Unmarshal([]byte(r.out), &nodes); err != nil {
			p.t.Fatal(err)
		}
		return len(nodes) == 1
	})
	return nodes[0].URL
}

// wantService checks that the node welcomes clients and delivers, and logs
// meanwhile: each refused connection is a line at level debug.
func (p *pipeProcess) wantService(name string) {
	p.t.Helper()
	url := p.url()
	for range 20 {
		if status, _, err := get(p.t.Context(), url+"/ws"); err != nil || status != http.StatusUpgradeRequired {
			p.t.Fatalf("GET /ws: %d, %v", status, err)
		}
	}
	one, two := connect(p.t, url, name+"1"), connect(p.t, url, name+"2")
	one.wantOutcome(two.Name, `"hi"`, "delivered")
	two.wantMessage(one.Name, `"hi"`)
}

// until waits for what must happen at some time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestNodeServesAndStopsWhileNobodyReadsItsLog(t *testing.T) {
	p := startOnPipe(t, redistest.Start(t))
	p.wantService("ann")
	p.signal(syscall.SIGTERM)
	p.wantEnd(exitOK)
}

func TestNodeSurvivesTheReaderOfItsLog(t *testing.T) {
	p := startOnPipe(t, redistest.Start(t))
	p.wantService("ann")
	p.closeReader()
	p.wantService("bob")
	p.signal(syscall.SIGTERM)
	p.wantEnd(exitOK) // it has drained: SIGPIPE would have ended it by a signal
}

func TestHangupIsLoggedAndStopsNoNode(t *testing.T) {
	n := startNode(t, redistest.Start(t), "n1")
	alice := n.connect("alice")
	n.signal(syscall.SIGHUP)
	n.await(n.errors, "SIGHUP ignored")
	n.connect("bob").wantOutcome(alice.Name, `"hi"`, "delivered")
	n.signal(syscall.SIGTERM)
	_, log := n.wantEnd(exitOK)
	wantContains(t, log, `"msg":"stopping"`, fmt.Sprintf(`"signal":%q`, syscall.SIGTERM))
}
