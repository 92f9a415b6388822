package node

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

// readiness is a node that is asked whether it is ready, and given newcomers.
type readiness struct {
	*Node
	t     *testing.T
	redis *redistest.Server
	c     *redis.Client
}

// readyz returns whether /readyz says ready, and what it says.
func (n *readiness) readyz() (bool, string) {
	n.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + n.AdminAddr() + "/readyz")
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Body.Close()
	body, _ := io.ReadAll(r.Body)
	return r.StatusCode == http.StatusOK, string(body)
}

// welcomes reports whether a newcomer is welcomed.
func (n *readiness) welcomes() bool {
	n.t.Helper()
	conn := dial(n.t, n.Addr())
	defer conn.Close()
	io.WriteString(conn, upgradeHead("/ws?client=newcomer-"+randomHex(8)))
	answer := make([]byte, 1024)
	k, _ := conn.Read(answer)
	return strings.HasPrefix(string(answer[:k]), "HTTP/1.1 101 ")
}

// wantReady awaits that /readyz says so, or, with causes, that it names one of them, and
// holds what newcomers find against all that it says meanwhile: the same before and
// after one. That they differ once, or twice, proves nothing: the machine may have stood
// still for longer than a handshake or a lease lasts.
func (n *readiness) wantReady(in string, causes ...router.Cause) {
	n.t.Helper()
	differ := 0 // in succession
	eventually(n.t, in+": it says what is the case", func() bool {
		before, text := n.readyz()
		welcomed := n.welcomes()
		after, textAfter := n.readyz()
		if before != after || text != textAfter {
			return false // it changed meanwhile
		}
		if before != welcomed {
			if differ++; differ == 3 {
				n.t.Fatalf("%s: /readyz says %q, and a newcomer is welcomed: %v", in, text, welcomed)
			}
			return false
		}
		differ = 0
		if len(causes) == 0 {
			return before
		}
		for _, cause := range causes {
			if strings.Contains(text, string(cause)+": ") {
				return true
			}
		}
		return false
	})
}

func (n *readiness) do(args ...any) {
	n.t.Helper()
	if err := n.c.Do(n.t.Context(), args...).Err(); err != nil {
		n.t.Fatalf("%v: %v", args, err)
	}
}

// Every state that keeps newcomers out, and the way back.
func TestReadyMeansThatANewcomerIsWelcomed(t *testing.T) {
	states := map[string]struct {
		options func(*Options)
		begin   func(*readiness)
		causes  []router.Cause // none: it stays ready
		end     func(*readiness)
	}{
		"full": {
			options: func(o *Options) { o.MaxSessions = 1 },
			begin:   func(n *readiness) { connect(n.t, n.Addr(), "only") },
			causes:  []router.Cause{causeFull},
		},
		"draining": {
			begin:  func(n *readiness) { n.draining.Store(true) },
			causes: []router.Cause{causeDraining},
			end:    func(n *readiness) { n.draining.Store(false) },
		},
		"Redis gone": {
			begin:  func(n *readiness) { n.redis.Kill() },
			causes: []router.Cause{router.CauseLeaseExpired, router.CauseUnsubscribed},
			end:    func(n *readiness) { n.redis.Restart() },
		},
		"Redis back and empty": { // what was there is waited for longer than for a newcomer
			options: func(o *Options) { o.Heartbeat = 4 * time.Second },
			begin:   func(n *readiness) { n.redis.Restart() },
			causes:  []router.Cause{router.CauseUnsettled},
			end:     func(*readiness) {},
		},
		"a replica": {
			begin:  func(n *readiness) { replicaOf(n.t, n.redis, "127.0.0.1", "1") },
			causes: []router.Cause{router.CauseLeaseExpired, router.CauseRegistry},
			end:    func(n *readiness) { replicaOf(n.t, n.redis, "NO", "ONE") },
		},
		"out of memory": {
			begin:  func(n *readiness) { n.do("config", "set", "maxmemory", "1") },
			causes: []router.Cause{router.CauseRegistry},
			end:    func(n *readiness) { n.do("config", "set", "maxmemory", "0") },
		},
		"no rights on addresses": {
			begin: func(n *readiness) {
				n.do("acl", "setuser", "default", "resetkeys", "~"+n.redis.Prefix+":node*", "~"+n.redis.Prefix+":epoch*")
			},
			causes: []router.Cause{router.CauseRegistry},
			end:    func(n *readiness) { n.do("acl", "setuser", "default", "allkeys") },
		},
		"no subscriptions": {
			begin: func(n *readiness) {
				n.do("acl", "setuser", "default", "-subscribe")
				n.do("client", "kill", "type", "pubsub")
			},
			causes: []router.Cause{router.CauseUnsubscribed},
			end:    func(n *readiness) { n.do("acl", "setuser", "default", "+subscribe") },
		},
		"nothing can be published": {
			begin: func(n *readiness) {
				n.do("config", "set", "maxclients", "1")
				eventually(n.t, "its publisher is cut off", func() bool {
					list, err := n.c.ClientList(n.t.Context()).Result()
					if err != nil {
						n.t.Fatal(err)
					}
					for line := range strings.Lines(list) {
						if id, ok := publisherIn(line); ok {
							n.do("client", "kill", "id", id)
							return true
						}
					}
					return false
				})
			},
			causes: []router.Cause{router.CausePublishBlocked},
			end:    func(n *readiness) { n.do("config", "set", "maxclients", "10000") },
		},
		"another delivery on a node that was there before": {
			options: func(o *Options) { o.Delivery, o.Heartbeat = router.Subscribe, 2*time.Second },
			begin:   func(*readiness) {},
			causes:  []router.Cause{router.CauseSettings},
		},
		"keys that are not beeline's": {
			begin: func(n *readiness) {
				n.do("set", n.redis.Prefix+":nodes", "x")
				n.do("set", n.redis.Prefix+":addr:{held}", "x")
				n.do("set", n.redis.Prefix+":addr:{newcomer}", "x")
				n.do("set", n.redis.Prefix+":epoch:{0}", "x")
				n.do("set", n.redis.Prefix+":node:{"+n.id+"}", "x")
			},
			end: func(*readiness) {},
		},
		"junk among the nodes": {
			begin: func(n *readiness) {
				members := []any{"zadd", n.redis.Prefix + ":nodes"}
				for i := range 20_000 {
					members = append(members, time.Now().Add(time.Hour).UnixMilli(), "junk"+strings.Repeat("x", i%50)+randomHex(4))
				}
				n.do(members...)
				n.do("hset", n.redis.Prefix+":node:{junk}", "started", "1", "since", "1", "delivery", "broadcast")
				n.do("zadd", n.redis.Prefix+":nodes", time.Now().UnixMilli(), "junk")
			},
			end: func(*readiness) {},
		},
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.StartOwn(t)
			server.AwaitUptime()
			if strings.HasPrefix(name, "another delivery") {
				startWhole(t, server, "before", nil)
			}
			n := &readiness{t: t, redis: server, c: server.Client(t)}
			if err := n.c.Ping(t.Context()).Err(); err != nil { // a connection before maxclients is low
				t.Fatal(err)
			}
			n.Node = startWhole(t, server, "a", func(o *Options) {
				o.Heartbeat, o.HandshakeTimeout = time.Second, 3*time.Second
				if state.options != nil {
					state.options(o)
				}
			})
			if len(state.causes) == 0 || state.end != nil {
				n.wantReady("at first")
				connect(t, n.Addr(), "held")
			}
			state.begin(n)
			n.wantReady(name, state.causes...)
			if state.end != nil {
				state.end(n)
				n.wantReady("after " + name)
			}
		})
	}
}

// publisherIn returns the ID of a connection that only publishes, in a line of CLIENT LIST.
func publisherIn(line string) (id string, ok bool) {
	for field := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "id":
			id = value
		case "resp":
			ok = value == "2"
		case "sub":
			if value != "0" {
				return "", false
			}
		}
	}
	return id, ok
}
