package redisconn

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Managed Redis moves a name to another server and leaves the connections to the old one
// open. The old server need not refuse anything: then each half of a cluster believes that
// it is the whole. So a node looks at intervals where the URL's name leads, or which server
// the Sentinels take for the master, and closes its connections to other servers.

const (
	// watchEvery is how often it looks, and watchAgain how soon it looks again before it
	// believes that a name has moved: one answer of a name server that gives
	// different ones by turns is not enough.
	watchEvery = 2 * time.Second
	watchAgain = 500 * time.Millisecond
	// watchAsking bounds one look.
	watchAsking = time.Second
	// maxWatchDelay is how long a name is not looked at that keeps moving: it has
	// more addresses than its server tells at a time.
	maxWatchDelay = time.Minute
	// calmLooks is after how many looks that found nothing a name has calmed down.
	calmLooks = 5
)

// placeWatch is one watch of where Redis is.
type placeWatch struct {
	c     *Client
	delay time.Duration // until the next look
	calm  int           // looks in a row that found nothing

	by *dialer // of all connections of the client

	mu      sync.Mutex
	clients map[string]*redis.Client // of Sentinels
}

// Watch closes, until ctx ends, the connections that lead to another server than the URL's
// name, or the Sentinels, do now.
func (c *Client) Watch(ctx context.Context) {
	w := &placeWatch{c: c, delay: watchEvery, calm: calmLooks, clients: make(map[string]*redis.Client)}
	defer w.closeClients()
	for {
		select {
		case <-time.After(w.delay):
		case <-ctx.Done():
			return
		}
		w.look(ctx)
	}
}

// look closes the connections that lead elsewhere than the name, or the Sentinels.
func (w *placeWatch) look(ctx context.Context) {
	strays := w.strays(ctx)
	if len(strays) == 0 {
		if w.calm++; w.calm >= calmLooks {
			w.delay = watchEvery
		}
		return
	}
	select {
	case <-time.After(watchAgain):
	case <-ctx.Done():
		return
	}
	again := w.strays(ctx)
	strays = slices.DeleteFunc(strays, func(d *dialed) bool { return !slices.Contains(again, d) })
	if len(strays) == 0 {
		return
	}
	w.c.log.Info("Redis has moved: connections to its earlier place are closed",
		"name", strays[0].target, "earlier", strays[0].place.String(), "connections", len(strays))
	closeAll(strays, false)
	if w.calm < calmLooks {
		w.delay = min(2*w.delay, maxWatchDelay)
	}
	w.calm = 0
}

// strays returns the connections that lead to other places than a dial would now. What
// can't be found out at present changes nothing. The servers of a Cluster tell
// themselves who they are.
func (w *placeWatch) strays(ctx context.Context) (strays []*dialed) {
	if w.c.cluster != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, watchAsking)
	defer cancel()
	list := slices.DeleteFunc(w.c.conns.list(), func(d *dialed) bool { return !d.place.IsValid() })
	if len(list) == 0 {
		return nil
	}
	w.by = list[0].by
	master := ""
	if w.by.sentinels != nil {
		found, err := w.by.sentinels.vote(ctx, true, w.sentinel)
		if err != nil {
			return nil
		}
		master = found.addr
	}
	leads := w.leads(ctx)
	return slices.DeleteFunc(list, func(d *dialed) bool {
		return (master == "" || d.target == master) && leads(d.target, d.place.Addr())
	})
}

// leads returns what reports whether a target leads to an address, or can't be
// resolved now.
func (w *placeWatch) leads(ctx context.Context) func(target string, ip netip.Addr) bool {
	known := make(map[string][]netip.Addr)
	return func(target string, ip netip.Addr) bool {
		ips, ok := known[target]
		if !ok {
			host, _, _ := splitPort(target)
			ips, _ = w.by.names.lookup(ctx, host)
			known[target] = ips
		}
		return len(ips) == 0 || slices.Contains(ips, ip)
	}
}

// sentinel returns a client of a Sentinel that stays open: the Sentinels are asked for
// as long as the node lives.
func (w *placeWatch) sentinel(addr string) (*redis.Client, func(bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.clients[addr]
	if c == nil {
		c = w.by.sentinels.client(addr)
		w.clients[addr] = c
	}
	return c, func(usable bool) {
		if usable {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.clients, addr)
	}
}

func (w *placeWatch) closeClients() {
	for _, c := range w.clients {
		_ = c.Close()
	}
}
