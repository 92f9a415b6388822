package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestReadmeListsTheSettingsAsTheyAre(t *testing.T) {
	if !strings.Contains(readFile(t, "README.md"), settingsTable()) {
		t.Errorf("README.md's table of settings is not what `beeline settings` writes:\n%s", settingsTable())
	}
}

// The demo in the README is what the demo prints, but for what differs from run to run.
func TestReadmeShowsTheDemoAsItIs(t *testing.T) {
	redistest.Start(t) // ends the test where no redis-server is installed
	shown := regexp.MustCompile("(?s)```\n(beeline demo: .*?)```").FindStringSubmatch(readFile(t, "README.md"))
	if shown == nil {
		t.Fatal("README.md shows no demo")
	}
	out := demoOnce(t).out
	if got, want := demoShape(shown[1]), demoShape(out); !slices.Equal(got, want) {
		t.Errorf("README.md's demo is not what `beeline demo --once` prints:\n%s\nIn short:\n%s\ninstead of:\n%s",
			out, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// demoShape is what is the same in each run: the lines of each message without times,
// ports and nodes' suffixes, whatever came first.
func demoShape(out string) (shape []string) {
	for _, r := range []struct{ from, to string }{
		{`(?m)^ +\d+\.\d\d ms`, "  0.00 ms"},
		{`redis-server \S+`, "redis-server 0"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:0"},
		{`(n\d)-[0-9a-f]{8}`, "$1-0"},
		{`\(\d+ bytes`, "(0 bytes"},
	} {
		out = regexp.MustCompile(r.from).ReplaceAllString(out, r.to)
	}
	for part := range strings.SplitSeq(strings.TrimSpace(out), "\n\n") {
		lines := strings.Split(part, "\n")
		slices.Sort(lines[1:]) // the first is its title
		shape = append(append(shape, ""), lines...)
	}
	return shape
}
