//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/chaos"
	"github.com/beeline-ws/beeline/router/ledger"
)

// ran is a run of one site in which that many messages were received.
func ran(t *testing.T, received int, found ...ledger.Kind) *chaos.Result {
	verdict := &ledger.Verdict{Received: received}
	for _, kind := range found {
		verdict.Violations = append(verdict.Violations, ledger.Violation{Kind: kind, At: time.Now()})
	}
	return &chaos.Result{Options: chaos.Options{Dir: t.TempDir()}, Sites: []chaos.SiteResult{{Verdict: verdict}}}
}

func TestRunEndsWithWhatItProves(t *testing.T) {
	for name, c := range map[string]struct {
		result *chaos.Result
		plant  []ledger.Kind
		ended  error
		says   string // of the error or the output
		broken bool
		fails  bool
	}{
		"clean":                       {ran(t, 1), nil, nil, "every promise was kept", false, false},
		"violations":                  {ran(t, 1, ledger.Lost), nil, nil, "FAILED: 1 violations", true, true},
		"nothing delivered":           {ran(t, 0), nil, nil, "proves little", false, true},
		"interrupted":                 {ran(t, 1), nil, context.Canceled, "until then", false, true},
		"interrupted with violations": {ran(t, 1, ledger.Lost), nil, context.Canceled, "FAILED: 1 violations", true, true},
		"planted and found":           {ran(t, 1, ledger.Lost), []ledger.Kind{ledger.Lost}, nil, "was found", false, false},
		"planted and not found":       {ran(t, 1, ledger.Lost), []ledger.Kind{ledger.Expelled}, nil, "was not found", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			c.result.Options.Plant = c.plant
			err := conclude(c.result, c.ended, true, io.Writer(&out))
			if errors.Is(err, errBroken) != c.broken || (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			if text := out.String(); !strings.Contains(text, c.says) && !strings.Contains(errText(err), c.says) {
				t.Errorf("it says %q and %v, want %q", text, err, c.says)
			}
			_, gone := os.Stat(c.result.Options.Dir)
			if kept := name != "clean"; (gone == nil) != kept {
				t.Errorf("the directory: %v", gone)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
