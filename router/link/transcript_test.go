package link

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files and transcripts anew")

// A transcript in testdata/*.txt is a list of steps. Below each line that begins with "> "
// stands what it prints and what the link is like then. -update writes that anew.
//
//	push NAME [to ADDRESS] [size N] [first] [urgent]
//	batch                         make and read a batch
//	published RECEIVERS|failed    the reply to the oldest batch without one
//	ack UPTO [NACKED=CODE...]     the peer acknowledges the present life
//	believes +N UPTO              the peer acknowledges a life newer by N
//	receive BASE FIRST COUNT [life N] [nack SEQ=CODE...] [within DURATION] [limit N]
//	after DURATION                time passes, and Tick is called when it is due
//	new                           a new link, and nothing of the former one
//	resume | suspend | goback | dead | dead uncertain | clear | request
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runTranscript(t, file) })
	}
}

func runTranscript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	s := newStory(t)
	for line := range strings.Lines(string(text)) {
		step, isStep := strings.CutPrefix(strings.TrimSpace(line), "> ")
		switch {
		case isStep:
			got.WriteString(line)
			s.step(strings.Fields(step))
			for _, said := range s.take() {
				fmt.Fprintf(&got, "  %s\n", said)
			}
		case strings.HasPrefix(line, "  "): // printed by the step above
		default:
			got.WriteString(line)
		}
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, _ := os.ReadFile(file); !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the transcript is now:\n%s", got.String())
	}
}

// story is one link and what it says.
type story struct {
	t       *testing.T
	now     time.Time
	l       *Link
	batches []Batch
	said    []string
}

var storyBegin = time.Unix(1_700_000_000, 0)

func newStory(t *testing.T) *story {
	lives := NewLives(func() uint64 { return 0 })
	return &story{t: t, now: storyBegin, l: New(storyBegin, Options{Lives: lives, LazyAck: time.Second, ReplyTime: 3 * time.Second})}
}

func (s *story) say(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func (s *story) take() []string {
	if err := s.l.Check(); err != nil {
		s.t.Error(err)
	}
	said := append(s.said, s.state())
	s.said = nil
	return said
}

// state is the link in one line: numbers relative to nothing that changes between runs.
func (s *story) state() string {
	base, next, high, sent, end := s.l.Numbers()
	line := fmt.Sprintf("%s base=%d next=%d high=%d sent=%d end=%d", s.l.State(), base, next, high, sent, end)
	if s.l.Ready() {
		line += " ready"
	}
	if at := s.l.NextDeadline(); !at.IsZero() {
		line += fmt.Sprintf(" deadline=%v", at.Sub(s.now))
	}
	return line
}

// parcel is a payload with a name.
type parcel struct {
	name, to string
}

func (p *parcel) Append(b []byte, f *Frame) ([]byte, Kind) {
	if f.Withdrawn {
		return AppendWithdrawn(b, MessageID{}), KindWithdrawn
	}
	return AppendMessage(b, &Message{From: p.name, To: p.to, Data: make([]byte, f.Size)}), KindMessage
}

var nackCodes = map[string]NackCode{"nothere": NackNotHere, "joining": NackJoining, "overloaded": NackOverloaded, "stale": NackStale, "new": 99}

// refusedBob takes what is for an address called refused for what must not pass another.
func refusedBob(p Payload) bool { return p.(*parcel).to == "refused" }

func (s *story) step(words []string) {
	l := s.l
	switch words[0] {
	case "push":
		s.push(words[1:])
	case "new":
		*s = *newStory(s.t)
	case "batch":
		s.batch()
	case "published":
		b := s.batches[0]
		s.batches = s.batches[1:]
		n, err := strconv.ParseInt(words[1], 10, 64)
		if l.Published(s.now, &b, n, err != nil) {
			s.say("suspended: the peer is suspect")
		}
	case "ack":
		s.acknowledge(Ack{Life: l.Life(), UpTo: s.number(words[1]), Nacks: s.nacks(words[2:])})
	case "believes":
		s.acknowledge(Ack{Life: l.Life() + s.number(words[1]), UpTo: s.number(words[2])})
	case "receive":
		s.receive(words[1:])
	case "after":
		s.after(s.duration(words[1]))
	case "resume":
		l.Resume(s.now)
	case "suspend":
		l.Suspend()
	case "goback":
		l.GoBack()
	case "clear":
		l.Clear(s.now)
	case "request":
		l.RequestAck(s.now)
	case "dead":
		s.settled(l.DeclareDead(s.now, len(words) == 1, nil))
	default:
		s.t.Fatalf("unknown step %q", words)
	}
}

func (s *story) number(word string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(word, "+"), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *story) duration(word string) time.Duration {
	d, err := time.ParseDuration(word)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *story) nacks(words []string) (nacks []Nack) {
	for _, word := range words {
		seq, code, _ := strings.Cut(word, "=")
		nacks = append(nacks, Nack{s.number(seq), nackCodes[code]})
	}
	return nacks
}

func (s *story) push(words []string) {
	f := Frame{Payload: &parcel{name: words[0], to: "bob"}, First: slices.Contains(words, "first"), Urgent: slices.Contains(words, "urgent")}
	if i := slices.Index(words, "size"); i > 0 {
		f.Size = int(s.number(words[i+1]))
	}
	if i := slices.Index(words, "to"); i > 0 {
		f.Payload.(*parcel).to = words[i+1]
	}
	if !s.l.Push(s.now, f) {
		s.say("no room")
	}
}

func (s *story) batch() {
	payload, b, counts := s.l.Batch(s.now, Header{From: "n1"}, nil)
	s.batches = append(s.batches, b)
	h, envelopes, n, err := readBatch(string(payload))
	if err != nil || n != b.Count {
		s.t.Fatalf("%d frames of %d, %v", n, b.Count, err)
	}
	said := fmt.Sprintf("batch first=%d base=%d resent=%d", h.First, h.Base, counts.Resent)
	if h.Ack.Life != 0 {
		said += fmt.Sprintf(" ack=%d", h.Ack.UpTo)
		for _, nack := range h.Ack.Nacks {
			said += fmt.Sprintf(" nack=%d:%d", nack.Seq, nack.Code)
		}
	}
	for range n {
		e := envelopes.Next()
		if said += " " + e.Kind.String(); e.Kind == KindMessage {
			m, _ := e.Message()
			said += ":" + m.From
		}
	}
	s.say("%s", said)
}

func (s *story) acknowledge(a Ack) {
	settled, renewed := s.l.Acknowledge(s.now, a, refusedBob, nil)
	if renewed {
		s.say("renewed")
	}
	s.settled(settled)
}

func (s *story) settled(settled []Settled) {
	for _, x := range settled {
		s.say("%s: %s", x.Payload.(*parcel).name, x.Result)
	}
}

func (s *story) receive(words []string) {
	h := Header{From: "n2", Life: 1, Base: s.number(words[0]), First: s.number(words[1])}
	count, limit, within := int(s.number(words[2])), MaxRefused, time.Second
	var nacks []Nack
	for rest := words[3:]; len(rest) >= 2; rest = rest[2:] {
		switch rest[0] {
		case "life":
			h.Life = s.number(rest[1])
		case "nack":
			nacks = append(nacks, s.nacks(rest[1:2])...)
		case "within":
			within = s.duration(rest[1])
		case "limit":
			limit = int(s.number(rest[1]))
		}
	}
	skip, ok := s.l.Receive(s.now, &h, count, limit)
	s.say("take=%v skip=%d", ok, skip)
	if ok && count > skip {
		s.l.Received(s.now, &h, count, skip, 10*count, nacks, within)
	}
}

// after lets time pass, from deadline to deadline.
func (s *story) after(d time.Duration) {
	for end := s.now.Add(d); ; {
		at := s.l.NextDeadline()
		if at.IsZero() || at.After(end) {
			s.now = end
			return
		}
		if s.now.Before(at) {
			s.now = at
		}
		before := s.l.String()
		if s.l.Tick(s.now) {
			s.say("%v: suspended: the peer is suspect", s.now.Sub(storyBegin))
		}
		if s.l.String() == before {
			s.t.Fatalf("Tick at the deadline did nothing: %s", before)
		}
		s.say("%v: %s", s.now.Sub(storyBegin), s.state())
	}
}
