package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/node"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router"
)

func mustRead(t *testing.T, env ...string) config {
	t.Helper()
	c, wrong := readConfig(env)
	if err := wrong.err(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustRead(t, "BEELINE_LISTEN=", "PATH=/bin")
	if c.Listen != ":8080" || c.Admin != "127.0.0.1:9090" || c.Delivery != router.Targeted ||
		c.Duplicates != registry.Allow || c.Auth != "none" || c.Prefix != "beeline" ||
		c.Heartbeat != 2*time.Second || c.OwnerCache != 65536 || c.MaxMessage != 64<<10 || c.MaxQueueTotal != 256<<20 {
		t.Errorf("defaults: %+v", c)
	}
}

func TestSettingsAreTaken(t *testing.T) {
	c := mustRead(t, "BEELINE_REDIS_URL=rediss://user:secret@redis.example:6380/2", "BEELINE_LISTEN=0.0.0.0:80",
		"BEELINE_NODE_NAME=n-1", "BEELINE_ADVERTISE=http://10.0.0.1:80", "BEELINE_DELIVERY=broadcast",
		"BEELINE_DUPLICATES=replace", "BEELINE_MAX_MESSAGE=1MiB", "BEELINE_MAX_QUEUE=2097152",
		"BEELINE_DRAIN_PERIOD=0s", "BEELINE_MAX_SESSIONS=1000", "BEELINE_OWNER_CACHE=0",
		"BEELINE_SLOW_CONSUMER=drop_oldest", "BEELINE_GRACE=2s",
		"BEELINE_MAX_CLIENT_SESSIONS=3", "BEELINE_MAX_HTTP=4", "BEELINE_MAX_HEAD=64KiB")
	o := c.nodeOptions()
	if o.Listen != "0.0.0.0:80" || o.Name != "n-1" || o.Advertise != "http://10.0.0.1:80" ||
		o.Delivery != router.Broadcast || o.Duplicates != registry.Replace || o.MaxMessage != 1<<20 ||
		o.MaxQueue != 2<<20 || o.MaxSessions != 1000 || o.SlowConsumer != node.DropOldest || o.Grace != 2*time.Second ||
		o.MaxClientSessions != 3 || o.MaxHTTP != 4 || o.MaxHead != 64<<10 {
		t.Errorf("options: %+v", o)
	}
	if o.DrainPeriod >= 0 || o.OwnerCache >= 0 { // a node's zero is its default
		t.Errorf("drain period %v and a cache of %d, want none", o.DrainPeriod, o.OwnerCache)
	}
	c = mustRead(t, "BEELINE_OWNER_CACHE=10")
	if o := c.nodeOptions(); o.OwnerCache != 10 {
		t.Errorf("a cache of %d, want 10", o.OwnerCache)
	}
}

// What no other node can reach is no URL to advertise.
func TestAdvertisedURLIsOfOneHost(t *testing.T) {
	for _, u := range []string{"http://0.0.0.0:8080", "http://[::]:8080", "http://:::8080", "http://:8080"} {
		_, wrong := readConfig([]string{"BEELINE_ADVERTISE=" + u})
		if len(wrong) != 1 || wrong[0].name != "BEELINE_ADVERTISE" || !strings.Contains(wrong[0].text, "allowed: http://host:port") {
			t.Errorf("%s: %v", u, wrong)
		}
	}
}

// Whoever set a number that is none learns its limits.
func TestFaultsOfNumbersSayTheirLimits(t *testing.T) {
	for _, s := range settings() {
		if s.min == "" {
			continue
		}
		for _, value := range []string{"NaN", "1e3", "-1", "９"} {
			_, wrong := readConfig([]string{s.name + "=" + value})
			if len(wrong) == 0 || !strings.Contains(wrong[0].text, "from "+s.min+" to "+s.max) {
				t.Errorf("%s=%s: %v", s.name, value, wrong)
			}
		}
	}
}

// A node must agree with what the settings allow.
func TestDefaultsMakeANode(t *testing.T) {
	c := mustRead(t)
	client, err := redisconn.Connect(c.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	o := c.nodeOptions()
	o.Redis = client
	if _, err := node.New(o); err != nil {
		t.Error(err)
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	faulty := map[string]string{
		"BEELINE_REDIS_URL":           "redis.example:6379",
		"BEELINE_REDIS_URL_FILE":      "no/url",
		"BEELINE_REDIS_CA_FILE":       "no/ca",
		"BEELINE_REDIS_CERT_FILE":     "no/cert",
		"BEELINE_REDIS_KEY_FILE":      "no/key",
		"BEELINE_REDIS_SERVER_NAME":   "redis.example",
		"BEELINE_LISTEN":              "80",
		"BEELINE_ADMIN_LISTEN":        "host:99999",
		"BEELINE_NODE_NAME":           "my node",
		"BEELINE_ADVERTISE":           "10.0.0.1:80",
		"BEELINE_DELIVERY":            "boardcast",
		"BEELINE_DUPLICATES":          "Replace",
		"BEELINE_AUTH":                "jwt",
		"BEELINE_KEY_PREFIX":          "a{b}",
		"BEELINE_CLUSTER_KEY":         "correct horse battery staple",
		"BEELINE_CLUSTER_KEY_FILE":    "no/such/file",
		"BEELINE_HEARTBEAT":           "2",
		"BEELINE_MESSAGE_TIMEOUT":     "soon",
		"BEELINE_GRACE":               "-1s",
		"BEELINE_HANDSHAKE_TIMEOUT":   "1ms",
		"BEELINE_PING_INTERVAL":       "-1s",
		"BEELINE_PONG_TIMEOUT":        "1d",
		"BEELINE_DRAIN_PERIOD":        "48h",
		"BEELINE_MAX_MESSAGE":         "much",
		"BEELINE_MAX_SESSIONS":        "-1",
		"BEELINE_MAX_CLIENT_SESSIONS": "0",
		"BEELINE_MAX_HTTP":            "none",
		"BEELINE_MAX_HEAD":            "1MiB",
		"BEELINE_MAX_QUEUE":           "1KiB",
		"BEELINE_SLOW_CONSUMER":       "drop",
		"BEELINE_MAX_QUEUE_TOTAL":     "9999999GiB",
		"BEELINE_MAX_PENDING":         "64 k",
		"BEELINE_OWNER_CACHE":         "all",
		"BEELINE_LOG_LEVEL":           "verbose",
		"BEELINE_LOG_FORMAT":          "xml",
	}
	env := []string{"BEELINE_HEARTBEET=2s"}
	for name, value := range faulty {
		env = append(env, name+"="+value)
	}
	for _, s := range settings() {
		if _, ok := faulty[s.name]; !ok {
			t.Errorf("%s has no faulty value in this test", s.name)
		}
	}
	r := beeline(env, "serve").want(t, exitUsage)
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	faults := len(faulty) + 1
	if want := fmt.Sprintf("beeline: %d settings are wrong:", faults); lines[0] != want || len(lines) != faults+1 {
		t.Fatalf("%d lines:\n%s\nwant %d faults below %q", len(lines), r.err, faults, want)
	}
	for i, s := range settings() {
		line := lines[1+i]
		wantContains(t, line, s.name+" ")
		switch s.name {
		case "BEELINE_REDIS_URL", "BEELINE_CLUSTER_KEY": // secrets are not repeated
			if strings.Contains(line, faulty[s.name]) {
				t.Errorf("%s repeats the secret", line)
			}
		default:
			wantContains(t, line, `"`+faulty[s.name]+`"`, "allowed: ")
		}
	}
	wantContains(t, lines[faults], "BEELINE_HEARTBEET is not a setting; did you mean BEELINE_HEARTBEAT?")
}

func TestFaultSays(t *testing.T) {
	for env, want := range map[string]string{
		"BEELINE_AUTH=webhook":          `BEELINE_AUTH is "webhook", which is not available yet; allowed: none`,
		"BEELINE_AUTH=basic":            `BEELINE_AUTH is "basic"; allowed: none`,
		"BEELINE_HEARTBEAT=1h":          "allowed: a duration with its unit (250ms, 2s, 1m) from 100ms to 1m",
		"BEELINE_MAX_MESSAGE=100B":      "allowed: a size (65536, 64KiB, 1MiB) from 128 to 64MiB",
		"BEELINE_MAX_MESSAGE=1MiB":      "BEELINE_MAX_QUEUE is 256KiB; allowed: at least BEELINE_MAX_MESSAGE and 4KiB more, which is 1028KiB",
		"BEELINE_MAX_QUEUE=1GiB":        "BEELINE_MAX_QUEUE_TOTAL is 256MiB; allowed: at least BEELINE_MAX_QUEUE, which is 1GiB",
		"BEELINE_MAX_PENDING=4KiB":      "allowed: at least BEELINE_MAX_MESSAGE, which is 64KiB",
		"BEELINE_KEY_PREFIX=a:db7":      "is \"a:db7\"; allowed: one that does not end with ':db' and a number",
		"BEELINE_GRACE=2501ms":          "BEELINE_GRACE is 2.501s; allowed: at most half of BEELINE_MESSAGE_TIMEOUT, which is 5s",
		"BEELINE_LISTEN=127.0.0.1:9090": "BEELINE_ADMIN_LISTEN is \"127.0.0.1:9090\", which is BEELINE_LISTEN as well",
		"BEELINE_SOMETHING_ELSE=1":      "BEELINE_SOMETHING_ELSE is not a setting",
		"BEELINE_PORT=8080":             "BEELINE_PORT is not a setting",
	} {
		_, wrong := readConfig([]string{env})
		if err := wrong.err(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant the one fault %q", env, err, want)
		}
	}
}

// A key is given by itself or in a file, as is usual for secrets; a file may end with a
// new line. Two are given while the key is changed.
func TestClusterKeyIsTakenFromSettingOrFile(t *testing.T) {
	key, next := sha256.Sum256([]byte("key")), sha256.Sum256([]byte("the next")) // as good as random
	encoded, second := base64.StdEncoding.EncodeToString(key[:]), base64.RawURLEncoding.EncodeToString(next[:])
	file := filepath.Join(t.TempDir(), "key")
	for content, want := range map[string]int{encoded: 1, encoded + "\n": 1, second + "\n" + encoded + "\n": 2, encoded + "," + second: 2} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		byFile, bySetting := mustRead(t, "BEELINE_CLUSTER_KEY_FILE="+file), mustRead(t, "BEELINE_CLUSTER_KEY="+content)
		for _, c := range []config{byFile, bySetting} {
			if o := c.nodeOptions(); len(o.ClusterKeys) != want {
				t.Errorf("%d keys, want %d", len(o.ClusterKeys), want)
			}
		}
		if router.Fingerprint(byFile.clusterKeys()) != router.Fingerprint(bySetting.clusterKeys()) {
			t.Error("the file gives other keys than the setting")
		}
	}
	if c := mustRead(t); len(c.nodeOptions().ClusterKeys) != 0 {
		t.Error("there is a key although none is set")
	}
}

func TestClusterKeyFaultsSayWhatIsAllowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"BEELINE_CLUSTER_KEY=hunter2", "BEELINE_CLUSTER_KEY_FILE=" + file, "BEELINE_CLUSTER_KEY_FILE=" + file + "x", "BEELINE_CLUSTER_KEY_FILE=" + filepath.Dir(file)} {
		_, wrong := readConfig([]string{env})
		err := wrong.err()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", env, err)
			continue
		}
		wantContains(t, err.Error(), "allowed: ", "openssl rand -base64 32")
	}
}

// A file that an editor, or a secret's own tool, wrote ends with a new line.
func TestRedisURLIsTakenFromSettingOrFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	const url = "redis://:secret@redis.example:6379/1"
	for _, content := range []string{url, url + "\n", " " + url + "\r\n\n"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		byFile, bySetting := mustRead(t, "BEELINE_REDIS_URL_FILE="+file), mustRead(t, "BEELINE_REDIS_URL="+content)
		if byFile.RedisURL != url || bySetting.RedisURL != url {
			t.Errorf("%q gives %q by file and %q by setting", content, byFile.RedisURL, bySetting.RedisURL)
		}
	}
	wrongURL := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrongURL, []byte("http://:secret@redis.example"), 0o600); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]string{
		"BEELINE_REDIS_URL_FILE=" + wrongURL:                `wrong", which can't be used: its scheme is unknown`,
		"BEELINE_REDIS_URL_FILE=" + file + "x":              "no such file",
		"BEELINE_REDIS_URL_FILE=" + filepath.Dir(file):      "is a directory",
		"BEELINE_REDIS_URL=redis://:se\ncret@redis.example": "line break",
	} {
		_, wrong := readConfig([]string{env})
		if err := wrong.err(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "cret@") {
			t.Errorf("%s: %v, want a fault that says %q", env, err, want)
		}
	}
	_, wrong := readConfig([]string{"BEELINE_REDIS_URL=" + url, "BEELINE_REDIS_URL_FILE=" + file})
	wantContains(t, wrong.err().Error(), "BEELINE_REDIS_URL_FILE", "one of the two")
}

func TestFaultsOfTLSToRedisNameTheirSettings(t *testing.T) {
	for _, c := range []struct{ env, want []string }{
		{[]string{"BEELINE_REDIS_URL=redis://h", "BEELINE_REDIS_CA_FILE=/ca", "BEELINE_REDIS_SERVER_NAME=x"},
			[]string{`BEELINE_REDIS_CA_FILE is "/ca", but the Redis URL does not use TLS`, `BEELINE_REDIS_SERVER_NAME is "x", but`}},
		{[]string{"BEELINE_REDIS_URL=rediss://h", "BEELINE_REDIS_CERT_FILE=/cert"}, []string{"BEELINE_REDIS_KEY_FILE is missing"}},
		{[]string{"BEELINE_REDIS_URL=rediss+cluster://h", "BEELINE_REDIS_KEY_FILE=/key"}, []string{"BEELINE_REDIS_CERT_FILE is missing"}},
		{[]string{"BEELINE_REDIS_URL=rediss+sentinel://h/m", "BEELINE_REDIS_CA_FILE=/no/ca"},
			[]string{`BEELINE_REDIS_CA_FILE is "/no/ca", which can't be read: no such file`}},
	} {
		_, wrong := readConfig(c.env)
		err := wrong.err()
		if err == nil || len(wrong) != len(c.want) {
			t.Errorf("%v: %v, want %d faults", c.env, err, len(c.want))
			continue
		}
		wantContains(t, err.Error(), c.want...)
		beeline(c.env, "whois", "alice").want(t, exitUsage)
	}
}

// In a manifest nobody can tell which kind of address a pod will have.
func TestIPv6AddressesNeedNoBrackets(t *testing.T) {
	c := mustRead(t, "BEELINE_ADVERTISE=http://fd00::7:8080", "BEELINE_LISTEN=fd00::7:8080", "BEELINE_ADMIN_LISTEN=:::9090")
	if c.Advertise != "http://[fd00::7]:8080" || c.Listen != "[fd00::7]:8080" || c.Admin != "[::]:9090" {
		t.Errorf("read as %q, %q and %q", c.Advertise, c.Listen, c.Admin)
	}
	for _, right := range []string{"http://[fd00::7]:8080", "https://n1.example:443", "http://10.0.0.1:8080/"} {
		mustRead(t, "BEELINE_ADVERTISE="+right)
	}
	for _, wrong := range []string{"http://fd00::7", "http://[fd00::7]", "http://n1.example", "http://n1.example:", "http://n1.example:0",
		"http://n1.example:http", "http://:8080", "http://n1:80/path", "http://u@n1:80", "http://n1:80?x=1", "http://n1:80#x", "ws://n1:80", "n1:80"} {
		_, found := readConfig([]string{"BEELINE_ADVERTISE=" + wrong})
		if err := found.err(); err == nil {
			t.Errorf("%s is taken", wrong)
		} else {
			wantContains(t, err.Error(), "BEELINE_ADVERTISE", wrong, "allowed: http://host:port")
		}
	}
	for _, wrong := range []string{"::1", "fd00::7", "[::1]", "a:b:80"} {
		_, found := readConfig([]string{"BEELINE_LISTEN=" + wrong})
		if found.err() == nil {
			t.Errorf("BEELINE_LISTEN=%s is taken", wrong)
		}
	}
}

func TestPasswordStaysSecret(t *testing.T) {
	for _, url := range []string{"http://user:secret@host", "redis://user:secret@host:port/x", "redis://user:se%zzcret@host", "user:secret@host"} {
		_, wrong := readConfig([]string{"BEELINE_REDIS_URL=" + url})
		err := wrong.err()
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@") {
			t.Errorf("fault of %s: %v", url, err)
		}
	}
}

// A Service named beeline puts variables into every pod of its namespace.
func TestKubernetesServiceLinksAreNoFaults(t *testing.T) {
	mustRead(t, "BEELINE_SERVICE_HOST=10.96.0.7", "BEELINE_SERVICE_PORT=8080", "BEELINE_SERVICE_PORT_CLIENTS=8080",
		"BEELINE_PORT=tcp://10.96.0.7:8080", "BEELINE_PORT_8080_TCP=tcp://10.96.0.7:8080",
		"BEELINE_PORT_8080_TCP_PROTO=tcp", "BEELINE_PORT_8080_TCP_PORT=8080", "BEELINE_PORT_8080_TCP_ADDR=10.96.0.7",
		"BEELINE_ADMIN_SERVICE_HOST=10.96.0.8", "BEELINE_ADMIN_PORT=tcp://10.96.0.8:9090")
}

func TestSettingsAreDocumented(t *testing.T) {
	help := beeline(nil, "serve", "--help").want(t, exitOK).out
	table := beeline(nil, "settings").want(t, exitOK).out
	for _, s := range settings() {
		if s.name == "" || s.doc == "" || s.unit == "" || s.initial == "" && s.shown == "" {
			t.Errorf("%s: a tag is missing: %+v", s.field, s)
		}
		wantContains(t, help, s.name, s.unit, "default: "+s.initial)
		wantContains(t, table, "| `"+s.name+"` | "+s.doc+" | "+s.unit)
	}
	if table != settingsTable() {
		t.Error("the command prints another table")
	}
}

// The tags min and max are read where a fault could not be told.
func TestLimitsCanBeRead(t *testing.T) {
	for _, s := range settings() {
		for _, limit := range []string{s.min, s.max} {
			if limit == "" {
				continue
			}
			_, wrong := readConfig([]string{s.name + "=" + limit})
			for _, f := range wrong.of(s.name) {
				if strings.Contains(f.text, s.allowed()) {
					t.Errorf("%s does not allow its own limit %s: %s", s.name, limit, f.text)
				}
			}
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"0": 0, "128": 128, "64KiB": 64 << 10, "64kib": 64 << 10, "1 MiB": 1 << 20, "2GiB": 2 << 30, "5KB": 5000, "7B": 7,
	} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1TiB", "9223372036854775807KiB", "ten"} {
		var b byteSize
		if err := b.UnmarshalText([]byte(text)); !errors.Is(err, errByteSize) {
			t.Errorf("%q: %d, %v, want an error", text, b, err)
		}
	}
	for size, want := range map[byteSize]string{0: "0", 100: "100", 68 << 10: "68KiB", 1 << 30: "1GiB"} {
		if size.String() != want {
			t.Errorf("%d is written as %s, want %s", int64(size), size, want)
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"BEELINE_LISTEN", "BEELINE_ADMIN_LISTEN", "BEELINE_DELIVERY"}
	for word, want := range map[string]string{
		"BEELINE_LISTENS": "BEELINE_LISTEN", "BEELINE_DELIVRY": "BEELINE_DELIVERY", "NOTHING": "", "": "",
	} {
		if got := nearest(word, candidates); got != want {
			t.Errorf("nearest to %q: %q, want %q", word, got, want)
		}
	}
}
