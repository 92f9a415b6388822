package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Some settings must be the same on all nodes: a node that publishes to one channel is not
// heard by one that listens to another, and no error would show it. Each node writes them
// into its lease, and compares the leases of other nodes with its own, before its first
// client and whenever a node is new. Of two nodes that differ the one that came later yields:
// it is not ready and welcomes no client, while the cluster that was there goes on. Redis'
// own clock decides which came later, so a node whose clock is wrong does not stop a
// cluster. A node yields for as long as the other has a lease and subscribes to its
// private channel: a lease that somebody else has written stops no node for longer than
// it lives.

// Settings are what must be the same on all nodes of a cluster, as a lease says it.
type Settings struct {
	Delivery   string        // BEELINE_DELIVERY
	Duplicates Duplicates    // BEELINE_DUPLICATES
	Heartbeat  time.Duration // BEELINE_HEARTBEAT, in whole milliseconds
	Envelopes  Versions      // of the envelopes that the node reads; zero: 1
	// Keys holds the fingerprints of the cluster keys that the node accepts, separated by
	// commas; it signs with the first. Empty: it neither signs nor checks.
	Keys string
}

// Versions is a range of versions, both included.
type Versions struct{ Min, Max int }

func (v Versions) String() string { return strconv.Itoa(v.Min) + "-" + strconv.Itoa(v.Max) }

// overlaps reports whether two ranges have a version in common.
func (v Versions) overlaps(w Versions) bool { return v.Min <= w.Max && w.Min <= v.Max }

// first is what nodes read that do not say so.
var first = Versions{1, 1}

// parseVersions reads what String wrote; anything else is the first version.
func parseVersions(s string) Versions {
	low, high, ok := strings.Cut(s, "-")
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if !ok || err1 != nil || err2 != nil || from < 1 || to < from {
		return first
	}
	return Versions{from, to}
}

// Difference says in what two nodes of a cluster differ, and that this one yields. It is an
// error.
type Difference struct {
	Setting      string // its name
	Ours, Theirs string // its values, fit to be shown
	Peer         string // the other node
}

func (d *Difference) Error() string {
	return fmt.Sprintf("%s is %s here and %s on node %s, which was there before: it must be the same on all nodes of a cluster",
		d.Setting, d.Ours, d.Theirs, d.Peer)
}

// differs returns in what the settings of a peer differ, or nil. What an older version of
// beeline does not say in its lease is not compared.
func (s *Settings) differs(peer *NodeInfo) *Difference {
	theirs := &peer.Settings
	difference := func(setting, ours, theirs string) *Difference {
		return &Difference{setting, quoted(ours), quoted(theirs), quoted(peer.ID)}
	}
	switch {
	case theirs.Delivery != "" && s.Delivery != theirs.Delivery: // each delivery counts its own envelopes
		return difference("BEELINE_DELIVERY", s.Delivery, theirs.Delivery)
	case !s.Envelopes.orFirst().overlaps(theirs.Envelopes.orFirst()):
		return difference("the version of envelopes", s.Envelopes.orFirst().String(), theirs.Envelopes.orFirst().String())
	case theirs.Delivery == "":
		return nil // of an older version
	case s.Duplicates != theirs.Duplicates:
		return difference("BEELINE_DUPLICATES", string(s.Duplicates), string(theirs.Duplicates))
	case s.Heartbeat != theirs.Heartbeat:
		return difference("BEELINE_HEARTBEAT", s.Heartbeat.String(), theirs.Heartbeat.String())
	case !keysAgree(s.Keys, theirs.Keys):
		return difference("BEELINE_CLUSTER_KEY (its fingerprint)", orNone(s.Keys), orNone(theirs.Keys))
	}
	return nil
}

func (v Versions) orFirst() Versions {
	if v == (Versions{}) {
		return first
	}
	return v
}

func orNone(keys string) string {
	if keys == "" {
		return "none"
	}
	return keys
}

// keysAgree reports whether each of two nodes accepts what the other one signs.
func keysAgree(ours, theirs string) bool {
	if ours == "" || theirs == "" {
		return ours == theirs
	}
	us, them := strings.Split(ours, ","), strings.Split(theirs, ",")
	return slices.Contains(us, them[0]) && slices.Contains(them, us[0])
}

// before reports whether a node came before another one.
func (n *NodeInfo) before(other *NodeInfo) bool {
	if a, b := n.arrived(), other.arrived(); !a.Equal(b) {
		return a.Before(b)
	}
	return n.ID < other.ID
}

// arrived is when a node came, by Redis' clock; of an older version, by its own.
func (n *NodeInfo) arrived() time.Time {
	if n.Since.UnixMilli() > 0 {
		return n.Since
	}
	return n.Started
}

// Disagreement returns the *Difference that this node yields to, or nil.
func (r *Registry) Disagreement() error {
	if d := r.disagreement.Load(); d != nil {
		return d
	}
	return nil
}

// compareSettings compares the leases of other nodes with this node's, and takes note of
// the first that it yields to. It is called with none of the registry's locks held.
func (r *Registry) compareSettings(ctx context.Context, own NodeInfo, peers []NodeInfo) {
	var yields *Difference
	var silence time.Duration
	for i := range peers {
		d := own.Settings.differs(&peers[i])
		if d == nil || peers[i].ID == own.ID {
			continue
		}
		if live, err := r.subscribes(ctx, peers[i].ID); err == nil && !live {
			continue
		}
		if peers[i].before(&own) {
			yields, silence = d, peers[i].silence()
			break
		}
		r.differing.warn(r.log, "another node differs in a setting that must be the same; it came later and welcomes nobody",
			"setting", d.Setting, "here", d.Ours, "there", d.Theirs, "peer", d.Peer)
	}
	r.theirSilence.Store(int64(silence))
	before := r.disagreement.Swap(yields)
	switch {
	case yields != nil && (before == nil || *before != *yields):
		r.log.Error("this node welcomes nobody: it differs from a node that was there before",
			"setting", yields.Setting, "here", yields.Ours, "there", yields.Theirs, "peer", yields.Peer)
	case yields == nil && before != nil:
		r.log.Info("this node's settings agree with the cluster's again")
	}
}

// learnSilence finds out before this node's first beat how long the nodes that are there
// leave a master unasked for its epoch: this node must not end their epoch sooner.
func (r *Registry) learnSilence(ctx context.Context) error {
	r.beats.Lock()
	met := !r.beats.lastBeat.IsZero()
	r.beats.Unlock()
	if met {
		return nil
	}
	list, err := r.listNodes(ctx)
	if err != nil {
		return err
	}
	peers, err := r.readLeases(ctx, list.ids())
	if err != nil {
		return err
	}
	var silence time.Duration
	for i := range peers {
		if theirs := peers[i].silence(); theirs > max(silence, r.timing.silence()) {
			if live, err := r.subscribes(ctx, peers[i].ID); err == nil && live {
				silence = theirs
			}
		}
	}
	r.theirSilence.Store(int64(silence))
	return nil
}

// silence is how long the node leaves a master unasked for its epoch.
func (n *NodeInfo) silence() time.Duration { return Timing{n.Settings.Heartbeat}.silence() }
