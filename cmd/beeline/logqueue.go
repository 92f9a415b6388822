package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxQueuedLog is how much of the log may wait to be written, in bytes: some
	// 5,000 lines.
	maxQueuedLog = 1 << 20
	// keptLog is how much room for waiting lines is kept, in bytes.
	keptLog = 64 << 10
	// flushTime bounds what the end of a process waits for whoever reads its
	// standard error.
	flushTime = time.Second
	// retryLog is the pause before a write that found no room is tried again; only
	// a descriptor that another process has made non-blocking says so.
	retryLog = 20 * time.Millisecond
)

// Reasons for not writing a line: labels of beeline_log_lines_dropped_total.
const (
	dropLogFull   = "full"   // nobody reads as fast as the lines come
	dropLogFailed = "failed" // nobody reads at all: the write failed
)

// logQueue stands between a process' loggers and its standard error, so that
// nobody who logs ever waits for whoever reads: Write only copies a line, and one
// goroutine writes what has gathered.
//
// The overflow rule: a line that would make more than maxQueuedLog wait is
// dropped and counted, and so are the lines after it until the goroutine has taken
// what waits. A line that can't be written, because the reader is gone, is dropped
// and counted too. The first line that is written after dropped ones says how many
// they were.
type logQueue struct {
	// Static.
	out     io.Writer
	notice  func(lines int) []byte // the line about dropped ones
	dropped map[string]prometheus.Counter
	closing chan struct{}
	done    chan struct{} // closed when the goroutine has ended

	// Guarded by mu.
	mu      sync.Mutex
	waiting []byte
	missed  int           // lines dropped after those that wait
	more    chan struct{} // holds a token if there may be something to write
	closed  bool

	// Owned by the goroutine.
	untold int // lines dropped that no notice was written about
	spare  []byte
}

// newLogQueue starts a queue before out. Its series must count both reasons.
func newLogQueue(out io.Writer, notice func(lines int) []byte, dropped *prometheus.CounterVec) *logQueue {
	q := &logQueue{
		out: out, notice: notice, dropped: make(map[string]prometheus.Counter),
		closing: make(chan struct{}), done: make(chan struct{}), more: make(chan struct{}, 1),
	}
	for _, reason := range []string{dropLogFull, dropLogFailed} {
		q.dropped[reason] = dropped.WithLabelValues(reason)
	}
	go q.run()
	return q
}

// Write takes one line. It never waits and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.missed > 0 || q.closed || len(q.waiting)+len(line) > maxQueuedLog {
		q.missed++
		q.dropped[dropLogFull].Inc()
	} else {
		q.waiting = append(q.waiting, line...)
	}
	select {
	case q.more <- struct{}{}:
	default:
	}
	return len(line), nil
}

// close writes what waits, in flushTime at the most, and takes no more lines. If
// the reader does not read, the goroutine stays behind in its write: the process
// is about to end.
func (q *logQueue) close() {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	q.mu.Unlock()
	if first {
		close(q.closing)
	}
	select {
	case <-q.done:
	case <-time.After(flushTime):
	}
}

func (q *logQueue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.more:
			q.writeWaiting()
		case <-q.closing:
			q.writeWaiting()
			return
		}
	}
}

// writeWaiting writes all that waits, and then how many lines were dropped since.
func (q *logQueue) writeWaiting() {
	for {
		q.mu.Lock()
		lines, missed := q.waiting, q.missed
		q.waiting, q.missed = q.spare[:0], 0
		q.mu.Unlock()
		q.spare = nil
		if len(lines) == 0 && missed == 0 {
			q.spare = lines
			return
		}
		q.write(lines)
		if cap(lines) <= keptLog {
			q.spare = lines
		}
		q.untold += missed
		q.tell()
	}
}

// write writes lines. If lines were dropped before and not told, it tells that
// first: they are older.
func (q *logQueue) write(lines []byte) {
	if len(lines) == 0 || !q.tell() {
		q.fail(lines)
		return
	}
	if left, err := q.writeAll(lines); err != nil {
		q.fail(left)
	}
}

func (q *logQueue) fail(lines []byte) {
	if n := bytes.Count(lines, []byte("\n")); n > 0 {
		q.untold += n
		q.dropped[dropLogFailed].Add(float64(n))
	}
}

// tell writes how many lines were dropped, if any were; it is false if that can't
// be written.
func (q *logQueue) tell() bool {
	if q.untold == 0 {
		return true
	}
	if _, err := q.writeAll(q.notice(q.untold)); err != nil {
		return false
	}
	q.untold = 0
	return true
}

// writeAll returns what it could not write.
func (q *logQueue) writeAll(b []byte) ([]byte, error) {
	for {
		n, err := q.out.Write(b)
		b = b[min(max(n, 0), len(b)):]
		if len(b) == 0 || !errors.Is(err, syscall.EAGAIN) {
			return b, err
		}
		time.Sleep(retryLog)
	}
}
