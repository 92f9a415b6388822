package main

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// wantShow checks what a show with three nodes and targeted delivery tells.
func wantShow(t *testing.T, out string) {
	t.Helper()
	wantContains(t, out, "C1 -> C3: delivered", "C1 -> C3 again: delivered", "C1 -> C2: delivered", "C1 -> C4: offline", "nobody")
	for _, line := range []string{
		`n1  looks up who owns C3      EVALSHA lookup.lua beeline:addr:\{C3\}  ->  n3-[0-9a-f]{8}\n`,
		`n1  publishes it to n3 alone  PUBLISH beeline:ch:n3-[0-9a-f]{8}  \(\d+ bytes, heard by 1 node\)\n`,
		`n3  acknowledges to n1 alone  PUBLISH beeline:ch:n1-[0-9a-f]{8} `,
		`C3  receives it               \{"text":"Hello C3"\} over its WebSocket from n3\n`,
		`C1  has its receipt           delivered\n`,
		`\{"text":"Hello again"\}.*\n.* n1  knows who owns C3         no lookup: .*\n.* n1  publishes it to n3 alone `,
		`n1  publishes it to n2 alone `,
		`n1  looks up who owns C4  EVALSHA lookup.lua beeline:addr:\{C4\}  ->  nobody\n`,
		`C1  has its receipt       offline\n`,
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("no line matches %s in:\n%s", line, out)
		}
	}
	for _, receiver := range []string{"C2", "C3"} { // who isn't there may have to be looked up again
		if n := strings.Count(out, "EVALSHA lookup.lua beeline:addr:{"+receiver+"}"); n != 1 {
			t.Errorf("%d lookups of %s, want 1, in:\n%s", n, receiver, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colours, and it is no terminal")
	}
}

// demoOnce runs the show, and again while the machine stood still meanwhile: then messages
// time out, and are looked up once more.
func demoOnce(t *testing.T, flags ...string) (r result) {
	t.Helper()
	for range 10 {
		began := time.Now()
		r = beeline(nil, append([]string{"demo", "--once"}, flags...)...)
		if !machine.Since(began) {
			break
		}
	}
	return r.want(t, exitOK)
}

// standsStill matches what a node logs on a machine that stands still.
var standsStill = regexp.MustCompile(`msg="(?:Redis (?:still )?does not work for this node|node is not ready|registry is not settled|Redis may have lost data)`)

func TestDemoOnRedis(t *testing.T) {
	redistest.Start(t) // ends the test where no redis-server is installed
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	r := demoOnce(t)
	wantContains(t, r.out, "beeline demo: 3 nodes over redis-server ")
	wantShow(t, r.out)
	for line := range strings.Lines(r.err) {
		if !standsStill.MatchString(line) {
			t.Errorf("errors: %s", line)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoEmbedded(t *testing.T) {
	r := demoOnce(t, "--embedded")
	wantContains(t, r.out, "beeline demo: 3 nodes over an embedded Redis at ")
	wantShow(t, r.out)
}

func TestDemoShowsTheBaselines(t *testing.T) {
	r := demoOnce(t, "--embedded", "--delivery", "broadcast")
	wantContains(t, r.out, "n1  publishes it to all nodes  PUBLISH beeline:all", "heard by 3 nodes")
	r = demoOnce(t, "--embedded", "--delivery", "subscribe")
	wantContains(t, r.out, "n1  publishes it to who subscribed C3  PUBLISH beeline:client:C3", "heard by 1 node")
}

// On one node nothing is published, and so nothing is shown.
func TestDemoOnOneNode(t *testing.T) {
	r := demoOnce(t, "--embedded", "--nodes", "1")
	wantContains(t, r.out, "1 node over", "C1 -> C3: delivered")
	if strings.Contains(r.out, "PUBLISH") {
		t.Errorf("published:\n%s", r.out)
	}
}

// A person opens the page, connects as it does, and is answered.
func TestDemoStays(t *testing.T) {
	demo := stays(t, nil, "demo", "--embedded")
	out := demo.await(demo.output, "Ctrl-C ends the demo")
	urls := regexp.MustCompile(`http://127\.0\.0\.1:\d+/`).FindAllString(out, 3)
	page := fetchPage(t, urls[1])
	wantContains(t, page, "<title>beeline demo</title>", `{"self":1,"nodes":[{"name":"n1","url":"`+urls[0]+`"}`, `{"name":"C3","node":"n3"}`)
	if strings.Contains(page, string(pageMark)) {
		t.Error("the page was not filled in")
	}
	ann := connect(t, urls[1], "ann")
	ann.say("C3", `"hi"`)
	ann.wantBoth("C3", `{"text":"C3 on n3 got your message"}`)
	demo.await(demo.output, `C3 on n3 receives from ann: "hi"`)
	if code := demo.end(); code != int(exitOK) {
		t.Errorf("exit code %d", code)
	}
}

func fetchPage(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Fatalf("%s: %d, %s, %v", url, resp.StatusCode, resp.Header.Get("Content-Type"), err)
	}
	return string(body)
}

// The page must work without a network beside its node.
func TestPageLoadsNothing(t *testing.T) {
	for _, attribute := range []string{`src="`, `href="http`, "@import", "url(", "//cdn"} {
		if strings.Contains(string(pageHTML), attribute) {
			t.Errorf("the page has %q", attribute)
		}
	}
}

func TestDemoListensWhereTold(t *testing.T) {
	f := demoFlags{nodes: 3, listenBase: "8081", delivery: "targeted"}
	for base, want := range map[string]string{"8081": "127.0.0.1:8083", "0.0.0.0:9000": "0.0.0.0:9002", "": "127.0.0.1:0"} {
		f.listenBase = base
		if got, err := f.listen(2); err != nil || got != want {
			t.Errorf("the third node of %q listens on %s, %v; want %s", base, got, err, want)
		}
	}
}
