package router

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/router/bus"
)

func TestOnlySchemeHostAndPortOfANodesURLCount(t *testing.T) {
	for raw, want := range map[string]string{
		"http://127.0.0.1:8080":                       "http://127.0.0.1:8080/node",
		"https://[::1]:8443/":                         "https://[::1]:8443/node",
		"http://user:secret@host:80/admin?delete=1#x": "http://host:80/node",
		"http://host:80/a/../../b":                    "http://host:80/node",
		"file:///etc/passwd":                          "",
		"gopher://host:70/_":                          "",
		"//host":                                      "",
		"http://":                                     "",
		"http://:80":                                  "",
		"http://ho st":                                "",
		"":                                            "",
		"http://host\r\nX: y":                         "",
	} {
		if got, err := identityURL(raw); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", raw, got, err, want)
		}
	}
}

// What stands in a lease may be anybody's.
func TestAnswerAtANodesURLLeadsNowhere(t *testing.T) {
	n := newRelaxedCluster(t, 2).node(0)
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		io.WriteString(w, `{"node":"another"}`)
	}))
	t.Cleanup(other.Close)
	t.Setenv("HTTP_PROXY", other.URL)
	answers := map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"a redirect that names a node": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
			io.WriteString(w, `{"node":"another"}`)
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, `{"node":"another"}`)
		},
		"an endless body": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, `{"x":"`+strings.Repeat("x", 64<<10)); err != nil {
					return
				}
			}
		},
		"an endless head": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxIdentityHead))
			io.WriteString(w, `{"node":"another"}`)
		},
	}
	for name, answer := range answers {
		s := httptest.NewServer(answer)
		if n.goneFrom(t.Context(), s.URL+"/admin?delete=1", "n9") {
			t.Errorf("%s proves that the node is gone", name)
		}
		s.Close()
	}
	if elsewhere.Load() > 0 {
		t.Error("somebody else was asked")
	}
	if !n.goneFrom(t.Context(), other.URL+"/admin", "n9") {
		t.Error("another node at the address does not prove that the node is gone")
	}
}

// Nobody waits for who says nothing.
func TestSilenceAtANodesURLEndsSoonAndProvesNothing(t *testing.T) {
	n := newRelaxedCluster(t, 2).node(0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan bool)
	go func() { asked <- n.goneFrom(t.Context(), "http://"+l.Addr().String(), "n9") }()
	select {
	case gone := <-asked:
		if gone {
			t.Error("silence proves that the node is gone")
		}
	case <-time.After(patience):
		t.Fatal("the question never ends")
	}
}

// A process that stands still takes a connection and says nothing. When it is killed that
// connection breaks, which alone proves nothing, and the next one is refused.
func TestDeathOfAProcessThatStoodStillIsKnownWhenItsConnectionBreaks(t *testing.T) {
	n := newRelaxedCluster(t, 2).node(0)
	frozen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		conn, err := frozen.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Read(make([]byte, 1)) // the question has come
		_ = frozen.Close()
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}()
	if !n.goneFrom(t.Context(), "http://"+frozen.Addr().String(), "n9") {
		t.Error("it is not known")
	}
}

// askedProber counts how often it is asked who is at an address.
type askedProber struct {
	Prober
	asked *atomic.Int32
}

func (p askedProber) NodeAt(ctx context.Context, url string) (string, error) {
	p.asked.Add(1)
	return p.Prober.NodeAt(ctx, url)
}

// A connection that publishes may lead to a former master for a while, and the probes' to the
// present one. Then a peer is found each time and suspect again at once: it is not to be probed
// without a pause.
func TestPeerThatOnlyProbesReachIsProbedNowAndThen(t *testing.T) {
	var asked atomic.Int32
	c := newCluster(t, 2, func(o *Options) {
		if o.NodeID == "n0" {
			on := new(atomic.Bool)
			on.Store(true)
			o.Prober = askedProber{newProber(), &asked}
			o.intercept = func(conn bus.Conn) bus.Conn {
				return &faultyConn{conn, on, new(atomic.Int32), func(next func([]byte) (int, error), b []byte) (int, error) {
					return next(bytes.ReplaceAll(b, []byte(":ch:n1"), []byte(":ch:xx")))
				}}
			}
		}
	})
	n := c.node(0)
	c.node(1).connect("bob")
	const times, atLeast = 30, 20 * lastProbeDelay
	began := time.Now()
	n.sendTo("bob", "1")
	until(t, "it was probed often", func() bool { return asked.Load() >= times })
	if took := time.Since(began); took < atLeast {
		t.Errorf("it was probed for %d times in %v, want at least %v", times, took, atLeast)
	}
}
