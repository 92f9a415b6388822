package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/beeline-ws/beeline/registry"
)

// scripted is a connection to a Redis that replies what it was told to.
type scripted struct {
	net.Conn
	replies bytes.Buffer
}

func (*scripted) Write(b []byte) (int, error)  { return len(b), nil }
func (s *scripted) Read(b []byte) (int, error) { return s.replies.Read(b) }
func (*scripted) Close() error                 { return nil }

// overheard sends commands and reads replies, at most step bytes at a time.
func overheard(t *testing.T, commands, replies string, step int) (seen []command, underway int) {
	t.Helper()
	var r recorder
	server := &scripted{}
	w := &wire{Conn: server, node: &demoNode{name: "n1"}, recorder: &r}
	r.record()
	for part := range slices.Chunk([]byte(commands), step) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	server.replies.WriteString(replies)
	for b := make([]byte, step); ; {
		if _, err := w.Read(b); err == io.EOF {
			break
		}
	}
	underway = r.underway
	w.Close()
	if r.underway != 0 {
		t.Errorf("%d commands under way on a closed connection", r.underway)
	}
	return r.taken(t.Context()), underway
}

var lookup = fmt.Sprintf("*5\r\n$7\r\nevalsha\r\n$40\r\n%s\r\n$1\r\n1\r\n$1\r\na\r\n$2\r\n10\r\n", registry.LookupScript())

const (
	publish = "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\n\x00\r\n\xff\r\n"
	other   = "*2\r\n$5\r\nhello\r\n$1\r\n3\r\n"
)

func TestWireOverhears(t *testing.T) {
	commands := other + lookup + publish + lookup + publish + publish
	replies := "%1\r\n$5\r\nproto\r\n:3\r\n" + "%1\r\n$2\r\nn3\r\n$2\r\n17\r\n" + ":1\r\n" + "*2\r\n$2\r\nn2\r\n$1\r\n4\r\n" + "-ERR full\r\n"
	for step := 1; step <= len(commands); step++ {
		seen, underway := overheard(t, commands, replies, step)
		if len(seen) != 4 || underway != 1 {
			t.Fatalf("in steps of %d bytes: %d answered and %d under way, want 4 and 1", step, len(seen), underway)
		}
		first, second, third, failed := seen[0], seen[1], seen[2], seen[3]
		if first.key != "a" || !slices.Equal(first.owners, []string{"n3"}) || !slices.Equal(third.owners, []string{"n2"}) {
			t.Errorf("lookups: %+v, %+v", first, third)
		}
		if second.key != "c" || second.payload != "\x00\r\n\xff" || second.heard != 1 || second.err != nil {
			t.Errorf("publish: %+v", second)
		}
		if failed.err == nil || failed.err.Error() != "ERR full" {
			t.Errorf("error %v", failed.err)
		}
	}
}

// What nobody can follow is passed on, and not waited for.
func TestWireGivesUp(t *testing.T) {
	for name, c := range map[string]struct{ commands, replies string }{
		"a subscription": {lookup + "*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", ":1\r\n"},
		"not RESP":       {lookup + "GET / HTTP/1.1\r\n", ":1\r\n"},
		"no replies":     {lookup, "HTTP/1.1 400\r\n\r\n"},
		"too many":       {"", "+OK\r\n" + "+OK\r\n"},
	} {
		if seen, underway := overheard(t, c.commands, c.replies, 1000); len(seen) != 0 || underway != 0 {
			t.Errorf("%s: %v, %d under way", name, seen, underway)
		}
	}
}
