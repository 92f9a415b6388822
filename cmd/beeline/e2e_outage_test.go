package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// logEntry is a line of a node's log.
type logEntry struct {
	Level, Msg, Node, Version, Redis, Delivery, URL string
	Clients, Admin                                  string
	Error, Causes, Why, After                       any
	Client, Reason, Lasted                          any
	Sessions, Over, Took                            any
}

func (n *nodeProcess) entries() (all []logEntry) {
	n.t.Helper()
	text, _ := n.errors.read()
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // it is not whole yet
		}
		var e logEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			n.t.Fatalf("not a line of JSON: %s", line)
		}
		all = append(all, e)
	}
	return all
}

func (n *nodeProcess) logged(what func(logEntry) bool) bool {
	return slices.ContainsFunc(n.entries(), what)
}

// unready is the line about a node that was ready and is not any more.
func unready(e logEntry) bool { return e.Level == "WARN" && e.Msg == "node is not ready" }

// wantStory checks that lines with these beginnings were logged in this order, and
// returns them.
func wantStory(t *testing.T, entries []logEntry, messages ...string) (found []logEntry) {
	t.Helper()
	rest := entries
	for _, m := range messages {
		i := slices.IndexFunc(rest, func(e logEntry) bool { return strings.HasPrefix(e.Msg, m) })
		if i < 0 {
			for _, e := range entries {
				t.Logf("%-5s %s", e.Level, e.Msg)
			}
			t.Fatalf("no line %q where it belongs", m)
		}
		found, rest = append(found, rest[i]), rest[i+1:]
	}
	return found
}

// The log of an outage, from the node's start to its end, as whoever is on call reads
// it.
func TestLogTellsTheStoryOfAnOutage(t *testing.T) {
	server := redistest.StartOwn(t)
	n := startNode(t, server, "n1", "BEELINE_LOG_LEVEL=debug", "BEELINE_DRAIN_PERIOD=0s",
		"BEELINE_REDIS_URL=redis://default:secret@"+server.Addr)
	alice := n.connect("alice")
	n.await(n.errors, `"session opened"`)
	n.await(n.errors, `"node is ready"`)

	server.Kill()
	n.await(n.errors, "Redis does not work for this node")
	n.until("the log says that it is not ready", func() bool { return n.logged(unready) })
	n.until("many heartbeats failed", func() bool {
		failed, _ := strconv.Atoi(n.metric(`beeline_registry_errors_total{op="beat"}`))
		return failed >= 12
	})
	if up := n.metric("beeline_redis_up"); up != "0" {
		t.Errorf("beeline_redis_up is %s in an outage", up)
	}
	server.Restart() // without its data
	n.until("Redis is up", func() bool { return n.metric("beeline_redis_up") == "1" })
	n.until("the log says that it is ready", func() bool {
		all := n.entries()
		return slices.ContainsFunc(all[slices.IndexFunc(all, unready):], func(e logEntry) bool { return e.Msg == "node is ready" })
	})
	n.until("it is ready", func() bool { return n.status("/readyz") == http.StatusOK })

	alice.Close()
	n.await(n.errors, `"session ended"`)
	n.connect("bob")
	n.signal(syscall.SIGTERM)
	_, text := n.wantEnd(exitOK)
	entries := n.entries()

	story := wantStory(t, entries, "node starts", "node serves", "session opened",
		"Redis does not work for this node", "node is not ready", "Redis works for this node again",
		"node is ready", "session ended", "stopping", "node drains", "node has drained", "node stopped")
	wantStory(t, entries, "Redis does not work", "Redis may have lost data", "registry is settled", "node is ready")
	if took, err := time.ParseDuration(fmt.Sprint(story[5].After)); err != nil || took <= 0 {
		t.Errorf("the end of the outage does not say how long it lasted: %v", story[5].After)
	}
	start, serves, opened, lost, refuses, ended := story[0], story[1], story[2], story[3], story[4], story[7]
	if start.Version == "" || start.Delivery != "targeted" || start.Node == "" || start.Redis != "redis://"+server.Addr {
		t.Errorf("the start line lacks something: %+v", start)
	}
	if serves.Clients == "" || serves.Admin == "" || serves.URL == "" {
		t.Errorf("the line about serving lacks something: %+v", serves)
	}
	if opened.Client != "alice" || ended.Client != "alice" || ended.Reason != "client_closed" || ended.Lasted == nil {
		t.Errorf("sessions: %+v, %+v", opened, ended)
	}
	if lost.Level != "WARN" || lost.Error == nil || refuses.Level != "WARN" || refuses.Causes == nil || refuses.Why == nil {
		t.Errorf("the outage has no cause: %+v, %+v", lost, refuses)
	}
	warnings := 0
	for _, e := range entries {
		if e.Level == "WARN" || e.Level == "ERROR" {
			warnings++
		}
	}
	if warnings > 15 { // once a heartbeat would be far more
		t.Errorf("%d warnings about one outage:\n%s", warnings, text)
	}
	for _, word := range []string{"secret", "<nil>", `"error":null`} {
		if strings.Contains(text, word) {
			t.Errorf("the log contains %q:\n%s", word, text)
		}
	}
}

func TestRedisIsNamedWithoutSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"redis://user:p%40ss@host:6379/2":                        "redis://host:6379/2",
		"rediss://:p@ss@host:6379":                               "rediss://host:6379",
		"redis+sentinel://u:p@h1:26379,[::1]:26379/m/0?x=secret": "redis+sentinel://h1:26379,[::1]:26379/m/0",
		"redis://host?password=secret":                           "redis://host",
		"nothing":                                                "unnamed",
	} {
		if got := redisName(url); got != want {
			t.Errorf("redisName(%q) = %q, want %q", url, got, want)
		}
	}
}
