package redisconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout = 2 * time.Second
	ioTimeout   = 3 * time.Second
	// slotsEvery is how often a client in use asks a Cluster who has which slots. A former
	// master does not always say MOVED: as a replica it takes SSUBSCRIBE and SPUBLISH, so
	// that a node hears, and hears itself, where the others do not publish. go-redis' own
	// interval is a minute.
	slotsEvery = 2 * time.Second
)

// urlForms ends each error about a Redis URL.
const urlForms = "want redis://user:password@host:6379/0 (rediss:// for TLS), unix:///path/to/socket?db=0, " +
	"redis+sentinel://user:password@host:26379,host:26379/master/0?sentinel_username=...&sentinel_password=... or " +
	"redis+cluster://user:password@host:7000,host:7001; special characters in a password are percent-encoded"

// A Connector makes clients of Redis. The zero value will do.
type Connector struct {
	TLS      TLSFiles // for rediss://; default: the system's authorities, no certificate
	Resolver Resolver // of the hosts' names; default: net.DefaultResolver
}

// Connect is Connector.Connect with the defaults.
func Connect(rawURL string) (redis.UniversalClient, error) { return Connector{}.Connect(rawURL) }

// Connect returns a client for the Redis that rawURL names, without asking it
// anything yet. The schemes are redis, rediss (TLS) and unix for one server,
// redis+sentinel and rediss+sentinel for a master that Sentinels watch, and
// redis+cluster and rediss+cluster for a Cluster; go-redis' own parameters
// (pool_size, read_timeout, ...) may follow in the query. Errors never repeat the
// URL, which may hold a password; one about TLS is a *TLSError.
func (c Connector) Connect(rawURL string) (redis.UniversalClient, error) {
	client, err := c.connect(strings.TrimSpace(rawURL))
	var aboutTLS *TLSError
	switch {
	case errors.As(err, &aboutTLS):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("Redis URL: %w; %s", err, urlForms)
	}
	return client, nil
}

func (c Connector) connect(rawURL string) (redis.UniversalClient, error) {
	if strings.ContainsFunc(rawURL, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return nil, errors.New("it has a space or a line break in it, which may be the end of a file that a part of it was read from")
	}
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, errors.New("it has no scheme")
	}
	switch scheme {
	case "redis", "rediss", "unix":
		return c.connectSingle(rawURL)
	case "redis+sentinel", "rediss+sentinel":
		return c.connectSentinel(strings.TrimSuffix(scheme, "+sentinel"), rest)
	case "redis+cluster", "rediss+cluster":
		return c.connectCluster(strings.TrimSuffix(scheme, "+cluster"), rest)
	}
	return nil, errors.New("its scheme is unknown")
}

// dialer returns what opens the connections. config is TLS as the URL wants it, or nil.
func (c Connector) dialer(timeout time.Duration, config *tls.Config) (*dialer, error) {
	source, err := c.TLS.source(config)
	if err != nil {
		return nil, err
	}
	return &dialer{timeout: timeout, tls: source, names: newNames(c.Resolver)}, nil
}

func (c Connector) connectSingle(rawURL string) (redis.UniversalClient, error) {
	if scheme, rest, _ := strings.Cut(rawURL, "://"); scheme != "unix" {
		u, addrs, err := parseMany(scheme, rest, "6379")
		if err != nil {
			return nil, err
		}
		if len(addrs) > 1 {
			return nil, errors.New("it names several hosts, which is for redis+sentinel:// and redis+cluster://")
		}
		rawURL = u.String()
	} else if u, err := url.Parse(rawURL); err == nil {
		if err := checkNumbers(u); err != nil {
			return nil, err
		}
	}
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, withoutURL(err)
	}
	d, err := c.prepare(opts)
	if err != nil {
		return nil, err
	}
	opts.Dialer = d.dial
	return redis.NewClient(opts), nil
}

// prepare sets what holds for every client of one server, and makes its dialer.
func (c Connector) prepare(opts *redis.Options) (*dialer, error) {
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.Limiter = new(attempts)
	timeouts(&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout)
	if opts.TLSConfig != nil {
		opts.TLSConfig.ServerName = "" // each host is verified by the name that it was dialed by
	}
	return c.dialer(opts.DialTimeout, opts.TLSConfig)
}

func (c Connector) connectSentinel(scheme, rest string) (redis.UniversalClient, error) {
	opts, watch, err := sentinelOptions(scheme, rest)
	if err != nil {
		return nil, err
	}
	d, err := c.prepare(opts)
	if err != nil {
		return nil, err
	}
	asks := *d
	watch.options.Dialer = asks.dial
	d.sentinels = watch
	opts.Dialer = d.dial
	return redis.NewClient(opts), nil
}

// sentinelOptions returns the options for the master, and the Sentinels that know where it is.
func sentinelOptions(scheme, rest string) (*redis.Options, *sentinels, error) {
	u, addrs, err := parseMany(scheme, rest, "26379")
	if err != nil {
		return nil, nil, err
	}
	master, db, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if master == "" {
		return nil, nil, errors.New("the master's name is missing in its path")
	}
	query := u.Query()
	user, password := query.Get("sentinel_username"), query.Get("sentinel_password")
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	u.Path, u.RawQuery = "/"+db, query.Encode()
	opts, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	timeouts(&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout)
	watch := &sentinels{master: master, addrs: addrs, grace: sentinelGrace, options: redis.Options{
		Username: user, Password: password, Protocol: 2,
		DialTimeout: opts.DialTimeout, ReadTimeout: opts.ReadTimeout, WriteTimeout: opts.WriteTimeout,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// As for Dial: a client that fails leaves no goroutine behind.
		PoolSize: 2, PipelinePoolSize: -1, MaxRetries: -1, DialerRetries: 1,
		ReadBufferSize: 4096, WriteBufferSize: 4096,
	}}
	return opts, watch, nil
}

func (c Connector) connectCluster(scheme, rest string) (redis.UniversalClient, error) {
	u, addrs, err := parseMany(scheme, rest, "6379")
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
	opts.Addrs, opts.ClusterStateReloadInterval = addrs, slotsEvery
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	timeouts(&opts.DialTimeout, &opts.ReadTimeout, &opts.WriteTimeout)
	if opts.TLSConfig != nil {
		opts.TLSConfig.ServerName = ""
	}
	d, err := c.dialer(opts.DialTimeout, opts.TLSConfig)
	if err != nil {
		return nil, err
	}
	opts.Dialer = d.dial
	return redis.NewClusterClient(opts), nil
}

func timeouts(dial, read, write *time.Duration) {
	for t, d := range map[*time.Duration]time.Duration{dial: dialTimeout, read: ioTimeout, write: ioTimeout} {
		if *t == 0 {
			*t = d
		}
	}
}
