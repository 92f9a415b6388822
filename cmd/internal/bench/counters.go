package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
	"github.com/beeline-ws/beeline/cmd/internal/report"
	"github.com/beeline-ws/beeline/registry/redisproc"
)

// scrapeTimeout bounds one look at a node's metrics, or at Redis.
const scrapeTimeout = 10 * time.Second

// redisCounters are what Redis counts, since its start.
type redisCounters struct{ commands, in, out float64 }

// nodeCounters are sums over all nodes.
type nodeCounters struct{ wasted, lookups, publishes float64 }

// reading is everything that is counted, at one moment.
type reading struct {
	at                 time.Time
	redis, own         time.Duration   // processor time
	nodes              []time.Duration // processor time of each; 0: it has ended
	server             redisCounters
	metrics            nodeCounters
	askedIn, askedOut  float64 // what asking Redis cost, and is in the next reading
	hasCPU, hasMetrics bool
	hasServer          bool
}

// gauge reads a target's counters.
type gauge struct {
	nodes  []*nodeproc.Node  // empty: not this program's
	redis  *redisproc.Server // nil: not this program's
	admins []string
	server *redis.Client // nil: not known
	web    *http.Client
}

// newGauge connects already, so that the counters don't count it later.
func newGauge(ctx context.Context, redisURL string) (*gauge, error) {
	g := &gauge{web: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: scrapeTimeout}}
	if redisURL == "" {
		return g, nil
	}
	opts, err := redis.ParseURL(redisURL)
	if err != nil {
		return nil, fmt.Errorf("the Redis to measure: %w", err)
	}
	opts.PoolSize, opts.MaxRetries, opts.DisableIdentity, opts.ContextTimeoutEnabled = 1, -1, true, true
	opts.DialerRetries = 1
	g.server = redis.NewClient(opts)
	if err := g.server.Ping(ctx).Err(); err != nil {
		return nil, errors.Join(fmt.Errorf("the Redis to measure: %w", err), g.server.Close())
	}
	return g, nil
}

func (g *gauge) close() {
	if g.server != nil {
		_ = g.server.Close() // nothing is under way
	}
}

// before reads the counters ahead of a load: the processor time last.
func (g *gauge) before(ctx context.Context) (r reading, err error) {
	err = errors.Join(g.scrape(ctx, &r), g.ask(ctx, &r))
	g.spent(&r)
	r.at = time.Now()
	return r, err
}

// after reads the counters behind a load: the processor time first.
func (g *gauge) after(ctx context.Context) (r reading, err error) {
	r.at = time.Now()
	g.spent(&r)
	err = errors.Join(g.ask(ctx, &r), g.scrape(ctx, &r))
	return r, err
}

// spent reads processor times. A system without them has none.
func (g *gauge) spent(r *reading) {
	r.own, r.hasCPU, r.nodes = ownCPU(), len(g.nodes) > 0, make([]time.Duration, len(g.nodes))
	for i, n := range g.nodes {
		select {
		case <-n.Exited():
			continue
		default:
		}
		cpu, err := n.CPU()
		r.nodes[i], r.hasCPU = cpu, r.hasCPU && err == nil
	}
	if g.redis != nil {
		cpu, err := g.redis.CPU()
		r.redis, r.hasCPU = cpu, r.hasCPU && err == nil
	}
}

// ask reads Redis' counters, and what asking adds to them.
func (g *gauge) ask(ctx context.Context, r *reading) error {
	if g.server == nil {
		return nil
	}
	const asked = len("*2\r\n$4\r\ninfo\r\n$5\r\nstats\r\n")
	info, err := g.server.Info(ctx, "stats").Result()
	if err != nil {
		return fmt.Errorf("ask Redis what it did: %w", err)
	}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		for _, one := range []struct {
			name  string
			field *float64
		}{
			{"total_commands_processed", &r.server.commands},
			{"total_net_input_bytes", &r.server.in},
			{"total_net_output_bytes", &r.server.out},
		} {
			if name == one.name {
				if *one.field, err = strconv.ParseFloat(value, 64); err != nil {
					return fmt.Errorf("ask Redis what it did: %w", err)
				}
			}
		}
	}
	r.hasServer = true
	r.askedIn, r.askedOut = float64(asked), float64(len("$\r\n\r\n")+len(strconv.Itoa(len(info)))+len(info))
	return nil
}

// scrape reads the nodes' metrics.
func (g *gauge) scrape(ctx context.Context, r *reading) error {
	for i, admin := range g.admins {
		if g.nodes != nil {
			select {
			case <-g.nodes[i].Exited():
				continue
			default:
			}
		}
		if err := g.scrapeNode(ctx, admin, &r.metrics); err != nil {
			return fmt.Errorf("read the metrics of node %d: %w", i+1, err)
		}
		r.hasMetrics = true
	}
	return nil
}

func (g *gauge) scrapeNode(ctx context.Context, admin string, sum *nodeCounters) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/metrics", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := g.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", req.URL, resp.Status)
	}
	return sum.add(resp.Body)
}

// add adds the series of one node, in Prometheus' text format. It has none of
// beeline's if it is not a node's.
func (c *nodeCounters) add(text io.Reader) error {
	wanted := map[string]*float64{
		"beeline_wasted_deliveries_total": &c.wasted,
		"beeline_lookups_total":           &c.lookups,
		"beeline_publishes_total":         &c.publishes,
	}
	found := 0
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		sum, ok := wanted[name]
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return err
		}
		*sum += n
		found++
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if found < len(wanted) {
		return errors.New("these are not a beeline node's metrics")
	}
	return nil
}

// memory is what the nodes occupy, in bytes; ok is false where it can't be known.
func (g *gauge) memory() (sum int64, ok bool) {
	for _, n := range g.nodes {
		rss, err := n.RSS()
		if err != nil {
			return 0, false
		}
		sum += rss
	}
	return sum, len(g.nodes) > 0
}

// nodesSince is the processor time that the nodes which still run took since an earlier
// reading.
func (r *reading) nodesSince(before *reading) (sum time.Duration) {
	for i, cpu := range r.nodes {
		if cpu > 0 {
			sum += cpu - before.nodes[i]
		}
	}
	return sum
}

// perMessage puts the differences between two readings into figures, for each of
// the messages in between.
func perMessage(figures map[report.Figure]float64, a, b *reading, messages int64) {
	if messages == 0 {
		return
	}
	n := float64(messages)
	if a.hasCPU && b.hasCPU {
		figures[report.NodeCPU] = micros(b.nodesSince(a)) / n
		figures[report.RedisCPU] = micros(b.redis-a.redis) / n
	}
	if a.hasServer && b.hasServer {
		figures[report.RedisCommands] = (b.server.commands - a.server.commands - 1) / n
		figures[report.RedisBytesIn] = (b.server.in - a.server.in - a.askedIn) / n
		figures[report.RedisBytesOut] = (b.server.out - a.server.out - a.askedOut) / n
	}
	if a.hasMetrics && b.hasMetrics {
		figures[report.Wasted] = (b.metrics.wasted - a.metrics.wasted) / n
		figures[report.LookupsPerMessage] = (b.metrics.lookups - a.metrics.lookups) / n
		figures[report.PublishesPerMessage] = (b.metrics.publishes - a.metrics.publishes) / n
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
