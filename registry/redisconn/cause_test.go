package redisconn

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// broken makes a client of a Redis that some fault keeps a node from.
func broken(t *testing.T, c Connector, url string) *testClient {
	t.Helper()
	client, err := c.Connect(url)
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return newTestClient(client)
}

// beat writes, and reports what became of it, as a router does with a heartbeat.
func (c *testClient) beat(t *testing.T) error {
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	err := c.write(ctx)
	if err != nil {
		c.Failed(Beating, err)
	} else {
		c.Works(Beating)
	}
	return err
}

// lookUp runs a script that reads.
func (c *testClient) lookUp(t *testing.T) error {
	return c.Run(t.Context(), []*Call{readScript.Call([]string{"beeline:addr:{alice}"})})
}

// wantAdvice asserts that a failing heartbeat is logged once, with words that name what
// to look at.
func wantAdvice(t *testing.T, connector Connector, url string, words ...string) {
	t.Helper()
	c := broken(t, connector, url)
	for range 2 {
		if err := c.beat(t); err == nil {
			t.Fatal("the heartbeat succeeds")
		}
	}
	got := c.book.String()
	if strings.Count(got, "level=WARN") != 1 {
		t.Errorf("logged:\n%swant one warning", got)
	}
	for _, word := range append(words, "advice=") {
		if !strings.Contains(got, word) {
			t.Errorf("logged:\n%swant %q in it", got, word)
		}
	}
}

func TestCausesNameTheSettingToLookAt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	own := func(t *testing.T, args ...string) (*redistest.Server, *redis.Client) {
		s := redistest.StartOwn(t, args...)
		return s, s.Client(t)
	}
	for name, test := range map[string]func(t *testing.T){
		"no password": func(t *testing.T) {
			s, admin := own(t)
			must(t, admin.ConfigSet(ctx, "requirepass", "secret").Err())
			wantAdvice(t, Connector{}, s.URL(), "NOAUTH", "BEELINE_REDIS_URL")
		},
		"wrong password": func(t *testing.T) {
			s, admin := own(t)
			must(t, admin.ConfigSet(ctx, "requirepass", "secret").Err())
			wantAdvice(t, Connector{}, "redis://:secret%0A@"+s.Addr, "WRONGPASS", "BEELINE_REDIS_URL", "%0A")
		},
		"no right to a command": func(t *testing.T) {
			s, admin := own(t)
			must(t, admin.Do(ctx, "ACL", "SETUSER", "bee", "on", ">honey", "~*", "&*", "+@all", "-evalsha").Err())
			wantAdvice(t, Connector{}, "redis://bee:honey@"+s.Addr, "NOPERM", "evalsha", "docs/redis.md")
		},
		"no right to a key": func(t *testing.T) {
			s, admin := own(t)
			must(t, admin.Do(ctx, "ACL", "SETUSER", "bee", "on", ">honey", "~other:*", "&*", "+@all").Err())
			wantAdvice(t, Connector{}, "redis://bee:honey@"+s.Addr, "NOPERM", "~beeline:*", "docs/redis.md")
		},
		"too many connections": func(t *testing.T) {
			s, admin := own(t, "--maxclients", "1")
			must(t, admin.Ping(ctx).Err()) // takes the only one
			wantAdvice(t, Connector{}, s.URL(), "max number of clients", "maxclients")
		},
		"a Cluster by the URL of one server": func(t *testing.T) {
			c := redistest.StartCluster(t)
			for _, addr := range c.Addrs[:2] { // what one of them serves itself would work
				wantAdvice(t, Connector{}, "redis://"+addr, "redis+cluster://")
			}
		},
		"one server by the URL of a Cluster": func(t *testing.T) {
			wantAdvice(t, Connector{}, "redis+cluster://"+redistest.Start(t).Addr, "BEELINE_REDIS_URL must begin with redis://")
		},
		"a Cluster that tells no addresses": func(t *testing.T) {
			c := redistest.StartOwnCluster(t)
			for _, s := range c.Servers {
				must(t, s.Client(t).ConfigSet(ctx, "cluster-preferred-endpoint-type", "hostname").Err())
			}
			wantAdvice(t, Connector{}, c.URL(), "cluster-preferred-endpoint-type")
		},
		"a Cluster behind unknown endpoints": func(t *testing.T) {
			c := redistest.StartOwnCluster(t)
			for _, s := range c.Servers {
				must(t, s.Client(t).ConfigSet(ctx, "cluster-preferred-endpoint-type", "unknown-endpoint").Err())
			}
			wantAdvice(t, Connector{}, c.URL(), "cluster-preferred-endpoint-type")
		},
		"a replica": func(t *testing.T) {
			s, admin := own(t)
			must(t, admin.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err())
			wantAdvice(t, Connector{}, s.URL(), "READONLY", "leads to a replica")
		},
		"no memory": func(t *testing.T) {
			s, admin := own(t)
			must(t, admin.ConfigSet(ctx, "maxmemory", "1").Err())
			wantAdvice(t, Connector{}, s.URL(), "OOM", "maxmemory")
		},
		"no disk": func(t *testing.T) {
			s, admin := own(t, "--save", "3600 1")
			must(t, admin.ConfigSet(ctx, "stop-writes-on-bgsave-error", "yes").Err())
			must(t, admin.Do(ctx, "CONFIG", "SET", "rdb-key-save-delay", "0").Err())
			must(t, admin.Set(ctx, "key", "value", 0).Err())
			s.FailSaves()
			wantAdvice(t, Connector{}, s.URL(), "MISCONF", "stop-writes-on-bgsave-error")
		},
		"no such database": func(t *testing.T) {
			wantAdvice(t, Connector{}, redistest.Start(t).URL()+"/99", "BEELINE_REDIS_URL")
		},
		"nobody listens": func(t *testing.T) {
			addr := redistest.FreeAddr(t)
			wantAdvice(t, Connector{}, "redis://"+addr, addr, "refused", "BEELINE_REDIS_URL")
		},
		"no such name": func(t *testing.T) {
			wantAdvice(t, Connector{Resolver: notFound{}}, "redis://redis.example", "redis.example", "no name server knows")
		},
		"no such master": func(t *testing.T) {
			s := redistest.StartSentinel(t)
			wantAdvice(t, Connector{}, "redis+sentinel://"+s.Addr+"/another", s.Addr, "redis+sentinel://host:26379/MASTER/0")
		},
		"TLS where there is none": func(t *testing.T) {
			wantAdvice(t, Connector{}, "rediss://"+redistest.Start(t).Addr+"?dial_timeout=100ms&max_retries=-1", "BEELINE_REDIS_URL must begin with redis://")
		},
		"an unknown authority": func(t *testing.T) {
			s := startTLS(t, "127.0.0.1")
			wantAdvice(t, Connector{}, "rediss://"+s.TLSAddr, "BEELINE_REDIS_CA_FILE")
		},
		"a certificate for another name": func(t *testing.T) {
			s := startTLS(t, "redis.internal")
			wantAdvice(t, Connector{TLS: s.files}, "rediss://"+s.TLSAddr, "BEELINE_REDIS_SERVER_NAME")
		},
		"no certificate": func(t *testing.T) {
			s := startTLS(t, "127.0.0.1")
			wantAdvice(t, Connector{TLS: TLSFiles{CA: s.files.CA}}, "rediss://"+s.TLSAddr, "BEELINE_REDIS_CERT_FILE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// notFound resolves nothing.
type notFound struct{}

func (notFound) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// The log says which address does not answer, not only that something took too long.
func TestAddressThatDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	addr := hanging(t)
	c := broken(t, Connector{}, "redis://"+addr+"?dial_timeout=50ms&read_timeout=50ms&max_retries=-1")
	if err := c.beat(t); err == nil {
		t.Fatal("the heartbeat succeeds")
	}
	if got := c.book.String(); !strings.Contains(got, addr) || !strings.Contains(got, "does not answer") {
		t.Errorf("logged:\n%swant the address and that it does not answer", got)
	}
}

// Heartbeats work, and lookups are not allowed: that is told, once, and its end, too.
func TestRefusedCommandIsToldWhileHeartbeatsWork(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	admin := s.Client(t)
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "bee", "on", ">honey", "~*", "&*", "+@all", "-hgetall").Err())
	c := broken(t, Connector{}, "redis://bee:honey@"+s.Addr)
	for range 3 {
		must(t, c.beat(t))
		if c.lookUp(t) == nil {
			t.Error("the lookup succeeds")
		}
	}
	if got := c.book.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "lookup.lua") || !strings.Contains(got, "docs/redis.md") || !strings.Contains(got, "level=WARN") {
		t.Errorf("logged:\n%swant one warning about lookups", got)
	}
	must(t, admin.Do(t.Context(), "ACL", "SETUSER", "bee", "+hgetall").Err())
	must(t, c.lookUp(t))
	if got := c.book.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "works for this node again") {
		t.Errorf("logged:\n%swant that it works again", got)
	}
}

// A server that is no Sentinel, and a socket that does not exist, are told as what they
// are, and once.
func TestWrongPlacesAreToldAsWhatTheyAre(t *testing.T) {
	server := redistest.Start(t)
	for url, want := range map[string]string{
		"redis+sentinel://" + server.Addr + "/main": "the server is no Sentinel",
		"unix://" + t.TempDir() + "/none.sock?db=0": "there is no such socket",
	} {
		c := broken(t, Connector{}, url)
		if c.beat(t) == nil {
			t.Errorf("%s: a heartbeat succeeded", url)
		}
		if log := c.book.String(); !strings.Contains(log, want) {
			t.Errorf("%s: logged %q, want %q", url, log, want)
		}
	}
}

// A server that is reached and does not answer, or refuses, is named.
func TestConnectionOfNoUseNamesItsServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	server := redistest.Start(t)
	for address, url := range map[string]string{
		silent.Addr().String(): "redis://" + silent.Addr().String() + "?read_timeout=100ms&max_retries=-1",
		server.Addr:            "redis://somebody:wrong@" + server.Addr,
	} {
		c := broken(t, Connector{}, url)
		if conn, err := c.Dial(t.Context(), ""); err == nil {
			t.Errorf("%s: a connection", url)
			_ = conn.Close()
		} else if !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
