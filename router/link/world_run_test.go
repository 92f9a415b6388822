package link

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var (
	worldSeed  = flag.Uint64("world.seed", 0, "run the world of two links with this seed only, and tell what happens (-v)")
	worldSeeds = flag.Int("world.seeds", 100, "with how many seeds the world of two links runs under each rule")
)

const worldSteps = 3000

var worldVariants = map[string]worldRules{
	"lossy":                 {},
	"lossy, relayed":        {relayed: true},
	"forgetful":             {forgets: true},
	"forgetful, relayed":    {forgets: true, relayed: true},
	"lives forged":          {forged: true},
	"lives forged, relayed": {forged: true, relayed: true},
}

func TestLinksOverALossyBus(t *testing.T) {
	for name, rules := range worldVariants {
		t.Run(name, func(t *testing.T) {
			delivered, steps := 0, 0
			for i := range *worldSeeds {
				seed := uint64(i + 1)
				if *worldSeed != 0 {
					seed = *worldSeed
				}
				var tell func(string)
				if *worldSeed != 0 {
					tell = func(line string) { t.Log(line) }
				}
				w := runWorld(seed, rules, tell)
				if w.failed != nil {
					t.Fatalf("-world.seed=%d: %v", seed, w.failed)
				}
				delivered, steps = delivered+w.delivered, steps+w.steps
				if *worldSeed != 0 {
					break
				}
			}
			if delivered < steps/50 {
				t.Errorf("only %d messages were delivered in %d steps", delivered, steps)
			}
		})
	}
}

// runWorld runs one history, and tells it if it is asked to.
func runWorld(seed uint64, rules worldRules, tell func(string)) *world {
	w := newWorld(randomBytes(seed), rules)
	w.tell = tell
	for range worldSteps {
		if w.step(); w.failed != nil {
			return w
		}
	}
	w.settleAll()
	return w
}

func randomBytes(seed uint64) func() byte {
	rng := rand.NewPCG(seed, 1)
	var bits uint64
	left := 0
	return func() byte {
		if left == 0 {
			bits, left = rng.Uint64(), 8
		}
		b := byte(bits)
		bits >>= 8
		left--
		return b
	}
}

// FuzzLinks has the fuzzer choose what happens.
func FuzzLinks(f *testing.F) {
	for seed := range uint64(8) {
		choose, data := randomBytes(seed), make([]byte, 500)
		for i := range data {
			data[i] = choose()
		}
		f.Add(byte(seed), data)
	}
	f.Fuzz(func(t *testing.T, rules byte, data []byte) {
		at := 0
		w := newWorld(func() byte {
			if at++; at > len(data) {
				return 255
			}
			return data[at-1]
		}, worldRules{forged: rules&3 == 1, forgets: rules&3 == 2, relayed: rules&4 != 0})
		for at < len(data) && w.failed == nil {
			w.step()
		}
		if w.settleAll(); w.failed != nil {
			t.Fatal(w.failed)
		}
	})
}

// BenchmarkWorld measures a step of the world, with a look at all invariants.
func BenchmarkWorld(b *testing.B) {
	steps, seed := 0, uint64(0)
	for b.Loop() {
		seed++
		w := runWorld(seed, worldRules{}, nil)
		if w.failed != nil {
			b.Fatal(fmt.Errorf("seed %d: %w", seed, w.failed))
		}
		steps += w.steps
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}
