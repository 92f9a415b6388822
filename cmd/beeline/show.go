package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/quote"
	"github.com/beeline-ws/beeline/router"
)

// showTime bounds one message of the show; its receipt comes before.
const showTime = 10 * time.Second

// show tells on out what the cluster does.
type show struct {
	cluster *demoCluster
	out     io.Writer
	paint   painter
}

// step is one line of a message's way.
type step struct {
	at                  time.Time
	who, what, evidence string
}

func (s *show) play(ctx context.Context) error {
	s.introduce()
	for _, m := range []struct{ to, title, text string }{
		{"C3", "C3", "Hello C3"},
		{"C3", "C3 again", "Hello again"},
		{"C2", "C2", "Hello C2"},
		{"C4", "C4", "Hello C4"}, // who is nowhere
	} {
		from := s.cluster.clients[0]
		if err := s.message(ctx, from, m.to, from.Name+" -> "+m.title, m.text); err != nil {
			return fmt.Errorf("message to %s: %w", m.to, err)
		}
	}
	return nil
}

func (s *show) introduce() {
	c := s.cluster
	fmt.Fprintf(s.out, "%s\n\n", s.paint.strong(fmt.Sprintf("beeline demo: %s over %s", count(len(c.nodes), "node"), c.server.about)))
	for _, n := range c.nodes {
		var homed []string
		for _, d := range c.clients {
			if d.home == n {
				homed = append(homed, d.Name)
			}
		}
		line := fmt.Sprintf("  %s   %s   %s", n.ID(), n.url(), strings.Join(homed, ", "))
		fmt.Fprintln(s.out, strings.TrimRight(line, " "))
	}
}

// message sends one message and prints its way as it was observed.
func (s *show) message(ctx context.Context, from *demoClient, to, title, text string) error {
	data, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return err
	}
	s.cluster.recorder.record()
	began := time.Now()
	if err := from.Send(to, to, data); err != nil {
		return err
	}
	steps := []step{{began, from.Name, "sends to " + to, fmt.Sprintf("%s over its WebSocket to %s", data, from.home.name)}}
	seen, outcome, err := s.await(ctx, from, to)
	if err != nil {
		return err
	}
	steps = append(steps, seen...)
	steps = append(steps, s.explainAll(s.cluster.recorder.taken(ctx), to, data)...)
	s.print(title, steps, began, outcome)
	return nil
}

// await collects the receipt, and the message at its receiver if it went there;
// either may come first.
func (s *show) await(ctx context.Context, from *demoClient, to string) (steps []step, outcome string, err error) {
	ctx, cancel := context.WithTimeout(ctx, showTime)
	defer cancel()
	for arrived := false; outcome == "" || wentThere(outcome) && !arrived; {
		select {
		case <-ctx.Done():
			return nil, "", errors.New("no receipt")
		case a := <-s.cluster.arrivals:
			one, err := s.observe(a, from, to)
			if err != nil {
				return nil, "", err
			}
			steps = append(steps, one...)
			arrived = arrived || a.frame.Type == "message"
			outcome += a.frame.Outcome // one receipt comes
		}
	}
	return steps, outcome, nil
}

func wentThere(outcome string) bool {
	return outcome == router.Delivered.String() || outcome == router.Published.String()
}

// observe makes a step of what a client received.
func (s *show) observe(a arrival, from *demoClient, to string) ([]step, error) {
	switch {
	case a.err != nil:
		return nil, fmt.Errorf("%s: %w", a.client.Name, a.err)
	case a.frame.Type == "error":
		return nil, fmt.Errorf("%s: %s", a.frame.Code, a.frame.Message)
	case a.frame.Type == "receipt" && a.client == from:
		return []step{{a.at, from.Name, "has its receipt", a.frame.Outcome}}, nil
	case a.frame.Type == "message" && a.client.Name == to:
		return []step{{a.at, to, "receives it", fmt.Sprintf("%s over its WebSocket from %s", a.frame.Data, a.client.home.name)}}, nil
	}
	return nil, nil
}

// explainAll makes steps of what the nodes asked, and one of the lookup that the
// owner cache has spared.
func (s *show) explainAll(commands []command, to string, data []byte) (steps []step) {
	lookedUp := router.Delivery(s.cluster.flags.delivery) != router.Targeted
	for _, c := range commands {
		lookedUp = lookedUp || c.isLookup(s.cluster.keys.Address(to))
	}
	for _, c := range commands {
		if !lookedUp && c.carries(data) {
			steps = append(steps, step{c.asked, c.node.name, "knows who owns " + to, "no lookup: the owner is cached, and vouches for that"})
			lookedUp = true
		}
		if one, ok := s.explain(c, to, data); ok {
			steps = append(steps, one)
		}
	}
	return steps
}

// explain says what a command meant for the message to an address.
func (s *show) explain(c command, to string, data []byte) (step, bool) {
	keys := s.cluster.keys
	if c.err != nil {
		return step{c.asked, c.node.name, c.name + " failed", quote.Line(c.err.Error())}, true
	}
	switch {
	case c.isLookup(keys.Address(to)):
		return step{c.answered, c.node.name, "looks up who owns " + to, c.name + " " + c.key + "  ->  " + s.ownerNames(c.owners)}, true
	case c.name == lookupName || c.key == keys.Channel(c.node.ID()): // a heartbeat
		return step{}, false
	}
	what := "acknowledges "
	if c.carries(data) {
		what = "publishes it "
	}
	evidence := fmt.Sprintf("PUBLISH %s  (%d bytes, heard by %s)", c.key, len(c.payload), count(c.heard, "node"))
	return step{c.asked, c.node.name, what + s.audience(c.key, to), evidence}, true
}

// audience names who hears a channel.
func (s *show) audience(channel, to string) string {
	keys := s.cluster.keys
	switch channel {
	case keys.Broadcast():
		return "to all nodes"
	case keys.Client(to):
		return "to who subscribed " + to
	}
	for _, n := range s.cluster.nodes {
		if channel == keys.Channel(n.ID()) {
			return "to " + n.name + " alone"
		}
	}
	return "to " + channel
}

func (s *show) ownerNames(ids []string) string {
	if len(ids) == 0 {
		return "nobody"
	}
	slices.Sort(ids)
	return strings.Join(ids, ", ")
}

// print prints the steps in their order of time, aligned.
func (s *show) print(title string, steps []step, began time.Time, outcome string) {
	slices.SortStableFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	width := 0
	for _, one := range steps {
		width = max(width, len(one.what))
	}
	fmt.Fprintf(s.out, "\n%s: %s\n", s.paint.strong(title), s.paint.outcome(outcome))
	for _, one := range steps {
		fmt.Fprintf(s.out, "  %6.2f ms  %-3s %-*s  %s\n", float64(one.at.Sub(began).Microseconds())/1000,
			one.who, width, one.what, s.paint.faint(one.evidence))
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// stay lets people take part until ctx ends.
func (s *show) stay(ctx context.Context) error {
	s.invite()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-s.cluster.arrivals:
			s.hear(a)
		}
	}
}

func (s *show) invite() {
	nodes := s.cluster.nodes
	second := ""
	if len(nodes) > 1 {
		second = fmt.Sprintf(" and %s", nodes[1].url())
	}
	fmt.Fprintf(s.out, "\nNow open %s%s and send something. Ctrl-C ends the demo.\n", nodes[0].url(), second)
}

// hear prints what a demo client received and answers people, so that they see
// something come back.
func (s *show) hear(a arrival) {
	if a.err != nil {
		fmt.Fprintf(s.out, "%s  %s lost its connection: %s\n", a.at.Format(time.TimeOnly), a.client.Name, quote.Line(a.err.Error()))
		return
	}
	if a.frame.Type != "message" {
		return
	}
	fmt.Fprintf(s.out, "%s  %s on %s receives from %s: %s\n", a.at.Format(time.TimeOnly), a.client.Name, a.client.home.name,
		quote.Word(a.frame.From), oneLine(a.frame.Data))
	if s.isDemoClient(a.frame.From) {
		return // two demo clients would answer each other for ever
	}
	answer, err := json.Marshal(map[string]string{"text": fmt.Sprintf("%s on %s got your message", a.client.Name, a.client.home.name)})
	if err != nil {
		return
	}
	_ = a.client.Send(a.frame.From, "", answer) // its reader reports a lost connection
}

func (s *show) isDemoClient(name string) bool {
	return slices.ContainsFunc(s.cluster.clients, func(d *demoClient) bool { return d.Name == name })
}
