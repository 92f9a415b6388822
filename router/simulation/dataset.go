package simulation

import (
	"cmp"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// dataset is what a Redis server has of the registry: what scripts/*.lua read and write.
type dataset struct {
	replid uint64
	epoch  struct {
		id, replid uint64
		at         time.Duration
	}
	owners map[string]*owners
	leases map[string]*nodeLease
}

// owners is an address's hash, in the order of nodes.
type owners struct {
	entries []entry
	expires time.Duration
}

type entry struct {
	node  string
	token uint64
}

// nodeLease is a node's lease.
type nodeLease struct {
	info    registry.NodeInfo
	vouched uint64 // the epoch in which the node has verified its leases
	expires time.Duration
}

func newDataset() *dataset {
	return &dataset{owners: make(map[string]*owners), leases: make(map[string]*nodeLease)}
}

// clone is a snapshot.
func (d *dataset) clone() *dataset {
	c := newDataset()
	c.replid, c.epoch = d.replid, d.epoch
	for address, o := range d.owners {
		c.owners[address] = &owners{slices.Clone(o.entries), o.expires}
	}
	for node, l := range d.leases {
		lease := *l
		c.leases[node] = &lease
	}
	return c
}

// of returns an address's entries.
func (d *dataset) of(address string, now time.Duration) []entry {
	o := d.owners[address]
	if o == nil {
		return nil
	}
	if o.expires <= now {
		delete(d.owners, address)
		return nil
	}
	return o.entries
}

func (d *dataset) token(address, node string, now time.Duration) (token uint64, ok bool) {
	for _, e := range d.of(address, now) {
		if e.node == node {
			return e.token, true
		}
	}
	return 0, false
}

// put writes an entry.
func (d *dataset) put(address string, e entry, now, ttl time.Duration) {
	entries := d.of(address, now)
	i, found := slices.BinarySearchFunc(entries, e, func(a, b entry) int { return cmp.Compare(a.node, b.node) })
	if found {
		entries = slices.Clone(entries)
		entries[i] = e
	} else {
		entries = slices.Insert(slices.Clone(entries), i, e)
	}
	d.owners[address] = &owners{entries, now + ttl}
}

// remove deletes entries that still have the tokens.
func (d *dataset) remove(address string, gone []entry, now time.Duration) {
	left := slices.DeleteFunc(slices.Clone(d.of(address, now)), func(e entry) bool { return slices.Contains(gone, e) })
	if len(left) == 0 {
		delete(d.owners, address)
		return
	}
	d.owners[address].entries = left
}

// lease returns a node's lease, or nil.
func (d *dataset) lease(node string, now time.Duration) *nodeLease {
	l := d.leases[node]
	if l != nil && l.expires <= now {
		delete(d.leases, node)
		return nil
	}
	return l
}

// listed returns the nodes that have a lease, in order.
func (d *dataset) listed(now time.Duration) (nodes []string) {
	for node, l := range d.leases {
		if l.expires > now {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// readEpoch returns the epoch that the data of a master live in, or begins it, as
// epoch.lua does.
func (s *server) readEpoch(silence time.Duration) (uint64, error) {
	if s.primary != nil {
		return 0, errReadOnly
	}
	now := s.world.now
	e := &s.data.epoch
	id := e.id
	if e.id == 0 || e.replid != s.data.replid || now-e.at > silence {
		id = s.world.chance.Uint64() | 1
		s.world.record("%s begins epoch %x", s.name, id)
	}
	replid := s.data.replid
	s.write(func(d *dataset) { d.epoch.id, d.epoch.replid, d.epoch.at = id, replid, now })
	return id, nil
}
