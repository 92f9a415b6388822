package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"

	"github.com/beeline-ws/beeline/cmd/internal/hostport"
	"github.com/beeline-ws/beeline/node"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router"
)

// config is every setting. The help text and the README's table are made of its
// tags: doc says what a setting is for, unit in what it is given, oneof, min and
// max what is allowed, shown what stands for an empty default.
type config struct {
	RedisURL string `env:"BEELINE_REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" unit:"URL" doc:"the Redis, Valkey, Sentinels (redis+sentinel://) or Cluster (redis+cluster://) that the nodes share"`

	RedisURLFile    string `env:"BEELINE_REDIS_URL_FILE" shown:"none" unit:"path" doc:"a file that holds what BEELINE_REDIS_URL would"`
	RedisCA         string `env:"BEELINE_REDIS_CA_FILE" shown:"the system's" unit:"path" doc:"the authorities that Redis' certificate must come from, as PEM; it, and the two below, are read again when they change"`
	RedisCert       string `env:"BEELINE_REDIS_CERT_FILE" shown:"none" unit:"path" doc:"this node's certificate for Redis, as PEM"`
	RedisKey        string `env:"BEELINE_REDIS_KEY_FILE" shown:"none" unit:"path" doc:"the key of BEELINE_REDIS_CERT_FILE, as PEM"`
	RedisServerName string `env:"BEELINE_REDIS_SERVER_NAME" shown:"the host of the URL" unit:"name" doc:"what Redis' certificate must be issued for"`

	Listen     string              `env:"BEELINE_LISTEN" envDefault:":8080" unit:"host:port" doc:"where clients connect"`
	Admin      string              `env:"BEELINE_ADMIN_LISTEN" envDefault:"127.0.0.1:9090" unit:"host:port" doc:"where metrics and health are asked; not for the public"`
	NodeName   string              `env:"BEELINE_NODE_NAME" shown:"the host's name" unit:"name" doc:"begins the node's ID, to which each start adds a suffix of its own"`
	Advertise  string              `env:"BEELINE_ADVERTISE" shown:"made of BEELINE_LISTEN" unit:"URL" doc:"how other nodes reach this one: http://host:port"`
	Delivery   router.Delivery     `env:"BEELINE_DELIVERY" envDefault:"targeted" oneof:"targeted,broadcast,subscribe" doc:"the way of a message to its receiver's nodes; the last two exist to be compared with; the same on all nodes"`
	Duplicates registry.Duplicates `env:"BEELINE_DUPLICATES" envDefault:"allow" oneof:"allow,replace,reject" doc:"when a client connects twice: both stay, the newest stays, or the newcomer is refused; the same on all nodes"`
	Auth       string              `env:"BEELINE_AUTH" envDefault:"none" oneof:"none" doc:"how clients prove who they are; none takes the name from ?client="`
	Prefix     string              `env:"BEELINE_KEY_PREFIX" envDefault:"beeline" unit:"text" doc:"begins every key and channel in Redis; the same on all nodes"`
	ClusterKey string              `env:"BEELINE_CLUSTER_KEY" shown:"none" unit:"one key or two" doc:"a secret that all nodes share, to sign what they publish to each other: 32 to 128 random bytes in base64 or hexadecimal digits (openssl rand -base64 32); while it is changed two, with a comma between them, of which the first one signs; without it whoever may publish to nodes' channels is believed"`

	ClusterKeyFile string `env:"BEELINE_CLUSTER_KEY_FILE" shown:"none" unit:"path" doc:"a file that holds what BEELINE_CLUSTER_KEY would, the keys on lines of their own or with a comma between them"`

	Heartbeat        time.Duration `env:"BEELINE_HEARTBEAT" envDefault:"2s" min:"100ms" max:"1m" unit:"duration" doc:"how often a node proves that it lives; it counts as dead after three; the same on all nodes"`
	MessageTimeout   time.Duration `env:"BEELINE_MESSAGE_TIMEOUT" envDefault:"5s" min:"10ms" max:"10m" unit:"duration" doc:"a message without an answer has the outcome timeout after this"`
	Grace            time.Duration `env:"BEELINE_GRACE" envDefault:"0s" min:"0s" max:"5m" unit:"duration" doc:"how long a message waits for a receiver that is not connected, in case it comes back; at most half of BEELINE_MESSAGE_TIMEOUT"`
	HandshakeTimeout time.Duration `env:"BEELINE_HANDSHAKE_TIMEOUT" envDefault:"5s" min:"100ms" max:"10m" unit:"duration" doc:"a connection must be welcomed within this"`
	PingInterval     time.Duration `env:"BEELINE_PING_INTERVAL" envDefault:"25s" min:"100ms" max:"1h" unit:"duration" doc:"a client that is silent for this long is pinged"`
	PongTimeout      time.Duration `env:"BEELINE_PONG_TIMEOUT" envDefault:"20s" min:"100ms" max:"1h" unit:"duration" doc:"a client that is silent for this much longer is closed"`
	DrainPeriod      time.Duration `env:"BEELINE_DRAIN_PERIOD" envDefault:"10s" min:"0s" max:"24h" unit:"duration" doc:"a node that stops closes its sessions spread over this; 0s closes all at once"`

	MaxMessage    byteSize          `env:"BEELINE_MAX_MESSAGE" envDefault:"64KiB" min:"128" max:"64MiB" unit:"bytes" doc:"the longest message of a client"`
	MaxSessions   int               `env:"BEELINE_MAX_SESSIONS" envDefault:"0" min:"0" max:"10000000" unit:"sessions" doc:"the most sessions of a node; 0 is what the limit of open files leaves beside a reserve"`
	MaxClient     int               `env:"BEELINE_MAX_CLIENT_SESSIONS" envDefault:"100" min:"1" max:"1000000" unit:"sessions" doc:"the most sessions of one client on a node; one more is refused with 429"`
	MaxHTTP       int               `env:"BEELINE_MAX_HTTP" envDefault:"1000" min:"1" max:"1000000" unit:"connections" doc:"the most connections on BEELINE_LISTEN that are no WebSocket; for one more, the longest idle is closed"`
	MaxHead       byteSize          `env:"BEELINE_MAX_HEAD" envDefault:"8KiB" min:"1KiB" max:"64KiB" unit:"bytes" doc:"the longest head of a client's request, cookies included"`
	MaxQueue      byteSize          `env:"BEELINE_MAX_QUEUE" envDefault:"256KiB" min:"4KiB" max:"1GiB" unit:"bytes" doc:"the most that may wait for one client to read"`
	SlowConsumer  node.SlowConsumer `env:"BEELINE_SLOW_CONSUMER" envDefault:"disconnect" oneof:"disconnect,drop_oldest" doc:"when more than that waits for a client: it is closed, or messages that were sent as droppable make room for newer ones"`
	MaxQueueTotal byteSize          `env:"BEELINE_MAX_QUEUE_TOTAL" envDefault:"256MiB" min:"4KiB" max:"1024GiB" unit:"bytes" doc:"the most that may wait for all clients of a node"`
	MaxPending    byteSize          `env:"BEELINE_MAX_PENDING" envDefault:"64MiB" min:"4KiB" max:"1024GiB" unit:"bytes" doc:"the most payload of a node's messages whose outcome is not known yet"`
	OwnerCache    int               `env:"BEELINE_OWNER_CACHE" envDefault:"65536" min:"0" max:"10000000" unit:"addresses" doc:"how many receivers' owners a node remembers, to send without a lookup; 0 looks up every message"`

	LogLevel  string `env:"BEELINE_LOG_LEVEL" envDefault:"info" oneof:"debug,info,warn,error" doc:"the least important lines to log"`
	LogFormat string `env:"BEELINE_LOG_FORMAT" envDefault:"text" oneof:"text,json" doc:"how a line is written, to standard error"`
}

// queueSlack is what a queue needs beside a message of the greatest size.
const queueSlack = 4 << 10

// readConfig reads every setting and returns all that is wrong with them.
func readConfig(environ []string) (config, faults) {
	var c config
	vars := env.ToMap(environ)
	for name, value := range vars { // a secret that comes from a file ends with a line
		vars[name] = strings.TrimSpace(value)
	}
	found := parse(&c, vars)
	found = append(found, checkRanges(&c, vars, found)...)
	found = append(found, c.check(vars, found)...)
	found = append(found, unknownVariables(vars)...)
	return c, found.inOrder()
}

// check looks at what a tag can't say. A setting with a fault is left out.
func (c *config) check(vars map[string]string, found faults) faults {
	var more faults
	require := func(name string, err error) {
		if err != nil && len(found.of(name)) == 0 {
			more = append(more, fault{name, err.Error()})
		}
	}
	require("BEELINE_REDIS_URL", checkRedisURL(c.RedisURL))
	require("BEELINE_REDIS_URL_FILE", c.readRedisURL(vars["BEELINE_REDIS_URL"] != ""))
	more = append(more, c.checkRedisTLS()...)
	require("BEELINE_LISTEN", checkListen(&c.Listen))
	require("BEELINE_ADMIN_LISTEN", checkListen(&c.Admin))
	require("BEELINE_ADMIN_LISTEN", c.checkListeners())
	require("BEELINE_NODE_NAME", checkNodeName(c.NodeName))
	require("BEELINE_ADVERTISE", checkAdvertise(&c.Advertise))
	require("BEELINE_KEY_PREFIX", checkPrefix(c.Prefix))
	require("BEELINE_CLUSTER_KEY", checkClusterKey(c.ClusterKey))
	require("BEELINE_CLUSTER_KEY_FILE", c.readClusterKey())
	if len(found.of("BEELINE_MESSAGE_TIMEOUT")) == 0 {
		require("BEELINE_GRACE", checkGrace(c.Grace, c.MessageTimeout))
	}
	if len(found.of("BEELINE_MAX_MESSAGE")) == 0 {
		require("BEELINE_MAX_QUEUE", atLeast(c.MaxQueue, c.MaxMessage+queueSlack, "BEELINE_MAX_MESSAGE and 4KiB more"))
		require("BEELINE_MAX_PENDING", atLeast(c.MaxPending, c.MaxMessage, "BEELINE_MAX_MESSAGE"))
	}
	if len(found.of("BEELINE_MAX_QUEUE")) == 0 {
		require("BEELINE_MAX_QUEUE_TOTAL", atLeast(c.MaxQueueTotal, c.MaxQueue, "BEELINE_MAX_QUEUE"))
	}
	return more
}

// checkListen puts brackets around an IPv6 address that has none.
func checkListen(address *string) error {
	normal, err := hostport.Normal(*address)
	if err != nil {
		return fmt.Errorf("is %q: %w; allowed: host:port or :port, with a port from 0 to 65535", *address, err)
	}
	*address = normal
	return nil
}

func (c *config) checkListeners() error {
	if c.Admin == c.Listen && !strings.HasSuffix(c.Admin, ":0") {
		return fmt.Errorf("is %q, which is BEELINE_LISTEN as well; allowed: another port", c.Admin)
	}
	return nil
}

func checkNodeName(name string) error {
	bad := func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		digit := '0' <= r && r <= '9'
		return !letter && !digit && !strings.ContainsRune("._-", r)
	}
	if len(name) > 128 || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("is %q; allowed: up to 128 letters, digits, '.', '_' and '-'", name)
	}
	return nil
}

// checkAdvertise puts brackets around an IPv6 address that has none, as in
// http://$(POD_IP):8080.
func checkAdvertise(raw *string) error {
	if *raw == "" {
		return nil
	}
	const allowed = "allowed: http://host:port, as other nodes reach this one"
	u, err := hostport.ParseURL(*raw)
	switch {
	case err != nil:
		return fmt.Errorf("is %q, which can't be read; "+allowed, *raw)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("is %q; "+allowed, *raw)
	}
	if _, port, err := hostport.Split(u.Host); err != nil || port == 0 {
		return fmt.Errorf("is %q, which has no port from 1 to 65535; "+allowed, *raw)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsUnspecified() {
		return fmt.Errorf("is %q, by which each node reaches itself; "+allowed, *raw)
	}
	*raw = u.Scheme + "://" + u.Host
	return nil
}

// databaseMark is what registry.Keys puts behind the prefix.
var databaseMark = regexp.MustCompile(`:db[0-9]+$`)

func checkPrefix(prefix string) error {
	bad := func(r rune) bool { return r == '{' || r == '}' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if len(prefix) > 128 || strings.ContainsFunc(prefix, bad) {
		return fmt.Errorf("is %q; allowed: up to 128 printable characters without spaces and braces", prefix)
	}
	if databaseMark.MatchString(prefix) {
		return fmt.Errorf("is %q; allowed: one that does not end with ':db' and a number, which marks the channels of Redis' other databases", prefix)
	}
	return nil
}

func checkGrace(grace, timeout time.Duration) error {
	if grace > timeout/2 {
		return fmt.Errorf("is %v; allowed: at most half of BEELINE_MESSAGE_TIMEOUT, which is %v", grace, timeout)
	}
	return nil
}

func atLeast(size, least byteSize, what string) error {
	if size < least {
		return fmt.Errorf("is %v; allowed: at least %s, which is %v", size, what, least)
	}
	return nil
}

// nodeOptions translates the settings for a node; the caller adds what is not a
// setting.
func (c *config) nodeOptions() node.Options {
	// An option's zero stands for its default.
	drain, cache := c.DrainPeriod, c.OwnerCache
	if drain == 0 {
		drain = -1
	}
	if cache == 0 {
		cache = -1
	}
	return node.Options{
		Name: c.NodeName, Version: versionString(),
		Prefix: c.Prefix, Heartbeat: c.Heartbeat, ClusterKeys: c.clusterKeys(),
		Listen: c.Listen, AdminListen: c.Admin, Advertise: c.Advertise,
		Delivery: c.Delivery, Duplicates: c.Duplicates,
		MessageTimeout: c.MessageTimeout, Grace: c.Grace, MaxPendingBytes: int(c.MaxPending), OwnerCache: cache,
		HandshakeTimeout: c.HandshakeTimeout,
		MaxMessage:       int(c.MaxMessage), MaxSessions: c.MaxSessions,
		MaxClientSessions: c.MaxClient, MaxHTTP: c.MaxHTTP, MaxHead: int(c.MaxHead),
		MaxQueue: int(c.MaxQueue), MaxQueueTotal: int(c.MaxQueueTotal), SlowConsumer: c.SlowConsumer,
		PingInterval: c.PingInterval, PongTimeout: c.PongTimeout, DrainPeriod: drain,
	}
}

// level is LogLevel as slog knows it.
func (c *config) level() slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return slog.LevelInfo
	}
	return l
}

// setting is one field of config with what its tags say.
type setting struct {
	index              int // of the field
	field, name        string
	doc, unit, initial string
	shown              string
	oneof              []string
	min, max           string
}

// settings lists config's fields in their order.
func settings() []setting {
	t := reflect.TypeFor[config]()
	list := make([]setting, t.NumField())
	for i := range list {
		f := t.Field(i)
		s := setting{
			index: i, field: f.Name, name: f.Tag.Get("env"),
			doc: f.Tag.Get("doc"), unit: f.Tag.Get("unit"), initial: f.Tag.Get("envDefault"), shown: f.Tag.Get("shown"),
			min: f.Tag.Get("min"), max: f.Tag.Get("max"),
		}
		if choices := f.Tag.Get("oneof"); choices != "" {
			s.oneof = strings.Split(choices, ",")
			s.unit = strings.Join(s.oneof, ", ")
		}
		list[i] = s
	}
	return list
}
