package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router/task/standstill"
)

// mainVariable, if it is set, makes the test binary beeline itself: end-to-end
// tests start processes so. It is inherited by what those start. Its name is not
// that of a setting, which they would refuse.
const mainVariable = "TEST_BEELINE_MAIN"

// machine knows when the machine stood still.
var machine *standstill.Watch

func TestMain(m *testing.M) {
	if os.Getenv(mainVariable) != "" {
		main()
	}
	logging.Disable() // as main does
	machine = standstill.Start()
	code := redistest.Main{M: m}.Run()
	machine.Stop()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(goleak.IgnoreAnyFunction(redialling)); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// redialling is where go-redis tries, once a second, whether a server is back; it
// sees that its client was closed only at the next try.
const redialling = "github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"

// result is what a command left.
type result struct {
	code     int
	out, err string
}

// beeline runs a command to its end. One that only asks is run again if its time was over,
// as on a machine that stands still.
func beeline(env []string, args ...string) result {
	r := beelineWith(strings.NewReader(""), env, args...)
	asks := len(args) > 0 && slices.Contains([]string{"health", "nodes", "whois"}, args[0])
	for deadline := time.Now().Add(patience); asks && strings.Contains(r.err, "deadline exceeded") && time.Now().Before(deadline); {
		r = beelineWith(strings.NewReader(""), env, args...)
	}
	return r
}

func beelineWith(stdin io.Reader, env []string, args ...string) result {
	var out, err bytes.Buffer
	code := run(append([]string{}, args...), env, stdin, &out, &err) // without args cobra would take the test's
	return result{code, out.String(), err.String()}
}

func (r result) want(t *testing.T, code exitCode) result {
	t.Helper()
	if r.code != int(code) {
		t.Fatalf("exit code %d, want %d\noutput: %s\nerrors: %s", r.code, code, r.out, r.err)
	}
	if strings.Contains(r.err, "goroutine ") {
		t.Errorf("a stack trace: %s", r.err)
	}
	return r
}

func wantContains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

// background is a command that stays.
type background struct {
	t      *testing.T
	stop   func()
	ended  chan struct{}
	code   int
	output *tail
	errors *tail
}

// stays starts a command that is stopped at the test's end, if not before.
func stays(t *testing.T, env []string, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &background{t: t, stop: cancel, ended: make(chan struct{}), output: newTail(), errors: newTail()}
	go func() {
		defer close(b.ended)
		b.code = runContext(ctx, args, env, strings.NewReader(""), b.output, b.errors)
	}()
	t.Cleanup(func() { b.end() })
	return b
}

// process is a command that stays as a process of its own.
type process struct {
	*background
	*os.Process
}

// startProcess starts a command as a process whose children are this test binary, too.
// It is killed at the test's end, if not before.
func startProcess(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{background: &background{t: t, ended: make(chan struct{}), output: newTail(), errors: newTail()}}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = childEnv(t, append([]string{"TMPDIR=" + t.TempDir()}, env...)...)
	cmd.Stdout, cmd.Stderr = p.output, p.errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.Process = cmd.Process
	p.stop = func() { p.signal(os.Interrupt) }
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // its exit code is looked at
		p.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(p.kill)
	return p
}

// childEnv is the environment of a process that is this test binary. If the binary counts
// coverage it writes that into a directory as it ends, and without one a warning into the
// log.
func childEnv(t *testing.T, env ...string) []string {
	return append([]string{mainVariable + "=1", "PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + t.TempDir()}, env...)
}

// kill ends the process as a crash would.
func (p *process) kill() {
	_ = p.Kill() // it may have ended
	<-p.ended
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// end stops the command as an interrupt does, and returns its exit code.
func (b *background) end() int {
	b.stop()
	<-b.ended
	return b.code
}

// wantEnd waits until the command ends by itself, and returns what it wrote.
func (b *background) wantEnd(code exitCode) (output, errors string) {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(2 * patience):
		b.t.Fatal("it does not end")
	}
	output, _ = b.output.read()
	errors, _ = b.errors.read()
	if b.code != int(code) {
		b.t.Fatalf("exit code %d, want %d\n%s\n%s", b.code, code, output, errors)
	}
	return output, errors
}

// await returns what was written to w so far, once it contains part.
func (b *background) await(w *tail, part string) string {
	b.t.Helper()
	timeout := time.After(patience)
	for {
		text, more := w.read()
		if strings.Contains(text, part) {
			return text
		}
		select {
		case <-more:
		case <-b.ended:
			if text, _ := w.read(); strings.Contains(text, part) {
				return text
			}
			b.t.Fatalf("ended with %d before it wrote %q\n%s", b.code, part, text)
		case <-timeout:
			b.t.Fatalf("never wrote %q\n%s", part, text)
		}
	}
}

// tail keeps what is written and tells when there is more.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newTail() *tail { return &tail{more: make(chan struct{})} }

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.more)
	w.more = make(chan struct{})
	return w.text.Write(p)
}

func (w *tail) read() (string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String(), w.more
}
