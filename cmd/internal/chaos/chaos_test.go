//go:build unix

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/cmd/internal/cluster"
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
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(built, "beeline")
	out, err := exec.Command("go", "build", "-o", path, "github.com/beeline-ws/beeline/cmd/beeline").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build beeline: %w\n%s", err, out)
	}
	return path, nil
})

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

func TestAQuarterOfAnHourHasAHundredFaultsOfEveryFamily(t *testing.T) {
	planned := make(map[Kind]int)
	for _, m := range mixes() {
		for _, f := range newSite(m, Options{Seed: 1, Length: 15 * time.Minute, People: 5}).faults {
			planned[f.Kind]++
		}
	}
	for name, family := range map[string][]Kind{
		"nodes killed":       {KillNode},
		"nodes stopped":      {StopNode, FreezeNode},
		"Redis restarted":    {RestartRedis},
		"Redis stopped":      {PauseRedis},
		"links cut":          {CutLink},
		"links black-holed":  {SwallowLink},
		"Sentinel failovers": {SentinelFailover, SentinelKill},
		"Cluster failovers":  {ClusterFailover, ClusterKill},
		"slots migrated":     {MigrateLease, MigrateChannel},
		"moves":              {MoveClient, DropClient},
	} {
		sum := 0
		for _, kind := range family {
			sum += planned[kind]
		}
		if sum < 100 {
			t.Errorf("%s: %d planned", name, sum)
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
	if errors.Is(err, cluster.ErrNoRedis) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSaboteurIsFound(t *testing.T) {
	opts := options(t, "nodes")
	opts.Plant = Plantable()
	r := run(t, opts)
	for _, kind := range Plantable() {
		if r.Sites[0].Verdict.Count(kind) == 0 {
			t.Errorf("%s was planted and not found", kind)
		}
	}
	stories, err := os.ReadFile(r.Sites[0].Stories)
	if err != nil || !strings.Contains(string(stories), "VIOLATION") {
		t.Errorf("the stories are %.100q, %v", stories, err)
	}
}

func TestQuietRunKeepsEveryPromise(t *testing.T) {
	opts := options(t, "nodes")
	r := run(t, opts)
	var out strings.Builder
	r.Write(&out)
	if r.Violations() > 0 || r.Sites[0].Verdict.Receipts["delivered"] == 0 || r.Sites[0].Injected[MoveClient] == 0 {
		t.Error(out.String())
	}
	if stories, err := os.ReadFile(r.Sites[0].Stories); err == nil {
		t.Errorf("%s", stories)
	}
}
