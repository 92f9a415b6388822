package redisconn

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestConnectToOne(t *testing.T) {
	t.Parallel()
	for rawURL, want := range map[string]redis.Options{
		"redis://h":                             {Network: "tcp", Addr: "h:6379"},
		"redis://user:p%40ss@h:1/3":             {Network: "tcp", Addr: "h:1", Username: "user", Password: "p@ss", DB: 3},
		"redis://[::1]:1":                       {Network: "tcp", Addr: "[::1]:1"},
		"redis://fd00::7:1":                     {Network: "tcp", Addr: "[fd00::7]:1"},
		"redis://::1/2":                         {Network: "tcp", Addr: "[::1]:6379", DB: 2},
		"rediss://h:1":                          {Network: "tcp", Addr: "h:1"},
		"unix://user:pass@/tmp/redis.sock?db=2": {Network: "unix", Addr: "/tmp/redis.sock", Username: "user", Password: "pass", DB: 2},
	} {
		client, err := Connect(rawURL)
		must(t, err)
		got := client.(*redis.Client).Options()
		if got.Network != want.Network || got.Addr != want.Addr || got.Username != want.Username ||
			got.Password != want.Password || got.DB != want.DB || (got.TLSConfig != nil) != strings.HasPrefix(rawURL, "rediss") {
			t.Errorf("%s: %+v", rawURL, got)
		}
		if !got.ContextTimeoutEnabled || got.DialTimeout != dialTimeout || got.ReadTimeout != ioTimeout || got.WriteTimeout != ioTimeout {
			t.Errorf("%s: timeouts %v %v %v", rawURL, got.DialTimeout, got.ReadTimeout, got.WriteTimeout)
		}
		must(t, client.Close())
	}
	client, err := Connect("redis://h?read_timeout=1s&pool_size=3")
	must(t, err)
	if o := client.(*redis.Client).Options(); o.ReadTimeout != 1e9 || o.PoolSize != 3 {
		t.Errorf("parameters: %v, %d", o.ReadTimeout, o.PoolSize)
	}
	must(t, client.Close())
}

func TestConnectToSentinels(t *testing.T) {
	t.Parallel()
	got, watch, err := sentinelOptions("rediss", "user:p%2Fss@h1,h2:1,[::1],::1,fd00::7:1/mymaster/2?sentinel_username=su&sentinel_password=s%40p&pool_size=3")
	must(t, err)
	if !slices.Equal(watch.addrs, []string{"h1:26379", "h2:1", "[::1]:26379", "[::1]:26379", "[fd00::7]:1"}) {
		t.Errorf("addresses: %v", watch.addrs)
	}
	if watch.master != "mymaster" || got.DB != 2 || got.Username != "user" || got.Password != "p/ss" || got.PoolSize != 3 ||
		watch.options.Username != "su" || watch.options.Password != "s@p" || got.TLSConfig == nil {
		t.Errorf("options: %+v, %+v", got, watch)
	}
	got, watch, err = sentinelOptions("redis", "h1/mymaster")
	must(t, err)
	if got.Username+got.Password+watch.options.Username+watch.options.Password != "" || got.TLSConfig != nil {
		t.Errorf("options: %+v, %+v", got, watch)
	}
}

func TestConnectToCluster(t *testing.T) {
	t.Parallel()
	client, err := Connect("rediss+cluster://user:pass@h1:7000,h2:7001,h3?pool_size=7")
	must(t, err)
	got := client.(*redis.ClusterClient).Options()
	if !slices.Equal(got.Addrs, []string{"h1:7000", "h2:7001", "h3:6379"}) {
		t.Errorf("addresses: %v", got.Addrs)
	}
	if got.Username != "user" || got.Password != "pass" || got.PoolSize != 7 || got.TLSConfig == nil || got.TLSConfig.ServerName != "" {
		t.Errorf("options: %+v", got)
	}
	if got.ClusterStateReloadInterval != slotsEvery {
		t.Errorf("it asks for the slots every %v, want every %v", got.ClusterStateReloadInterval, slotsEvery)
	}
	must(t, client.Close())
}

// A number that no client can work with is an error, not a panic or a node that waits
// without end.
func TestNumbersInARedisURLHaveLimits(t *testing.T) {
	t.Parallel()
	for _, tail := range []string{
		"pool_size=-5", "pool_size=9999999999", "min_idle_conns=-1", "max_active_conns=-1", "max_retries=-2",
		"pipeline_pool_size=-2", "pipeline_read_buffer_size=-1", "dial_timeout=0", "dial_timeout=1ns", "read_timeout=-1",
		"write_timeout=-3s", "pool_timeout=99999999999", "read_timeout=2000h",
	} {
		for _, base := range []string{"redis://h", "redis+sentinel://h/m", "redis+cluster://h", "unix:///s"} {
			client, err := Connect(base + "?" + tail)
			if err == nil {
				t.Errorf("%s?%s: no error", base, tail)
				_ = client.Close()
				continue
			}
			if name, _, _ := strings.Cut(tail, "="); !strings.Contains(err.Error(), "its "+name+" is ") || !strings.Contains(err.Error(), "allowed: ") {
				t.Errorf("%s?%s: %v", base, tail, err)
			}
		}
	}
	for _, rawURL := range []string{"redis://h/-1", "redis+sentinel://h/m/-1", "unix:///s?db=-1"} {
		if client, err := Connect(rawURL); err == nil {
			t.Errorf("%s: no error", rawURL)
			_ = client.Close()
		}
	}
	for _, tail := range []string{"pool_size=20", "max_retries=-1", "read_timeout=10", "dial_timeout=500ms", "pipeline_pool_size=-1"} {
		client, err := Connect("redis://h/0?" + tail)
		if err != nil {
			t.Errorf("%s: %v", tail, err)
			continue
		}
		_ = client.Close()
	}
}

func TestConnectErrorsKeepTheSecret(t *testing.T) {
	t.Parallel()
	for _, rawURL := range []string{
		"", "localhost:6379", "http://user:secret@h", "redis://user:se/cret@h", "redis://user:secret@h:port", "redis://:12/secret@h",
		"redis://user:secret@h/zero", "redis://user:secret@h?unknown=1", "redis://h/1/2", "unix://user:secret@",
		"redis+sentinel://user:secret@h", "redis+sentinel://user:secret@h,/m", "redis+sentinel://user:secret@h/m/zero",
		"redis+sentinel://user:se%ret@h/m", "redis+sentinel://user:12/secret@h/m", "redis+sentinel://h/m/0?unknown=1",
		"redis+cluster://user:secret@", "redis+cluster://user:secret@h/0", "redis+cluster://user:12/secret@h", "redis+cluster://h?unknown=1",
		"redis://user:secret@h1,h2", "redis://user:secret@a:b:1", "redis+sentinel://user:secret@a:b:1/m", "redis+cluster://user:secret@h:port", "redis://user:sec ret@h",
	} {
		client, err := Connect(rawURL)
		if err == nil {
			t.Errorf("%s: no error", rawURL)
			_ = client.Close()
			continue
		}
		for _, part := range []string{"secret", "se/cret", "cret@", "ret@"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error repeats the password: %v", rawURL, err)
			}
		}
		if !strings.Contains(err.Error(), "redis+cluster://") {
			t.Errorf("%s: the error does not say what is allowed: %v", rawURL, err)
		}
	}
}

func TestDialsAreCounted(t *testing.T) {
	t.Parallel()
	for name, rawURL := range map[string]string{"server": redistest.Start(t).URL(), "cluster": redistest.StartCluster(t).URL()} {
		client, err := Connect(rawURL)
		must(t, err)
		c := newTestClient(client)
		must(t, client.Ping(t.Context()).Err())
		if testutil.ToFloat64(c.dials) == 0 {
			t.Errorf("%s: no dial counted", name)
		}
		must(t, client.Close())
	}
}
