//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
	"github.com/beeline-ws/beeline/registry/redisproc"
)

func TestMain(m *testing.M) {
	logging.Disable()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(built)
		os.Exit(code)
	}))
}

// built is where binary builds.
var built = filepath.Join(os.TempDir(), fmt.Sprintf("beeline-chaos-test-%d", os.Getpid()))

// binary builds beeline, once.
var binary = sync.OnceValues(func() (string, error) { return nodeproc.Build(context.Background(), built) })

func TestSameSeedIsTheSamePlan(t *testing.T) {
	for _, m := range mixes() {
		faults := func(seed uint64) []Fault {
			return newSite(m, Options{Seed: seed, Length: time.Minute, People: 5}).faults
		}
		if !reflect.DeepEqual(faults(1), faults(1)) {
			t.Errorf("%s: seed 1 has two plans", m.Name)
		}
		if reflect.DeepEqual(faults(1), faults(2)) {
			t.Errorf("%s: two seeds have the same plan", m.Name)
		}
	}
}

func TestAQuarterOfAnHourHasAHundredFaultsOfEveryKind(t *testing.T) {
	planned := make(map[Kind]int)
	for _, m := range mixes() {
		for _, f := range newSite(m, Options{Seed: 1, Length: 15 * time.Minute, People: 5}).faults {
			planned[f.Kind]++
		}
	}
	for _, kind := range Kinds() {
		if planned[kind] < 110 { // some come too late
			t.Errorf("%s: %d planned", kind, planned[kind])
		}
	}
}

// options are those of a run of a few seconds.
func options(t *testing.T, sites ...string) Options {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Length: 3 * time.Second, Seed: 1, Binary: path, Dir: t.TempDir(), Sites: sites, People: 8,
		Interval: 50 * time.Millisecond, Rules: DefaultRules(), Progress: func(string) {},
	}
}

func run(t *testing.T, opts Options) *Result {
	t.Helper()
	r, err := Run(t.Context(), opts)
	needRedis(t, err)
	return r
}

func needRedis(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, redisproc.ErrNoRedis) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSaboteurIsFound(t *testing.T) {
	opts := options(t, "nodes")
	opts.Plant = Plantable()
	r := run(t, opts)
	for _, kind := range Plantable() {
		if r.Sites[0].Verdict.Count(kind) == 0 {
			t.Errorf("%s was not found; troubles: %q", kind, r.Sites[0].Troubles)
		}
	}
	stories, err := os.ReadFile(r.Sites[0].Stories)
	if err != nil || !strings.Contains(string(stories), "VIOLATION") {
		t.Errorf("the stories are %.100q, %v", stories, err)
	}
}

func TestQuietRunKeepsEveryPromise(t *testing.T) {
	opts := options(t, "nodes")
	opts.Length = 7 * time.Second // in which clients move and nothing fails
	r := run(t, opts)
	var out strings.Builder
	r.Write(&out)
	if r.Violations() > 0 || r.Sites[0].Verdict.Receipts["delivered"] == 0 || r.Sites[0].Injected[MoveClient] == 0 {
		t.Error(out.String())
	}
	for kind, n := range r.Sites[0].Injected {
		if !kind.moves() && n > 0 {
			t.Errorf("%s: %d injected", kind, n)
		}
	}
	if stories, err := os.ReadFile(r.Sites[0].Stories); err == nil {
		t.Errorf("%s", stories)
	}
}

func TestInterruptedRunTellsWhatItFound(t *testing.T) {
	opts := options(t, "nodes")
	opts.Length = time.Hour
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	opts.Progress = func(string) { interrupt() }
	r, err := Run(ctx, opts)
	if !errors.Is(err, context.Canceled) {
		needRedis(t, err)
		t.Fatal("an hour has passed")
	}
	if r == nil || len(r.Sites) != 1 || r.Sites[0].Verdict == nil || r.Violations() > 0 {
		t.Fatalf("the result is %+v", r)
	}
	if _, err := os.Stat(filepath.Join(opts.Dir, "nodes", "faults.txt")); err != nil {
		t.Error(err)
	}
}
