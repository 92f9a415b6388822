//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/router/ledger"
)

// Options say what a run is to be. All are needed unless their comments say what
// none or 0 stands for.
type Options struct {
	Length   time.Duration // of the time in which faults are injected
	Seed     uint64
	Binary   string        // a beeline
	Dir      string        // for logs and stories; it must exist
	Sites    []string      // only these; none: all
	People   int           // of each site, besides one resident for each node
	Interval time.Duration // mean time between a person's bursts of messages
	Confirm  float64       // share of the messages that ask for the receiver's acknowledgement; 0: none
	Repeat   float64       // share of the unanswered messages that the next session sends again; 0: none
	Env      []string      // further settings of the nodes; none: their defaults
	Rules    ledger.Rules
	Plant    []ledger.Kind // what a saboteur breaks on purpose; none: nobody does
	Progress func(string)  // is told when the faults begin, and every 15 s how far the run is
}

// DefaultRules are the rules for nodes with default settings.
func DefaultRules() ledger.Rules {
	return ledger.Rules{
		Deadline: 5 * time.Second,
		Slack:    2 * time.Second,
		Notice:   500 * time.Millisecond,  // what the pulse may miss
		Recovery: 2 * time.Second,         // 10 ms, but what the pulse may miss, and two looks at a node of 500 ms at the most
		Lapse:    3800 * time.Millisecond, // two of three heartbeats: the last one may have been just before
		Redial:   2500 * time.Millisecond, // a heartbeat finds out about one connection in 1.25 s, and about two in turn
		Beat:     3 * time.Second,         // a heartbeat, and until it is noticed that Redis is back
		Return:   6 * time.Second,         // until dead connections to Redis are noticed, too
	}
}

// SiteNames lists the names that Options.Sites may have.
func SiteNames() (names []string) {
	for _, m := range mixes() {
		names = append(names, m.Name)
	}
	return names
}

// Run runs the sites and judges them. The error is about what kept it from doing
// so; violations are in the result. If ctx ends, there is an error and a result, of
// what happened until then.
func Run(ctx context.Context, opts Options) (_ *Result, err error) {
	var sites []*site
	for _, m := range mixes() {
		if len(opts.Sites) == 0 || slices.Contains(opts.Sites, m.Name) {
			sites = append(sites, newSite(m, opts))
		}
	}
	if len(sites) == 0 {
		return nil, fmt.Errorf("sites %q: allowed are %s", opts.Sites, strings.Join(SiteNames(), ", "))
	}
	stop := sync.OnceFunc(func() {
		for _, s := range sites {
			s.stop()
		}
	})
	defer stop()
	used := usedTime()
	for _, s := range sites {
		if err := s.start(ctx); err != nil {
			return nil, err
		}
	}
	r := &Result{Options: opts, Started: time.Now()}
	opts.Progress("all sites are up")
	busy := busyTime()
	watched, enough := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { progress(watched, opts, sites, r.Started) })
	watching.Go(func() { r.Still = pulse(watched, sites) })
	absent := make([][]missing, len(sites))
	var running sync.WaitGroup
	for i, s := range sites {
		running.Go(func() { absent[i] = s.run(ctx, r.Started) })
	}
	running.Wait()
	enough()
	watching.Wait()
	r.Took, r.Busy = time.Since(r.Started), busyTime().since(busy)
	stop()
	// A judge needs seconds and the ledger's lock. One that worked beside the pulse would keep
	// it from noting, for the other sites as well, that the machine stood still.
	for i, s := range sites {
		r.Sites = append(r.Sites, s.judge(absent[i]))
	}
	r.Used = (usedTime() - used).Seconds() / r.Took.Seconds() / float64(runtime.NumCPU())
	if ctx.Err() != nil {
		err = fmt.Errorf("the run was ended after %v: %w", r.Took.Round(time.Second), context.Cause(ctx))
	}
	return r, errors.Join(err, r.writeStories(sites))
}

// run is a site's life between its start and its stop. It returns the calls of the roll
// call that nobody answered.
func (s *site) run(ctx context.Context, start time.Time) (absent []missing) {
	living, end := context.WithCancel(ctx)
	defer end()
	for _, p := range s.people {
		s.work.Go(func() { p.live(living) })
	}
	s.inject(ctx, start)
	s.awaitSabotage(ctx)
	close(s.quiet)
	absent = s.rollCall(ctx)
	s.drain(ctx)
	end()
	s.work.Wait()
	return absent
}

// judge says what of the site's promises was kept.
func (s *site) judge(absent []missing) SiteResult {
	planned := make(map[Kind]int)
	for _, f := range s.faults {
		planned[f.Kind]++
	}
	verdict := s.ledger.Judge(s.opts.Rules)
	for _, m := range absent {
		verdict.Unreached(m.message, m.what, m.at)
	}
	return SiteResult{
		Mix: s.mix, Verdict: verdict, Injected: s.injected, Planned: planned, Troubles: s.troubles,
		Recoveries: s.recoveries,
	}
}

// awaitSabotage lets people talk on until the saboteur, if there is one, has planted
// enough to be found out. What he did among the faults may be excused by them.
func (s *site) awaitSabotage(ctx context.Context) {
	if s.saboteur == nil {
		return
	}
	s.saboteur.excuse(time.Now().Add(s.opts.Rules.Return))
	var wanting []ledger.Kind
	done := s.await(ctx, sabotageTime, func() bool {
		wanting = s.saboteur.wanting()
		return len(wanting) == 0
	})
	if !done && ctx.Err() == nil {
		s.trouble(fmt.Errorf("the saboteur had no time to plant enough of %v", wanting))
	}
}

// progress says from time to time how far the run is.
func progress(ctx context.Context, opts Options, sites []*site, start time.Time) {
	for sleep(ctx, 15*time.Second) {
		faults, messages := 0, 0
		for _, s := range sites {
			s.mu.Lock()
			for _, n := range s.injected {
				faults += n
			}
			s.mu.Unlock()
			messages += s.ledger.Size()
		}
		opts.Progress(fmt.Sprintf("%5.0fs  %d faults, %d messages", time.Since(start).Seconds(), faults, messages))
	}
}

// maxStories is how many violations of a site are told; the others are much alike.
const maxStories = 200

// writeStories writes into the run's directory what was done to each site, and what
// is known about its violations.
func (r *Result) writeStories(sites []*site) error {
	var errs []error
	for i, s := range sites {
		dir := filepath.Join(r.Options.Dir, s.mix.Name)
		var b strings.Builder
		for _, e := range s.events {
			fmt.Fprintf(&b, "%10.4f  %s\n", e.At.Sub(r.Started).Seconds(), e.Text)
		}
		errs = append(errs, os.WriteFile(filepath.Join(dir, "faults.txt"), []byte(b.String()), 0o644))
		b.Reset()
		for n, v := range r.Sites[i].Verdict.Violations {
			if n < maxStories {
				fmt.Fprintf(&b, "%d. %s: %s\n%s\n", n+1, v.Kind, v.What, s.ledger.Story(v, r.Started, s.events))
			}
		}
		if b.Len() > 0 {
			r.Sites[i].Stories = filepath.Join(dir, "violations.txt")
			errs = append(errs, os.WriteFile(r.Sites[i].Stories, []byte(b.String()), 0o644))
		}
	}
	return errors.Join(errs...)
}
