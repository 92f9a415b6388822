package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beeline-ws/beeline/metrics"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// seriesNames lists every series of beeline's own, as Prometheus stores them.
func seriesNames() (names []string) {
	collect := func(c prometheus.Collector) {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			name := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1]
			names = append(names, name, name+"_bucket", name+"_sum", name+"_count")
		}
	}
	metrics.New(collecting(collect))
	metrics.NewLog(collecting(collect))
	return names
}

// collecting is a registerer that shows what is registered.
type collecting func(prometheus.Collector)

func (c collecting) Register(collector prometheus.Collector) error { c(collector); return nil }
func (c collecting) MustRegister(all ...prometheus.Collector) {
	for _, one := range all {
		c(one)
	}
}
func (c collecting) Unregister(prometheus.Collector) bool { return false }

// Alerts and documents speak of series that exist.
func TestDocumentedSeriesExist(t *testing.T) {
	names := seriesNames()
	if !slices.Contains(names, "beeline_sessions") {
		t.Fatalf("the list of series is wrong: %q", names)
	}
	for _, path := range []string{"deploy/prometheus/rules.yml", "deploy/prometheus/rules_test.yml", "docs/operations.md", "docs/design.md",
		"docs/redis.md", "docs/protocol.md", "docs/reliability.md", "docs/performance.md", "README.md"} {
		for _, name := range regexp.MustCompile(`\bbeeline_[a-z_]+[a-z]`).FindAllString(readFile(t, path), -1) {
			if !slices.Contains(names, name) {
				t.Errorf("%s speaks of %s, which nobody exports", path, name)
			}
		}
	}
}

// Each alert has a test in which it fires.
func TestEveryAlertIsTested(t *testing.T) {
	tests := readFile(t, "deploy/prometheus/rules_test.yml")
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(readFile(t, "deploy/prometheus/rules.yml"), -1)
	if len(alerts) < 10 {
		t.Fatalf("found the alerts %q", alerts)
	}
	for _, alert := range alerts {
		fires := regexp.MustCompile(`alertname: ` + alert[1] + `\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels`)
		if !fires.MatchString(tests) {
			t.Errorf("nothing tests that %s fires", alert[1])
		}
	}
}

func TestAlertsFire(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed; Debian has it in prometheus")
		}
		t.Skip("promtool is not installed")
	}
	cmd := exec.Command(promtool, "test", "rules", "rules_test.yml")
	cmd.Dir = filepath.Join("..", "..", "deploy", "prometheus")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What has a key twice is no YAML: Compose and kubectl refuse it.
func TestManifestsHaveNoKeyTwice(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"deploy/*.yaml", "deploy/*/*.yaml", "deploy/*/*.yml", "docs/*.yaml"} {
		found, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %q, %v", pattern, found, err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		rel, _ := filepath.Rel(filepath.Join("..", ".."), path)
		for _, key := range doubledKeys(readFile(t, rel)) {
			t.Errorf("%s has the key %s", rel, key)
		}
	}
}

// doubledKeys lists the keys that a block of YAML has twice.
func doubledKeys(text string) (doubled []string) {
	line := regexp.MustCompile(`^( *)((?:- )*)([\w./-]+):(?: |$)`)
	blocks := map[int]map[string]bool{} // by their indentation, in spaces
	for i, l := range strings.Split(text, "\n") {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		outer := len(m[1])
		indent := outer + len(m[2])
		maps.DeleteFunc(blocks, func(other int, _ map[string]bool) bool { return other > outer })
		if blocks[indent] == nil {
			blocks[indent] = map[string]bool{}
		}
		if blocks[indent][m[3]] {
			doubled = append(doubled, fmt.Sprintf("%s twice, again in line %d", m[3], i+1))
		}
		blocks[indent][m[3]] = true
	}
	return doubled
}

// Documents name tests that exist.
func TestDocumentedTestsExist(t *testing.T) {
	var tests []string
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`).FindAllSubmatch(text, -1) {
			tests = append(tests, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(docs) < 5 {
		t.Fatalf("found the documents %q, %v", docs, err)
	}
	for _, path := range append(docs, filepath.Join(root, "README.md")) {
		rel, _ := filepath.Rel(root, path)
		for _, m := range regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z]\\w*)`").FindAllStringSubmatch(readFile(t, rel), -1) {
			if !slices.Contains(tests, m[1]) {
				t.Errorf("%s speaks of %s, which does not exist", rel, m[1])
			}
		}
	}
}

// A setting that is the same for every node of the service must not be one that each
// node needs for itself: Compose starts any number of them.
func TestComposeScales(t *testing.T) {
	compose := readFile(t, "deploy/compose.yaml")
	for _, setting := range []string{"BEELINE_ADVERTISE", "BEELINE_NODE_NAME", "container_name", "hostname:"} {
		if strings.Contains(compose, setting) {
			t.Errorf("%s is the same for all nodes of the service", setting)
		}
	}
	for path, want := range map[string]string{
		"deploy/compose.yaml":              "\n  node:\n",
		"deploy/haproxy/haproxy.cfg":       "server-template node 20 node:8080",
		"deploy/prometheus/prometheus.yml": `names: ["node"]`,
	} {
		if !strings.Contains(readFile(t, path), want) {
			t.Errorf("%s does not find the nodes by their service's name: %q is missing", path, want)
		}
	}
}
