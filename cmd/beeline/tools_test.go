package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestSend(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := serve(t, server, "n1"), serve(t, server, "n2")
	bob := n2.connect("bob")
	for _, test := range []struct{ typed, stdin, data string }{
		{`{"n": 1}`, "", `{"n": 1}`},
		{"hello bob", "", `"hello bob"`},
		{"-", "[1, 2]\n", "[1, 2]"},
		{"-", "two\nlines\n", `"two\nlines"`},
	} {
		r := beelineWith(strings.NewReader(test.stdin), nil, "send", "--url", "ws://"+n1.clients+"/ws", "--from", "ann", "bob", test.typed).want(t, exitOK)
		if !strings.HasPrefix(r.out, "delivered (to bob, after ") {
			t.Errorf("output %q", r.out)
		}
		bob.wantMessage("ann", test.data)
	}
}

func TestSendTellsWhatWasNotDelivered(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1")
	r := beeline(nil, "send", "--url", "http://"+n.clients, "--from", "ann", "nobody", "hi").want(t, exitNo)
	if !strings.HasPrefix(r.out, "offline (to nobody, ") || r.err != "" {
		t.Errorf("output %q, errors %q", r.out, r.err)
	}
	r = beeline(nil, "send", "--url", "ws://"+n.clients+"/elsewhere", "--from", "ann", "nobody", "hi").want(t, exitFailure)
	wantContains(t, r.err, "connection refused: HTTP status 404: ")
	r = beeline(nil, "send", "--url", "ws://"+n.clients, "--from", "ann", "nobody", strings.Repeat("long ", 20_000)).want(t, exitFailure)
	wantContains(t, r.err, "the node closed the connection: 1009")
}

func TestSendOften(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1")
	bob := n.connect("bob")
	r := beeline(nil, "send", "--url", "ws://"+n.clients, "--from", "ann", "--json", "--count", "3", "bob", "hi").want(t, exitOK)
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("output %q, want three lines", r.out)
	}
	for _, line := range lines {
		var one sent
		if err := json.Unmarshal([]byte(line), &one); err != nil || one.To != "bob" || one.Outcome != "delivered" || one.MS <= 0 {
			t.Errorf("%s: %+v, %v", line, one, err)
		}
		bob.wantMessage("ann", `"hi"`) // none was taken for a repeat
	}
	r = beeline(nil, "send", "--url", "ws://"+n.clients, "--from", "ann", "--json", "--count", "2", "nobody", "hi").want(t, exitNo)
	if strings.Count(r.out, `"outcome":"offline"`) != 2 {
		t.Errorf("output %q", r.out)
	}
}

// Whoever listens prints what arrives, and acknowledges it: the sender sees that.
func TestListenPrintsAndAcknowledges(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1", "BEELINE_MESSAGE_TIMEOUT=3s") // for which nobody confirms
	url := "ws://" + n.clients
	listener := stays(t, nil, "listen", "--url", url, "--client", "田中 太郎", "--count", "2")
	listener.await(listener.errors, `"田中 太郎" listens on n1-`)
	r := beeline(nil, "send", "--url", url, "--from", "ann", "--confirm", "田中 太郎", `{"text": "hi"}`).want(t, exitOK)
	wantContains(t, r.out, `confirmed (to "田中 太郎", after `)
	listener.await(listener.output, `from ann: {"text":"hi"}`)
	beeline(nil, "send", "--url", url, "--from", "ann", "田中 太郎", "bye").want(t, exitOK)
	out, _ := listener.wantEnd(exitOK)
	wantContains(t, out, `from ann: "bye"`)

	deaf := stays(t, nil, "listen", "--url", url, "--client", "bob", "--json", "--no-ack")
	deaf.await(deaf.errors, "bob listens on")
	r = beeline(nil, "send", "--url", url, "--from", "ann", "--confirm", "bob", "hi").want(t, exitNo)
	wantContains(t, r.out, "delivered (to bob")
	line := deaf.await(deaf.output, "\n")
	var f struct{ Type, From, Data string }
	if err := json.Unmarshal([]byte(line), &f); err != nil || f.Type != "message" || f.From != "ann" || f.Data != "hi" {
		t.Errorf("--json prints %q: %v", line, err)
	}
	if code := deaf.end(); code != int(exitOK) {
		t.Errorf("exit code %d after an interrupt", code)
	}
}

func TestListenFailsWhenTheNodeCloses(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1")
	listener := stays(t, nil, "listen", "--url", "ws://"+n.clients, "--client", "bob")
	listener.await(listener.errors, "bob listens on")
	n.end()
	out, errs := listener.wantEnd(exitFailure)
	wantContains(t, out, "the node says bye: draining")
	wantContains(t, errs, "beeline: the node closed the connection: 1001")
}

func TestListenObeysAnInterrupt(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1")
	p := startProcess(t, nil, "listen", "--url", "ws://"+n.clients, "--client", "bob")
	p.await(p.errors, "bob listens on")
	p.signal(syscall.SIGINT)
	p.wantEnd(exitOK)
}

// What comes from Redis and from clients reaches no terminal raw.
func TestToolsQuoteWhatComesFromOutside(t *testing.T) {
	server := redistest.Start(t)
	n := serve(t, server, "n1", "BEELINE_LOG_LEVEL=debug")
	evil := "\x1b]0;owned\a\u009b2J\u202e\r\n"
	id := "n9-00000000"
	c := server.Client(t)
	key := server.Prefix + ":node:{" + id + "}"
	for _, err := range []error{
		c.HSet(t.Context(), key, "url", "http://x"+evil, "version", evil, "started", 1, "sessions", 1, "delivery", evil).Err(),
		c.PExpire(t.Context(), key, time.Hour).Err(),
		c.ZAdd(t.Context(), server.Prefix+":nodes", redis.Z{Score: float64(time.Now().UnixMilli()), Member: id}).Err(),
		c.HSet(t.Context(), server.Prefix+":addr:{bob}", id, "1").Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	listener := stays(t, nil, "listen", "--url", "ws://"+n.clients, "--client", "cid")
	listener.await(listener.errors, "listens")
	raw := stays(t, nil, "listen", "--url", "ws://"+n.clients, "--client", "cid", "--json")
	raw.await(raw.errors, "listens")
	n.connect("eve").say("cid", "{\"a\":\n\"\u009b2J\u202e\x7f\"}")
	text := listener.await(listener.output, "from eve") + raw.await(raw.output, `"eve"`)
	for _, args := range []string{"nodes", "nodes --json", "whois bob", "whois bob --json", "health --url http://" + n.admin + "/x%1b"} {
		r := beeline(n.env, strings.Fields(args)...)
		text += r.out + r.err
	}
	log, _ := n.errors.read()
	for _, c := range strings.ReplaceAll(text+log, "\n", "") {
		if quote.Unprintable(c) {
			t.Fatalf("%U was written raw:\n%q", c, text+log)
		}
	}
	wantContains(t, text, `n9-00000000`, `http://x\x1b]0;owned`, `\u009b2J`)
}

func TestSendIsRefusedAsADuplicate(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1", "BEELINE_DUPLICATES=reject")
	n.connect("ann")
	r := beeline(nil, "send", "--url", "ws://"+n.clients, "--from", "ann", "bob", "hi").want(t, exitFailure)
	wantContains(t, r.err, "duplicate")
}

func TestWhois(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := serve(t, server, "n1"), serve(t, server, "n2")
	c1, c2 := n1.connect("bob"), n2.connect("bob")
	r := beeline(n1.env, "whois", "bob").want(t, exitOK)
	wantContains(t, r.out, "NODE", c1.Node, c2.Node, "http://"+n1.clients, "http://"+n2.clients)
	var found answer
	r = beeline(n1.env, "whois", "bob", "--json").want(t, exitOK)
	if err := json.Unmarshal([]byte(r.out), &found); err != nil {
		t.Fatal(err)
	}
	if found.Address != "bob" || len(found.Owners) != 2 || found.Owners[0].ID != c1.Node || found.Owners[1].ID != c2.Node {
		t.Errorf("whois --json: %s", r.out)
	}
	r = beeline(n1.env, "whois", "nobody").want(t, exitNo)
	if r.out != "nobody owns nobody\n" || r.err != "" {
		t.Errorf("output %q, errors %q", r.out, r.err)
	}
	r = beeline(n1.env, "whois", "nobody", "--json").want(t, exitNo)
	wantContains(t, r.out, `"owners": []`)
}

// An entry of a node that died without a word is no owner.
func TestWhoisPassesDeadNodes(t *testing.T) {
	server := redistest.Start(t)
	n := serve(t, server, "n1")
	if err := server.Client(t).HSet(t.Context(), server.Prefix+":addr:{bob}", "n9-00000000", "1").Err(); err != nil {
		t.Fatal(err)
	}
	beeline(n.env, "whois", "bob").want(t, exitNo)
}

func TestNodes(t *testing.T) {
	server := redistest.Start(t)
	env := toolSettings(server)
	if r := beeline(env, "nodes").want(t, exitOK); r.out != "no live nodes\n" {
		t.Errorf("output %q", r.out)
	}
	if r := beeline(env, "nodes", "--json").want(t, exitOK); r.out != "[]\n" {
		t.Errorf("output %q", r.out)
	}
	n1, n2 := serve(t, server, "n1"), serve(t, server, "n2")
	r := beeline(env, "nodes").want(t, exitOK)
	wantContains(t, r.out, "NODE", "UP SINCE", "n1-", "n2-", "http://"+n1.clients, "http://"+n2.clients, "serving")
	var nodes []nodeView
	if err := json.Unmarshal([]byte(beeline(env, "nodes", "--json").want(t, exitOK).out), &nodes); err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 2 || nodes[0].URL != "http://"+n1.clients || nodes[0].Started.IsZero() || nodes[0].Version != versionString() {
		t.Errorf("nodes --json: %+v", nodes)
	}
}

func TestHealth(t *testing.T) {
	server := redistest.StartOwn(t)
	n := serve(t, server, "n1")
	env := []string{"BEELINE_ADMIN_LISTEN=" + n.admin}
	awaitStatus(t, "http://"+n.admin+"/readyz", 200)
	if r := beeline(env, "health").want(t, exitOK); r.out != "ready\n" {
		t.Errorf("output %q", r.out)
	}
	beeline(nil, "health", "--url", "http://"+n.admin+"/").want(t, exitOK)
	server.Kill()
	awaitStatus(t, "http://"+n.admin+"/readyz", 503)
	r := beeline(env, "health").want(t, exitFailure)
	wantContains(t, r.err, "answers 503: ")
	beeline(env, "health", "--live").want(t, exitOK)
}

// Each cause for which a node is not ready is told, in one line.
func TestHealthTellsEveryCause(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "unsubscribed: it does not hear\nfull: it holds 7 sessions\x1b[2J", http.StatusServiceUnavailable)
	}))
	defer node.Close()
	r := beeline(nil, "health", "--url", node.URL).want(t, exitFailure)
	wantContains(t, r.err, `answers 503: unsubscribed: it does not hear; full: it holds 7 sessions\x1b[2J`)
	if strings.Count(r.err, "\n") != 1 {
		t.Errorf("%q is not one line", r.err)
	}
}

func TestHealthReachesItsOwnHost(t *testing.T) {
	for listen, want := range map[string]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:9090": "127.0.0.1:9090", "[::]:9090": "[::1]:9090",
		"10.0.0.1:9090": "10.0.0.1:9090", "[::1]:9090": "[::1]:9090",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("%s is reached at %s, want %s", listen, got, want)
		}
	}
}

// Where nothing is recorded, whois does not say that nobody is there.
func TestWhoisUnderABaseline(t *testing.T) {
	n := serve(t, redistest.Start(t), "n1", "BEELINE_DELIVERY=subscribe")
	n.connect("bob")
	r := beeline(n.env, "whois", "bob").want(t, exitFailure)
	wantContains(t, r.err, "keeps no record", "subscribe")
	wantContains(t, beeline(n.env, "nodes").want(t, exitOK).out, "n1-")
}

// What a baseline can't do is refused at the start.
func TestBaselineRefusesWhatItCantDo(t *testing.T) {
	for setting, says := range map[string]string{
		"BEELINE_DUPLICATES=replace":               `duplicates "replace" under delivery broadcast`,
		"BEELINE_GRACE=1s":                         "grace 1s under delivery broadcast",
		"BEELINE_CLUSTER_KEY=" + nodeproc.NewKey(): "cluster key under delivery broadcast",
	} {
		env := append(toolSettings(redistest.Start(t)), "BEELINE_DELIVERY=broadcast", "BEELINE_LISTEN=127.0.0.1:0", "BEELINE_ADMIN_LISTEN=127.0.0.1:0", setting)
		r := beeline(env, "serve").want(t, exitFailure)
		wantContains(t, r.err, says)
	}
}
