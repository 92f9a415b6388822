package registry

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A transcript tells a story: lines that begin with ">" are events, or questions, in their
// order, and below each stands what a node with a heartbeat of 2 s then knows of its
// masters' epochs. Lines that begin with "#" explain. See epochStory.run for the events.
func TestEpochTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/epochs/*.txt")
	must(t, err)
	if len(files) < 6 {
		t.Fatalf("%d transcripts, want six at least", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			must(t, err)
			s := &epochStory{epochs: newEpochs(Timing{Heartbeat: 2 * time.Second}), now: time.Unix(1, 0)}
			var got strings.Builder
			for line := range strings.Lines(string(want)) {
				if event, ok := strings.CutPrefix(line, "> "); ok {
					got.WriteString(line + s.run(t, strings.Fields(event)))
				} else if line == "\n" || strings.HasPrefix(line, "#") {
					got.WriteString(line)
				}
			}
			if got.String() != string(want) {
				t.Errorf("the transcript is\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// Every event in every state: where an event does not belong, nothing happens.
func TestEpochTransitions(t *testing.T) {
	const stays = epochState(255)
	for state, to := range map[epochState]map[epochEvent]epochState{
		epochDetected: {lossTold: epochNotified, leasesVerified: stays, peersVerified: stays, overwritten: stays},
		epochNotified: {lossTold: stays, leasesVerified: epochVerified, peersVerified: stays, overwritten: stays},
		epochVerified: {lossTold: stays, leasesVerified: stays, peersVerified: epochSettled, overwritten: stays},
		epochSettled:  {lossTold: stays, leasesVerified: stays, peersVerified: stays, overwritten: epochVerified},
	} {
		for event, want := range to {
			e := epoch{id: "E", state: state}
			if want == stays {
				want = state
			}
			changed := e.on(event, time.Unix(1, 0))
			if e.state != want || changed != ((want == epochSettled) != (state == epochSettled)) {
				t.Errorf("event %d in state %v leads to %v (change of what is settled: %v), want %v", event, state, e.state, changed, want)
			}
			if e.on(peersVerified, time.Unix(2, 0)); e.overwritten && e.state == epochSettled {
				t.Errorf("an epoch settles from %v in which a key was overwritten", state)
			}
		}
	}
}

// epochStory is what the refresher, and who reads epochs, do with them.
type epochStory struct {
	*epochs
	now       time.Time
	verifying map[string]string // the verification that has begun
	moves     uint64            // of slots
}

// run takes an event and returns what is known then.
func (s *epochStory) run(t *testing.T, words []string) string {
	t.Helper()
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	has := func(flag string) bool { return slices.Contains(words, flag) }
	switch words[0] {
	case "wait": // D: time passes
		d, err := time.ParseDuration(word(1))
		must(t, err)
		s.now = s.now.Add(d)
	case "answers": // MASTER ID [leases]: this node reads an epoch, and has leases or none
		s.read(word(1), word(2), has("leases"), s.now)
	case "told": // MASTER: OnDataLost has returned
		s.on(lossTold, word(1), s.of[word(1)].id, s.now)
	case "verification": // begins|succeeds
		if word(1) == "begins" {
			s.verifying = s.toVerify()
			break
		}
		for master, id := range s.verifying {
			s.on(leasesVerified, master, id, s.now)
		}
	case "count": // MASTER UPTIME [verified]: the other nodes are looked at
		up, err := time.ParseDuration(word(2))
		must(t, err)
		e, awaits := s.awaitsPeers(word(1), s.now)
		if !awaits {
			return "  not looked at\n" + s.String()
		}
		verified := e.awaitPeers(s.timing, up, true, s.now) && has("verified")
		s.peersRead(word(1), &e, verified, s.now)
	case "overwritten": // MASTER: a key of it was found that is not beeline's
		s.overwritten(word(1), s.now)
	case "masters": // MASTER ...: no others are left
		s.keep(words[1:])
	case "slot": // moves
		s.moves++
	case "read-all": // all masters have answered with the epochs that are known
		s.allRead(s.moves)
	default:
		t.Fatalf("unknown event %q", words)
	}
	return s.String()
}

func (s *epochStory) String() string {
	var b strings.Builder
	for _, master := range slices.Sorted(maps.Keys(s.of)) {
		e := s.of[master]
		fmt.Fprintf(&b, "  master %s: %v", master, e)
		if s.provesAbsence(master, e.id, s.now) && s.slotMoves == s.moves {
			b.WriteString("; its empty answers count")
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "  this node vouches for %q", s.vouched())
	if s.allSettled() {
		b.WriteString(", all are settled")
	}
	if s.beganLately(s.now) {
		b.WriteString(", nobody is dead for a missing lease")
	}
	if s.slotMoves != s.moves {
		b.WriteString(", slots have moved")
		if s.provesAbsence(allMasters, s.ofAll(), s.now) {
			b.WriteString(" and all masters together vouch")
		}
	}
	return b.String() + "\n"
}
