package registry

import (
	"context"
	"strconv"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

const (
	// maxNodes is how many nodes a cluster may have. Of the list of nodes that many are read,
	// the last to have beaten, and of each master's subscribers as many.
	maxNodes = 1 << 10
	// maxListed is how many nodes the list holds; beyond it, those that beat longest ago
	// are struck off.
	maxListed = 4 * maxNodes
	// maxStruckOff is how many nodes one call strikes off the list, of each kind: meanwhile
	// Redis serves no other client.
	maxStruckOff = 10_000
	// longGone is how long a node is listed that does not beat any more. A node that was
	// killed has not struck itself off.
	longGone = time.Hour
	// farAhead is how far ahead of Redis' time a beat may lie, as it does after a failover to
	// a host whose clock is behind.
	farAhead = time.Minute
)

// listedNode is an entry of the list of nodes.
type listedNode struct {
	id   string
	beat float64 // its last, Unix ms
}

// nodeList is what list.lua answered: the node that has beaten last comes first.
type nodeList struct {
	now    float64 // Redis' Unix ms
	listed []listedNode
}

func (l *nodeList) ids() []string {
	ids := make([]string, len(l.listed))
	for i, n := range l.listed {
		ids[i] = n.id
	}
	return ids
}

// listCall reads the list of nodes, up to most of them, and enlists a node; empty: none.
func (r *Registry) listCall(enlist string, most int) *redisconn.Call {
	return listScript.Call([]string{r.keys.Nodes()}, enlist, most,
		longGone.Milliseconds(), farAhead.Milliseconds(), maxListed, maxStruckOff)
}

// listNodes reads the list of nodes.
func (r *Registry) listNodes(ctx context.Context) (nodeList, error) {
	c := r.listCall("", maxNodes)
	if err := r.redis.Run(ctx, []*redisconn.Call{c}); err != nil {
		return nodeList{}, err
	}
	return r.readList(c)
}

func (r *Registry) readList(c *redisconn.Call) (l nodeList, err error) {
	reply, err := c.Cmd.StringSlice()
	if err != nil {
		return l, err
	}
	if len(reply) < 2 || len(reply)%2 != 0 {
		return l, errMalformed
	}
	if reply[1] != "" {
		r.logOverwritten(r.keys.Nodes(), reply[1])
	}
	if l.now, err = strconv.ParseFloat(reply[0], 64); err != nil {
		return l, errMalformed
	}
	for pair := reply[2:]; len(pair) > 0; pair = pair[2:] {
		beat, err := strconv.ParseFloat(pair[1], 64)
		if err != nil {
			return l, errMalformed
		}
		l.listed = append(l.listed, listedNode{pair[0], beat})
	}
	return l, nil
}
