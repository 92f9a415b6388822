package registry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
)

// urlForms is what an error about a Redis URL tells to the person who set it.
const urlForms = "want redis://user:password@host:6379/0 (rediss:// for TLS), unix:///path/to/socket?db=0, " +
	"redis+sentinel://user:password@host:26379,host:26379/master/0?sentinel_username=...&sentinel_password=... or " +
	"redis+cluster://user:password@host:7000,host:7001; special characters in a password are percent-encoded"

// Connect returns a client for the Redis that rawURL names, without asking it
// anything yet. The schemes are redis, rediss (TLS) and unix for one server,
// redis+sentinel and rediss+sentinel for a master that Sentinels watch, and
// redis+cluster and rediss+cluster for a Cluster; go-redis' own parameters
// (pool_size, read_timeout, ...) may follow in the query. Errors never repeat the
// URL, which may hold a password.
func Connect(rawURL string) (redis.UniversalClient, error) {
	client, err := connect(rawURL)
	if err != nil {
		return nil, fmt.Errorf("Redis URL: %w; %s", err, urlForms)
	}
	return client, nil
}

func connect(rawURL string) (redis.UniversalClient, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, errors.New("it has no scheme")
	}
	switch scheme {
	case "redis", "rediss", "unix":
		return connectSingle(rawURL)
	case "redis+sentinel", "rediss+sentinel":
		return connectSentinel(strings.TrimSuffix(scheme, "+sentinel"), rest)
	case "redis+cluster", "rediss+cluster":
		return connectCluster(strings.TrimSuffix(scheme, "+cluster"), rest)
	}
	return nil, errors.New("its scheme is unknown")
}

func connectSingle(rawURL string) (redis.UniversalClient, error) {
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, withoutURL(err)
	}
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	timeouts(&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout)
	opts.Dialer = dialer(opts.DialTimeout, opts.TLSConfig)
	return redis.NewClient(opts), nil
}

func connectSentinel(scheme, rest string) (redis.UniversalClient, error) {
	opts, err := sentinelOptions(scheme, rest)
	if err != nil {
		return nil, err
	}
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	timeouts(&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout)
	opts.Dialer = dialer(opts.DialTimeout, opts.TLSConfig)
	return redis.NewFailoverClient(opts), nil
}

func sentinelOptions(scheme, rest string) (*redis.FailoverOptions, error) {
	u, err := parseMany(scheme, rest, "26379")
	if err != nil {
		return nil, err
	}
	master, db, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if master == "" {
		return nil, errors.New("the master's name is missing in its path")
	}
	query := u.Query()
	query.Set("master_name", master)
	redisUser, sentinelUser := u.User, url.UserPassword(query.Get("sentinel_username"), query.Get("sentinel_password"))
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	// go-redis takes the URL's user for the Sentinels'.
	u.User, u.Path, u.RawQuery = sentinelUser, "/"+db, query.Encode()
	opts, err := redis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, withoutURL(err)
	}
	if redisUser != nil {
		opts.Username = redisUser.Username()
		opts.Password, _ = redisUser.Password()
	}
	withoutServerName(opts.TLSConfig)
	return opts, nil
}

func connectCluster(scheme, rest string) (redis.UniversalClient, error) {
	u, err := parseMany(scheme, rest, "6379")
	if err != nil {
		return nil, err
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("a Cluster has no databases, so no path")
	}
	opts, err := redis.ParseClusterURL(u.String())
	if err != nil {
		return nil, withoutURL(err)
	}
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	withoutServerName(opts.TLSConfig)
	timeouts(&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout)
	opts.Dialer = dialer(opts.DialTimeout, opts.TLSConfig)
	return redis.NewClusterClient(opts), nil
}

// parseMany parses a URL of several hosts into go-redis' form: the first host in
// its place, the others as parameters addr.
func parseMany(scheme, rest, port string) (*url.URL, error) {
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	addrs := strings.Split(hosts, ",")
	for i, addr := range addrs {
		if addr == "" {
			return nil, errors.New("a host is empty")
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			addrs[i] = net.JoinHostPort(strings.Trim(addr, "[]"), port)
		}
	}
	u, err := url.Parse(scheme + "://" + user + addrs[0] + tail)
	if err != nil {
		return nil, withoutURL(err)
	}
	if strings.Contains(u.Path, "@") {
		return nil, errUnreadable // half a password that was not encoded
	}
	query := u.Query()
	for _, addr := range addrs[1:] {
		query.Add("addr", addr)
	}
	u.RawQuery = query.Encode()
	return u, nil
}

var errUnreadable = errors.New("it can't be read")

// withoutURL keeps what a parser says about a parameter, and hides what may
// repeat parts of the URL that should have been encoded.
func withoutURL(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) || strings.Contains(err.Error(), "@") {
		return errUnreadable
	}
	return err
}

// withoutServerName lets each host be verified by its own name; go-redis' parser
// would verify all by the first one's.
func withoutServerName(c *tls.Config) {
	if c != nil {
		c.ServerName = ""
	}
}

func timeouts(dial, read, write *time.Duration) {
	for t, d := range map[*time.Duration]time.Duration{dial: dialTimeout, read: ioTimeout, write: ioTimeout} {
		if *t == 0 {
			*t = d
		}
	}
}
