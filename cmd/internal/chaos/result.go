//go:build unix

package chaos

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/router/ledger"
)

// Result is what a run found.
type Result struct {
	Options Options
	Started time.Time
	Took    time.Duration
	Used    float64 // share of the machine's processor time, 0 to 1, that the run used
	Busy    float64 // share of it that anybody used
	// Still is for how long this program did not get to run; what happened then is
	// held against nobody.
	Still time.Duration
	Sites []SiteResult
}

// SiteResult is what was found at one site.
type SiteResult struct {
	Mix        Mix
	Verdict    *ledger.Verdict
	Injected   map[Kind]int
	Planned    map[Kind]int // faults
	Troubles   []string
	Recoveries []ledger.Recovery
	Stories    string // the file about its violations; empty: there are none
}

// Violations counts all.
func (r *Result) Violations() (n int) {
	for _, s := range r.Sites {
		n += len(s.Verdict.Violations)
	}
	return n
}

// Doubts says why a run without violations proves little: faults that were planned
// and not injected, or a site where nothing was delivered.
func (r *Result) Doubts() (doubts []string) {
	for _, s := range r.Sites {
		for _, kind := range Kinds() {
			planned, injected := s.Planned[kind], s.Injected[kind]
			if kind.moves() { // who is on the way is not moved
				planned = min(planned, 1)
			}
			if 2*injected < planned {
				doubts = append(doubts, fmt.Sprintf("%s: %s: only %d of %d faults", s.Mix.Name, kind, injected, planned))
			}
		}
		if s.Verdict.Received == 0 {
			doubts = append(doubts, s.Mix.Name+": nothing was delivered")
		}
	}
	return doubts
}

func (k Kind) moves() bool { return k == MoveClient || k == DropClient }

// Found reports whether every kind of violation that was planted was found.
func (r *Result) Found() bool {
	for _, kind := range r.Options.Plant {
		if !slices.ContainsFunc(r.Sites, func(s SiteResult) bool { return s.Verdict.Count(kind) > 0 }) {
			return false
		}
	}
	return true
}

// Write writes the tables for people.
func (r *Result) Write(out io.Writer) {
	fmt.Fprintf(out, "\nfaults for %v, %v in all, seed %d; processors %.0f %% busy, %.0f %% with this run\n\n",
		r.Options.Length, r.Took.Round(time.Second), r.Options.Seed, 100*r.Busy, 100*r.Used)
	if r.Still > 0 {
		fmt.Fprintf(out, "The machine had too much to do: for %v it stood still, which excuses what happened then.\n\n",
			r.Still.Round(time.Millisecond))
	}
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', tabwriter.AlignRight)
	r.head(w, "faults")
	for _, kind := range Kinds() {
		r.row(w, string(kind), func(s SiteResult) int { return s.Injected[kind] })
	}
	r.row(w, "planned; who is on the way is not moved", func(s SiteResult) int {
		n := 0
		for _, planned := range s.Planned {
			n += planned
		}
		return n
	})
	fmt.Fprintln(w)
	r.head(w, "traffic")
	r.row(w, "messages sent", func(s SiteResult) int { return s.Verdict.Messages })
	r.row(w, "sent again", func(s SiteResult) int { return s.Verdict.Repeats })
	r.row(w, "received", func(s SiteResult) int { return s.Verdict.Received })
	for _, outcome := range r.outcomes() {
		r.row(w, "receipt "+outcome, func(s SiteResult) int { return s.Verdict.Receipts[outcome] })
	}
	r.row(w, "sessions", func(s SiteResult) int { return s.Verdict.Sessions })
	r.row(w, "attempts to connect that were in vain", func(s SiteResult) int { return s.Verdict.NoSession })
	r.row(w, "delivered to somebody who was just leaving", func(s SiteResult) int { return s.Verdict.Excusable })
	fmt.Fprintln(w)
	r.head(w, "explained by a fault")
	for _, excuse := range ledger.Excuses() {
		r.row(w, string(excuse), func(s SiteResult) int { return s.Verdict.Excused[excuse] })
	}
	fmt.Fprintln(w)
	r.head(w, "violations")
	for _, kind := range ledger.Kinds() {
		r.row(w, string(kind), func(s SiteResult) int { return s.Verdict.Count(kind) })
	}
	_ = w.Flush()
	r.writeRecovery(out)
	r.writeEnds(out)
	for _, s := range r.Sites {
		for _, trouble := range s.Troubles {
			fmt.Fprintf(out, "trouble: %s\n", quote.Line(trouble))
		}
		if s.Stories != "" {
			fmt.Fprintf(out, "violations of %s are told in %s\n", s.Mix.Name, s.Stories)
		}
	}
}

func (r *Result) head(w io.Writer, what string) {
	fmt.Fprintf(w, "%s\t", what)
	for _, s := range r.Sites {
		fmt.Fprintf(w, "%s\t", s.Mix.Name)
	}
	fmt.Fprint(w, "all\t\n")
}

func (r *Result) row(w io.Writer, what string, count func(SiteResult) int) {
	fmt.Fprintf(w, "%s\t", what)
	all := 0
	for _, s := range r.Sites {
		n := count(s)
		all += n
		fmt.Fprintf(w, "%d\t", n)
	}
	fmt.Fprintf(w, "%d\t\n", all)
}

func (r *Result) outcomes() []string {
	seen := make(map[string]bool)
	for _, s := range r.Sites {
		for outcome := range s.Verdict.Receipts {
			seen[outcome] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// writeRecovery tells how soon a killed node's clients were answered for.
func (r *Result) writeRecovery(out io.Writer) {
	fmt.Fprintln(out, "\nfrom SIGKILL of a node to the first truthful receipt about its clients; not measured is\n"+
		"where they had just left, or nobody could be asked on a node that went on:")
	for _, s := range r.Sites {
		var times []time.Duration
		unknown := 0
		for _, one := range s.Recoveries {
			if one.Known {
				times = append(times, one.Took)
			} else {
				unknown++
			}
		}
		slices.Sort(times)
		redis := "Redis fails, too"
		if s.Mix.undisturbed() {
			redis = "Redis is up"
		}
		fmt.Fprintf(out, "  %-10s %-17s %4d kills, %4d measured", s.Mix.Name, redis+":", s.Injected[KillNode], len(times)+unknown)
		if len(times) > 0 {
			fmt.Fprintf(out, ": p50 %s, p90 %s, p99 %s, max %s", millis(quantile(times, 0.5)), millis(quantile(times, 0.9)),
				millis(quantile(times, 0.99)), millis(times[len(times)-1]))
		}
		if unknown > 0 {
			fmt.Fprintf(out, "; none within %v after %d kills", probeTime, unknown)
		}
		fmt.Fprintln(out)
		for _, one := range s.Recoveries {
			took := millis(one.Took)
			switch {
			case !one.Known:
				took = "no answer"
			case one.Took <= slowRecovery:
				continue
			}
			fmt.Fprintf(out, "    %s: asked from %s, killed at %.3f\n", took, one.Asker, one.Killed.Sub(r.Started).Seconds())
		}
	}
}

// slowRecovery is what is worth a line of its own.
const slowRecovery = 500 * time.Millisecond

// undisturbed reports whether no fault is about the site's Redis.
func (m Mix) undisturbed() bool {
	for _, c := range m.Courses {
		switch c.Kind {
		case KillNode, StopNode, FreezeNode, MoveClient, DropClient:
		default:
			return false
		}
	}
	return true
}

// quantile is the nearest rank of a sorted list.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// writeEnds tells why sessions ended.
func (r *Result) writeEnds(out io.Writer) {
	sum := make(map[string]int)
	for _, s := range r.Sites {
		for how, n := range s.Verdict.Ends {
			sum[how] += n
		}
	}
	var list []string
	for _, how := range slices.SortedFunc(maps.Keys(sum), func(a, b string) int { return sum[b] - sum[a] }) {
		list = append(list, fmt.Sprintf("%s %d", how, sum[how]))
	}
	fmt.Fprintf(out, "\nsessions ended: %s\n", strings.Join(list, ", "))
}
