package router

import (
	"context"
	"errors"
	"testing"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/task"
)

// witness is a registry and a prober that say what they are told to of one node.
type witness struct {
	Registry
	Prober
	leased, draining bool
	failed           error // of the look at its lease
	dead             bool  // what the registry confirms
	at               string
	notAt            error
}

func (w *witness) Node(context.Context, string) (registry.NodeInfo, bool, error) {
	return registry.NodeInfo{URL: "http://n9", Draining: w.draining}, w.leased, w.failed
}

func (w *witness) ConfirmDead(context.Context, string) (bool, error) { return w.dead, nil }

func (w *witness) NodeAt(context.Context, string) (string, error) { return w.at, w.notAt }

// What does not prove that a suspect is dead leaves it alive.
func TestOnlyProofsMakeASuspectDead(t *testing.T) {
	for _, tc := range []struct {
		name string
		w    witness
		want death
	}{
		{"it answers", witness{leased: true, at: "n9"}, notDead},
		{"another one answers", witness{leased: true, at: "n8"}, notAtAddress},
		{"nobody is there", witness{leased: true, notAt: ErrRefused}, notAtAddress},
		{"nobody answers in time", witness{leased: true, notAt: context.DeadlineExceeded}, notDead},
		{"it drains, and nobody is there", witness{leased: true, draining: true, notAt: ErrRefused}, notDead},
		{"it has no lease", witness{dead: true, notAt: ErrRefused}, leaseEnded},
		{"it has no lease, but Redis may have lost it", witness{notAt: ErrRefused}, notDead},
		{"Redis does not answer", witness{failed: errors.New("no answer"), dead: true, notAt: ErrRefused}, notDead},
	} {
		r := &Router{opts: Options{Prober: &tc.w}, reg: &tc.w, runtime: task.Real{}}
		if got := r.confirmDeath(t.Context(), "n9"); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
