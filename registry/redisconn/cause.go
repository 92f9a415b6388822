package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// Each error that keeps Redis from working for a node has a cause, and for most causes there
// is a setting to look at. This file alone knows which.

// remedy is what a cause means, and what to look at.
type remedy struct {
	marks  []string // any of them in the error's text
	advice string
}

const (
	noCluster = "the server belongs to a Redis Cluster: BEELINE_REDIS_URL must begin with redis+cluster:// (rediss+cluster:// for TLS)"
	wait      = "no setting is wrong; it ends by itself, or is Redis' operator's"
)

// answers are the causes that Redis names itself, in its words. The first that fits
// counts.
var answers = []remedy{
	{[]string{"Client sent AUTH, but no password is set", "without any password configured for the default user"},
		"BEELINE_REDIS_URL, or its _FILE, has a password, and Redis has none: set requirepass there, or leave it out here"},
	{[]string{"NOAUTH"},
		"Redis wants a password, and BEELINE_REDIS_URL, or its _FILE, has none: redis://user:password@host:6379"},
	{[]string{"WRONGPASS", "ERR invalid password"},
		"Redis knows no such user and password as those in BEELINE_REDIS_URL, or its _FILE. Special characters are percent-encoded there; " +
			"%0A at its end is the line break of a file that the password was read from"},
	{[]string{"NOPERM", scriptRefused},
		"Redis' user lacks a right: the command that the error names, or keys ~PREFIX:* and channels &PREFIX:*; docs/redis.md, \"A node's rights\", has the whole line"},
	{[]string{"max number of clients reached"},
		"Redis has as many connections as its maxclients allows: raise that, or see in CLIENT LIST who holds them; a node holds fewer than 30"},
	{[]string{"DENIED Redis is running in protected mode"},
		"Redis takes connections of its own host only: give it a password, or set protected-mode no, and BEELINE_REDIS_URL accordingly"},
	{[]string{"DB index is out of range", "invalid DB index", "SELECT is not allowed in cluster mode"},
		"BEELINE_REDIS_URL names a database that Redis does not have; a Cluster has only 0"},
	{[]string{"cluster support disabled"},
		"the server is no Redis Cluster: BEELINE_REDIS_URL must begin with redis:// (rediss:// for TLS)"},
	{[]string{"CLUSTERDOWN"}, "the Redis Cluster does not serve all of its slots; CLUSTER INFO on its servers says why"},
	{[]string{"MOVED ", "CROSSSLOT"}, noCluster},
	{[]string{"READONLY"},
		"BEELINE_REDIS_URL leads to a replica; the node looks every second whether its name, or the Sentinels, lead to the master"},
	{[]string{"MASTERDOWN"}, "BEELINE_REDIS_URL leads to a replica that has lost its master; the node looks every second whether it leads elsewhere"},
	{[]string{"LOADING"}, "Redis is loading its data; " + wait},
	{[]string{"MISCONF"},
		"Redis refuses writes since it can't save to its disk: mend that, or set stop-writes-on-bgsave-error no; beeline needs nothing that is saved"},
	{[]string{"OOM command not allowed"},
		"Redis is full: raise its maxmemory, or see with MEMORY STATS what fills it; its maxmemory-policy must be noeviction"},
	{[]string{"NOREPLICAS"}, "Redis refuses writes while it has fewer replicas than its min-replicas-to-write"},
	{[]string{"unknown command 'sentinel'", "unknown command `sentinel`", "unknown command 'SENTINEL'", "unknown command `SENTINEL`"},
		"the server is no Sentinel: BEELINE_REDIS_URL must begin with redis:// (rediss:// for TLS), or name Sentinels, whose port is 26379 mostly"},
	{[]string{"unknown command", "unknown subcommand"},
		"Redis does not know a command: it is older than 6.2, or 7 for a Cluster, or the command was renamed, or a proxy in between does not pass it"},
	{[]string{"watches no master of this name"},
		"the Sentinels don't watch the master that BEELINE_REDIS_URL names: redis+sentinel://host:26379/MASTER/0"},
}

// advise says what an error's cause is and which setting to look at, or nothing.
func advise(err error, prefix string) string {
	text := err.Error()
	for _, a := range answers {
		for _, mark := range a.marks {
			if strings.Contains(text, mark) {
				advice := strings.ReplaceAll(a.advice, "PREFIX", prefix)
				if strings.Contains(text, "Sentinel ") && strings.Contains(advice, "password") {
					advice += "; for Sentinels it is sentinel_username and sentinel_password in its query"
				}
				return advice
			}
		}
	}
	if advice := adviseTLS(err); advice != "" {
		return advice
	}
	return adviseNetwork(err)
}

func adviseTLS(err error) string {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &authority):
		return "Redis' certificate comes from an authority that this host does not know: set BEELINE_REDIS_CA_FILE"
	case errors.As(err, &name):
		return "Redis' certificate is for another name than the one that was dialed: set BEELINE_REDIS_SERVER_NAME"
	case errors.As(err, &invalid):
		return "Redis' certificate has expired, or may not be used so; this host's clock may be wrong as well"
	case errors.As(err, &plain):
		return "the server does not speak TLS at this port: BEELINE_REDIS_URL must begin with redis://, or name the TLS port"
	case strings.Contains(err.Error(), "TLS handshake as ") && (isTimeout(err) || isHangup(err)):
		return "the server does not answer TLS' handshake: it may not speak TLS at this port; then BEELINE_REDIS_URL must begin with redis://"
	case strings.Contains(err.Error(), "remote error: tls: "):
		return "Redis does not take this node's certificate: see BEELINE_REDIS_CERT_FILE and BEELINE_REDIS_KEY_FILE, and Redis' tls-ca-cert-file"
	}
	return ""
}

func adviseNetwork(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	dialing := errors.As(err, &op) && op.Op == "dial"
	switch {
	case errors.Is(err, errNoEndpoint):
		return "the Cluster does not say where its servers are: set cluster-preferred-endpoint-type ip there, or hostname and cluster-announce-hostname"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no name server knows the host of BEELINE_REDIS_URL, or the one that a Sentinel or the Cluster names"
	case errors.As(err, &dns):
		return "the name server does not answer; the host is that of BEELINE_REDIS_URL, or the one that a Sentinel or the Cluster names"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nobody listens there: Redis is down, or BEELINE_REDIS_URL names another host or port"
	case dialing && op.Net == "unix" && (errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EACCES)):
		return "there is no such socket that this user may open: Redis is down, or BEELINE_REDIS_URL names another path than its unixsocket"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no way leads to the address: see BEELINE_REDIS_URL, and this host's network"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "this process has as many open files as it may: raise its limit, or lower BEELINE_MAX_SESSIONS"
	case dialing && isTimeout(err):
		return "the address does not answer: its host is down, or a firewall drops packets; see BEELINE_REDIS_URL"
	case isTimeout(err):
		return "Redis does not answer in time: it stands still, is busy with a slow command (SLOWLOG GET), or the network loses packets"
	case isHangup(err):
		return "Redis, or something on the way to it, closes the connections: it may have ended, or speak TLS only (rediss://)"
	}
	return ""
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || errors.As(err, &timeout) && timeout.Timeout()
}

// isHangup reports whether the other end has closed the connection.
func isHangup(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// errNoEndpoint says that a Cluster names a server without an address.
var errNoEndpoint = errors.New("the Cluster names a server without its address")

// Advise says what an error of Redis means and which setting to look at; it is empty
// if that is not known.
func (c *Client) Advise(err error) string { return advise(err, c.prefix) }
