package node

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// A node is ready if a newcomer would be welcomed now. Why it would not be is named by
// causes with a name each: /readyz lists all that apply, and beeline_unready has a
// series for each. The router knows more of them (router.Causes).

// cause is one reason for not being ready.
type cause struct {
	name router.Cause
	why  func(*Node) error // nil while it does not apply
}

// The names of the node's own causes.
const (
	causeStarting    router.Cause = "starting"
	causeDraining    router.Cause = "draining"
	causeFull        router.Cause = "full"        // it holds as many sessions as it may
	causeDescriptors router.Cause = "descriptors" // connections can't be accepted
	causeHandshakes  router.Cause = "handshakes"  // no slot was free for a while
)

// ownCauses returns the causes that lie in the node itself, in the order in which they
// are listed. Once the node has started, each is asked whenever readiness is asked for.
func ownCauses() []cause {
	return []cause{
		{causeDraining, (*Node).whyDraining},
		{causeFull, (*Node).whyFull},
		{causeDescriptors, (*Node).whyNoDescriptors},
		{causeHandshakes, (*Node).whyNoSlot},
	}
}

var (
	errDraining = errors.New("node is draining")
	errStarting = errors.New("node is starting")
)

// unready returns every reason why a newcomer would not be welcomed now; none: the
// node is ready.
func (n *Node) unready() (found []router.Hindrance) {
	if !n.ready.Load() {
		return []router.Hindrance{{Cause: causeStarting, Err: errStarting}}
	}
	for _, c := range ownCauses() {
		if err := c.why(n); err != nil {
			found = append(found, router.Hindrance{Cause: c.name, Err: err})
		}
	}
	return append(found, n.router.Hindrances()...)
}

func (n *Node) whyDraining() error {
	if n.draining.Load() {
		return errDraining
	}
	return nil
}

func (n *Node) whyFull() error {
	if n.table.full() {
		return fmt.Errorf("node is full: it holds %d sessions, and no more are allowed", n.table.size())
	}
	return nil
}

// acceptPause is how long the node pauses after it could not accept a connection.
const acceptPause = 100 * time.Millisecond

// whyNoDescriptors tells of a failure to accept until one that is tried afterwards would
// have failed too.
func (n *Node) whyNoDescriptors() error {
	if failed := n.acceptFailedAt.Load(); failed != 0 && time.Since(n.born)-time.Duration(failed) < 10*acceptPause {
		return errors.New("connections can't be accepted: out of file descriptors or memory")
	}
	return nil
}

func (n *Node) whyNoSlot() error { return n.handshakes.health() }

// readyz says whether the node should get new clients, and if not, why: one line for
// each cause, "cause: what it is in words".
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	found := n.unready()
	if len(found) == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	lines := make([]string, len(found))
	for i, h := range found {
		lines[i] = fmt.Sprintf("%s: %v", h.Cause, h.Err)
	}
	http.Error(w, strings.Join(lines, "\n"), http.StatusServiceUnavailable)
}

// showReadiness brings the gauges up to date just before they are read.
func (n *Node) showReadiness() {
	found := n.unready()
	applies := make(map[router.Cause]bool, len(found))
	for _, h := range found {
		applies[h.Cause] = true
	}
	for _, name := range causeNames() {
		n.metrics.Node.Unready.WithLabelValues(string(name)).Set(toFloat(applies[name]))
	}
	n.metrics.Node.Ready.Set(toFloat(len(found) == 0))
}

// causeNames returns the closed set of causes.
func causeNames() []router.Cause {
	names := []router.Cause{causeStarting}
	for _, c := range ownCauses() {
		names = append(names, c.name)
	}
	return append(names, router.Causes()...)
}

func toFloat(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
