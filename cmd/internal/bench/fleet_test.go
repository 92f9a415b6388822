package bench

import (
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// A closed loop that has ended sends nothing more: what were sent after the last look
// for what is missing would count as lost.
func TestClosedLoopEndsWithItsLastAnswer(t *testing.T) {
	here, node := net.Pipe() // a write ends when it has been read
	defer here.Close()
	f := newFleet([]string{"ws://n1"}, 2, 0, MinSize, nil)
	f.draw = newDraw(&report.Point{Workload: report.Saturation, Nodes: 1, Clients: 2}, 0)
	f.sessions[0].Store(&session{conn: here})
	f.setLooping(true)
	go f.answer(0)
	for f.checker.count() == 0 {
		runtime.Gosched()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.setLooping(false)
	}()
	for range 1000 {
		runtime.Gosched()
	}
	select {
	case <-ended:
		t.Error("the loop has ended while a message is being written")
	default:
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, node) // until it is closed
	}()
	<-ended
	f.answer(0)
	if n := f.checker.count(); n != 1 {
		t.Errorf("%d messages, want the one from before the end", n)
	}
	here.Close()
	<-read
}
