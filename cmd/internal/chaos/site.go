//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router/ledger"
)

// site is a cluster with its people and its faults.
type site struct {
	mix      Mix
	opts     Options
	faults   []Fault
	ledger   *ledger.Ledger
	keys     registry.Keys
	dial     dialer
	saboteur *saboteur // nil: nobody breaks promises on purpose
	// returnTime is what everybody has to be connected again after the last fault.
	returnTime time.Duration

	backing *backing
	nodes   []*place
	people  []*person // the first are residents, one for each node
	quiet   chan struct{}
	work    sync.WaitGroup // people and their readers
	probing sync.WaitGroup

	mu         sync.Mutex
	injected   map[Kind]int
	events     []ledger.Event
	troubles   []string // what went wrong that is no violation
	recoveries []ledger.Recovery
}

func newSite(mix Mix, opts Options) *site {
	source := random(opts.Seed, "plan of "+mix.Name)
	people := mix.Nodes + opts.People
	s := &site{
		mix: mix, opts: opts, ledger: ledger.New(fmt.Sprintf("%s-%d", mix.Name, opts.Seed)),
		faults:   plan(source, mix.Courses, opts.Length, mix.Nodes, people),
		injected: make(map[Kind]int), quiet: make(chan struct{}), dial: dial, returnTime: returnTime,
	}
	if len(opts.Plant) > 0 {
		s.saboteur = newSaboteur(opts.Plant, random(opts.Seed, "saboteur of "+mix.Name), s.quiet)
		s.dial = s.saboteur.dial
	}
	for i := range people {
		name, home := fmt.Sprintf("%s-p%d", mix.Name, i+1-mix.Nodes), -1
		if i < mix.Nodes {
			name, home = fmt.Sprintf("%s-r%d", mix.Name, i+1), i
		}
		s.people = append(s.people, &person{
			site: s, name: name, home: home, random: random(opts.Seed, name), orders: make(chan order, 1), quiet: s.quiet,
		})
	}
	return s
}

// start starts Redis and the nodes. What was started ends with stop, also after an
// error.
func (s *site) start(ctx context.Context) (err error) {
	dir := filepath.Join(s.opts.Dir, s.mix.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if s.backing, err = startBacking(ctx, s.mix.Form, dir, s.mix.Nodes); err != nil {
		return fmt.Errorf("%s: %w", s.mix.Name, err)
	}
	if err := s.findKeys(); err != nil {
		return err
	}
	env := append([]string{"BEELINE_CLUSTER_KEY=" + nodeproc.NewKey()}, s.opts.Env...)
	for i := range s.mix.Nodes {
		p, err := newPlace(s.mix.Name, i, dir, s.opts.Binary, s.backing.url(i), env)
		if err != nil {
			return err
		}
		s.nodes = append(s.nodes, p)
	}
	errs := make(chan error, len(s.nodes))
	for _, p := range s.nodes {
		go func() { errs <- p.start(ctx) }()
	}
	for range s.nodes {
		if failed := <-errs; failed != nil {
			err = failed
		}
	}
	return err
}

// findKeys learns how the registry names its keys and channels.
func (s *site) findKeys() error {
	client, err := redisconn.Connect(s.backing.url(0))
	if err != nil {
		return err
	}
	defer client.Close()
	reg, err := registry.New(registry.Options{Redis: client, NodeID: "chaos"})
	if err != nil {
		return err
	}
	s.keys = reg.Keys()
	return nil
}

// stop ends what start began.
func (s *site) stop() {
	for _, p := range s.nodes {
		p.kill()
		p.log.Close()
	}
	if s.backing != nil {
		s.backing.kill()
	}
}

// pick chooses a node to connect to: home if it is up, else any but avoid if there
// is another one.
func (s *site) pick(random *rand.Rand, home, avoid int) (node int, url string) {
	if home >= 0 && home != avoid {
		if n := s.nodes[home].current(); n != nil {
			return home, n.URL
		}
	}
	for _, i := range random.Perm(len(s.nodes)) {
		if n := s.nodes[i].current(); n != nil && (i != avoid || url == "") {
			if node, url = i, n.URL; i != avoid {
				return node, url
			}
		}
	}
	return node, url
}

// receiver chooses whom p sends to: mostly one of few friends, so that orders and
// caches are put to the test; sometimes anybody, and sometimes nobody.
func (s *site) receiver(p *person) string {
	own := p.place()
	switch n := p.random.IntN(20); {
	case n == 0:
		return fmt.Sprintf("%s-nobody%d", s.mix.Name, p.random.IntN(10))
	case n < 6:
		return s.people[(own+1+p.random.IntN(len(s.people)-1))%len(s.people)].name
	default:
		return s.people[(own+1+p.random.IntN(friends))%len(s.people)].name
	}
}

// place is p's number among the site's people.
func (p *person) place() int {
	for i, other := range p.site.people {
		if other == p {
			return i
		}
	}
	return 0
}

// event notes what happened, for the stories.
func (s *site) event(at time.Time, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ledger.Event{At: at, Text: fmt.Sprintf(format, args...)})
}

func (s *site) count(kind Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.injected[kind]++
}

// trouble notes what makes a run worth less without being a violation.
func (s *site) trouble(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.troubles = append(s.troubles, fmt.Sprintf("%s: %v", s.mix.Name, err))
}
