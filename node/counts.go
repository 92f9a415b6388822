package node

import (
	"math"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beeline-ws/beeline/metrics"
)

// Results of a connection: labels of beeline_connects_total.
const (
	resultWelcomed     = "welcomed"
	resultHTTP         = "http" // not a WebSocket; answered by the HTTP server
	resultDuplicate    = "duplicate"
	resultBadHead      = "bad_head"
	resultHeadTooLarge = "head_too_large"
	resultHeadTimeout  = "head_timeout"
	resultGone         = "gone" // ended before it was welcomed
	resultBadHandshake = "bad_handshake"
	resultBadVersion   = "bad_version"
	resultUnknownPath  = "unknown_path"
	resultBadMethod    = "bad_method"
	resultBadClient    = "bad_client"
	resultUnavailable  = "unavailable"
	resultDraining     = "draining"
	resultTooMany      = "too_many_sessions"
	resultClientFull   = "too_many_client_sessions"
)

// Codes of error answers: labels of beeline_client_errors_total.
const (
	codeMalformed   = "malformed"
	codeTooDeep     = "too_deep"
	codeUnknownType = "unknown_type"
	codeMissingTo   = "missing_to"
	codeBadAddress  = "bad_address"
	codeMissingData = "missing_data"
	codeMissingID   = "missing_id"
	codeBadID       = "bad_id"
	codeBadFlag     = "bad_flag"
	codeForbidden   = "forbidden"
)

// Reasons for not queueing a message, or not to the end: labels of beeline_drops_total.
const (
	dropSlow    = "slow_consumer" // the session's queue was full; see admitLocked
	dropOldest  = "drop_oldest"   // made room in the session's queue for a newer one
	dropClosing = "closing"       // the session was closing
	dropTotal   = "node_queue"    // all queues together were full, and this one was the largest
	dropTooBig  = "too_big"       // longer than a session's queue
	dropUnacked = "unconfirmed"   // too many of the sender's wait to be confirmed
)

// showBounds shows what the node's gauges must not exceed, and what the node is.
func (n *Node) showBounds() {
	m := n.metrics.Node
	m.BuildInfo.WithLabelValues(n.opts.Version, runtime.Version()).Set(1)
	m.QueuedBytesLimit.Set(float64(n.opts.MaxQueueTotal))
	m.SessionsLimit.Set(math.Inf(1))
	if n.capacity.sessions > 0 {
		m.SessionsLimit.Set(float64(n.capacity.sessions))
	}
}

type counterSet map[string]prometheus.Counter

// counts are the node's counters by label, looked up once, so that each is
// exported from zero.
type counts struct {
	*metrics.Node
	connects counterSet
	errors   counterSet
	drops    counterSet
	closes   [closeReasons]prometheus.Counter
}

func newCounts(m *metrics.Node) *counts {
	c := &counts{
		Node: m,
		connects: countersOf(m.Connects, resultWelcomed, resultHTTP, resultDuplicate, resultBadHead,
			resultHeadTooLarge, resultHeadTimeout, resultGone, resultBadHandshake, resultBadVersion, resultUnknownPath,
			resultBadMethod, resultBadClient, resultUnavailable, resultDraining, resultTooMany, resultClientFull),
		errors: countersOf(m.ClientErrors, codeMalformed, codeTooDeep, codeUnknownType, codeMissingTo,
			codeBadAddress, codeMissingData, codeMissingID, codeBadID, codeBadFlag, codeForbidden),
		drops: countersOf(m.Drops, dropSlow, dropOldest, dropClosing, dropTotal, dropTooBig, dropUnacked),
	}
	for r := stillOpen + 1; r < closeReasons; r++ {
		c.closes[r] = m.Closes.WithLabelValues(r.String())
	}
	return c
}

func countersOf(vec *prometheus.CounterVec, labels ...string) counterSet {
	set := make(counterSet, len(labels))
	for _, l := range labels {
		set[l] = vec.WithLabelValues(l)
	}
	return set
}
