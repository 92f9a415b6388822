package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/metrics"
)

// gate is a standard error whose reader reads when the test says so.
type gate struct {
	opened chan struct{}

	mu      sync.Mutex
	entered chan struct{} // closed once somebody writes
	once    sync.Once
	err     error // of every write
	text    bytes.Buffer
}

func newGate() *gate { return &gate{opened: make(chan struct{}), entered: make(chan struct{})} }

func (g *gate) Write(b []byte) (int, error) {
	g.once.Do(func() { close(g.entered) })
	<-g.opened
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil {
		return 0, g.err
	}
	return g.text.Write(b)
}

func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *gate) read() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func noticeOf(lines int) []byte { return fmt.Appendf(nil, "dropped %d\n", lines) }

func newTestQueue(out io.Writer) (*logQueue, *metrics.Log) {
	m := metrics.NewLog(prometheus.NewRegistry())
	return newLogQueue(out, noticeOf, m.DroppedLines), m
}

func wantDropped(t *testing.T, m *metrics.Log, reason string, want int) {
	t.Helper()
	if got := testutil.ToFloat64(m.DroppedLines.WithLabelValues(reason)); got != float64(want) {
		t.Errorf("%v lines dropped as %s, want %d", got, reason, want)
	}
}

// Nobody reads: whoever logs goes on, the lines beyond the bound are counted, and
// the reader is told how many they were where they are missing.
func TestLogWithoutReaderIsBoundedAndCounted(t *testing.T) {
	out := newGate()
	q, m := newTestQueue(out)
	write := func(text string) {
		if n, err := q.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	write("first\n")
	<-out.entered // "first" is being written; what follows waits
	line := strings.Repeat("x", 1023) + "\n"
	for range maxQueuedLog/len(line) + 7 {
		write(line)
	}
	write("short\n") // would fit, but must not overtake
	wantDropped(t, m, dropLogFull, 8)
	if len(q.waiting) > maxQueuedLog {
		t.Errorf("%d bytes wait, allowed are %d", len(q.waiting), maxQueuedLog)
	}
	close(out.opened)
	q.close()
	want := "first\n" + strings.Repeat(line, maxQueuedLog/len(line)) + "dropped 8\n"
	if got := out.read(); got != want {
		t.Errorf("written were %d bytes that end with %.80q, want %d", len(got), got[max(0, len(got)-80):], len(want))
	}
	wantDropped(t, m, dropLogFailed, 0)
}

// The reader has gone and another one comes.
func TestLogGoesOnAfterItsReaderWasGone(t *testing.T) {
	out := newGate()
	close(out.opened)
	out.fail(errors.New("broken pipe"))
	q, m := newTestQueue(out)
	q.Write([]byte("one\n"))
	q.Write([]byte("two\n"))
	until(t, "both lines are counted", func() bool {
		return testutil.ToFloat64(m.DroppedLines.WithLabelValues(dropLogFailed)) == 2
	})
	out.fail(nil)
	q.Write([]byte("three\n"))
	q.close()
	if got := out.read(); got != "dropped 2\nthree\n" {
		t.Errorf("written: %q", got)
	}
	wantDropped(t, m, dropLogFull, 0)
}

// The end of the process waits for the last lines, and not for ever.
func TestLogEndsWithItsLastLine(t *testing.T) {
	out := newGate()
	close(out.opened)
	q, _ := newTestQueue(out)
	q.Write([]byte("last\n"))
	q.close()
	if got := out.read(); got != "last\n" {
		t.Errorf("written: %q", got)
	}

	stuck := newGate()
	q, _ = newTestQueue(stuck)
	q.Write([]byte("last\n"))
	<-stuck.entered
	q.close() // returns
	close(stuck.opened)
	<-q.done
}

// What comes from outside has escapes for what a terminal obeys, in either format,
// and no length that counts.
func TestLogQuotesWhatComesFromOutside(t *testing.T) {
	evil := "\x1b[2J\u009b2J\u202e\u2028\x7f\ntime=now level=INFO msg=forged"
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := newLogger(&out, &config{LogLevel: "info", LogFormat: format})
		log.Info("peer said", "text", evil, "error", errors.New(evil), "long", strings.Repeat("é", maxLogValue))
		line := out.String()
		if strings.Count(line, "\n") != 1 || len(line) > 3*maxLogValue {
			t.Errorf("%s: %d bytes in %d lines", format, len(line), strings.Count(line, "\n"))
		}
		for _, c := range strings.TrimSuffix(line, "\n") {
			if quote.Unprintable(c) {
				t.Errorf("%s: %U is written raw: %q", format, c, line)
			}
		}
		if format == "json" {
			var entry struct{ Text string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Text != evil {
				t.Errorf("read back: %q, %v", entry.Text, err)
			}
		}
	}
}
