package registry

import (
	"context"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// groupKeys bounds the claims, or releases, of one script call: meanwhile Redis serves no
// other client.
const groupKeys = 128

// group is what the batcher sends in one pipeline. Its memory serves one group
// after the other.
type group struct {
	claims   []*claim
	releases []release

	calls        calls
	claimCalls   []part                // what each call claims
	releaseCalls []part                // what each call releases
	epochs       map[string]*epochRead // by the tag of their master

	shifts redisconn.SlotShifts // before the claims were written
	every  string               // the epoch of all masters that was settled when they were sent; empty: none was
}

// epochRead reads a master's epoch behind a group's claims.
type epochRead struct {
	call    *redisconn.Call
	settled string // the epoch that was settled when the claims were sent; empty: none was
	id      string // the answer
	err     error
}

// part is a script call for some of a group's claims or releases.
type part struct {
	call     *redisconn.Call
	from, to int
}

// reset makes the group empty.
func (g *group) reset() {
	clear(g.claims)
	clear(g.releases)
	g.claims, g.releases = g.claims[:0], g.releases[:0]
	g.claimCalls, g.releaseCalls = g.claimCalls[:0], g.releaseCalls[:0]
	clear(g.epochs)
	g.calls.reset()
}

// write makes the group's calls. If there is an error, only those of the
// releases.
func (g *group) write(ctx context.Context, r *Registry) error {
	err := g.writeClaims(ctx, r)
	if err != nil {
		g.calls.reset()
		clear(g.epochs)
		g.claimCalls = g.claimCalls[:0]
	}
	g.writeReleases(r)
	return err
}

// writeClaims makes one call for claims of a kind that follow each other, and
// behind them one for the epoch of each master.
func (g *group) writeClaims(ctx context.Context, r *Registry) error {
	g.shifts = r.redis.SlotShifts() // before any claim's master is
	for from, to := 0, 0; from < len(g.claims); from = to {
		for to = from + 1; to < min(len(g.claims), from+r.keysOfACall()); to++ {
			if !g.claims[to].sameKind(g.claims[from]) {
				break
			}
		}
		if err := g.writeClaimCall(ctx, r, g.claims[from:to]); err != nil {
			return err
		}
		g.claimCalls = append(g.claimCalls, part{g.calls.last(), from, to})
	}
	for _, cl := range g.claims {
		if _, ok := g.epochs[cl.master]; !ok {
			g.epochs[cl.master] = &epochRead{call: r.epochCall(cl.master)}
			g.calls.add(g.epochs[cl.master].call)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g.every = r.epochs.settled(allMasters)
	for master, read := range g.epochs {
		read.settled = r.epochs.settled(master)
	}
	return nil
}

func (g *group) writeClaimCall(ctx context.Context, r *Registry, claims []*claim) (err error) {
	g.calls.begin(claimScript, len(claims), 5+len(claims))
	for _, cl := range claims {
		key := g.calls.key(r.keys, cl.address)
		if cl.master, err = r.masters.tag(ctx, key); err != nil {
			return err
		}
	}
	g.calls.value(&r.opts.NodeID)
	g.calls.value(r.timing.LeaseTTL().Milliseconds())
	g.calls.value(string(claims[0].rule))
	g.calls.value(claims[0].kind())
	g.calls.value(MaxOwners)
	for _, cl := range claims {
		g.calls.token(cl.number)
	}
	return nil
}

func (g *group) writeReleases(r *Registry) {
	for from, to := 0, 0; from < len(g.releases); from = to {
		to = min(len(g.releases), from+r.keysOfACall())
		releases := g.releases[from:to]
		g.calls.begin(releaseScript, len(releases), 2*len(releases))
		for _, rel := range releases {
			g.calls.key(r.keys, rel.address)
		}
		for _, rel := range releases {
			g.calls.value(&r.opts.NodeID)
			g.calls.token(rel.number)
		}
		g.releaseCalls = append(g.releaseCalls, part{g.calls.last(), from, to})
	}
}

// keysOfACall is how many addresses one script call may touch: in Cluster one,
// because keys of one call must share a slot.
func (r *Registry) keysOfACall() int {
	if r.redis.IsCluster() {
		return 1
	}
	return groupKeys
}

// readEpochs takes over the epochs that were read behind the claims. Where slots move
// they don't count: then all masters are asked, and vouch for all claims.
func (g *group) readEpochs(ctx context.Context, r *Registry) {
	for master, read := range g.epochs {
		read.id, read.err = r.noteEpochAnswer(master, read.call)
	}
	if r.slotsRested(g.shifts) {
		return
	}
	every := &epochRead{settled: g.every}
	every.id, every.err = r.passBarrier(ctx, allMasters)
	clear(g.epochs)
	g.epochs[allMasters] = every
	for _, cl := range g.claims {
		cl.master = allMasters
	}
}

// readClaims takes over the answers about claims. The error is one of theirs.
func (g *group) readClaims(r *Registry) (failed error) {
	for _, p := range g.claimCalls {
		claims := g.claims[p.from:p.to]
		err := readClaims(claims, p.call.Cmd)
		for _, cl := range claims {
			if cl.err = err; err == nil {
				read := g.epochs[cl.master]
				cl.epoch, cl.err = read.id, read.err
				cl.complete = read.id != "" && read.id == read.settled && cl.was == ""
			}
			if cl.was != "" {
				r.claimMetOverwritten(cl)
			}
			cl.wrote = cl.wrote || cl.err != nil || cl.verdict == written
			if cl.err != nil {
				failed = cl.err
			}
		}
	}
	return failed
}

// readReleases returns those that failed, and calls repeat with those that are
// doubtful.
func (g *group) readReleases(repeat func(release)) (again []release, failed error) {
	for _, p := range g.releaseCalls {
		if err := p.call.Cmd.Err(); err != nil {
			failed = err
			again = append(again, g.releases[p.from:p.to]...)
			continue
		}
		for _, rel := range g.releases[p.from:p.to] {
			if rel.doubtful {
				repeat(rel)
			}
		}
	}
	return again, failed
}
