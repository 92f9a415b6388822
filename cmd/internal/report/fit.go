package report

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// sample is a measured cell as the fit sees it.
type sample struct {
	traffic
	arm  Arm
	cost float64
}

// unknown is a unit cost that is looked for: a term of an arm, or of all.
type unknown struct {
	arm  Arm // empty: all
	term int
}

// unknowns lists what the samples can tell of one resource. Of lookups that is so only
// where lookups a hop differed enough, and of what a message on one node costs only
// where some stayed on theirs.
func unknowns(all []sample, f Figure) []unknown {
	var list []unknown
	for _, arm := range arms() {
		own := slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return s.arm != arm })
		for term := range wakeTerm {
			switch {
			case !slices.ContainsFunc(own, func(s sample) bool { return s.terms(arm, f)[term] > 0 }):
			case term == baseTerm && whole(arm, own):
			case term == lookupTerm && spread(own) < 0.1:
			default:
				list = append(list, unknown{arm, term})
			}
		}
	}
	if slices.ContainsFunc(all, func(s sample) bool { return s.terms(s.arm, f)[wakeTerm] > 0 }) {
		list = append(list, unknown{"", wakeTerm})
	}
	return list
}

// whole reports whether the same share of the messages left their nodes at all of an
// arm's samples, so that what stays can't be told from what leaves.
func whole(arm Arm, own []sample) bool {
	if arm == Broadcast {
		return false
	}
	return len(own) > 0 && !slices.ContainsFunc(own, func(s sample) bool { return s.away != own[0].away || s.away == 0 })
}

// spread is by how much the lookups a hop differ.
func spread(all []sample) float64 {
	least, most := math.Inf(1), 0.0
	for _, s := range all {
		if s.away > 0 {
			share := s.lookups / s.away
			least, most = min(least, share), max(most, share)
		}
	}
	return most - least
}

// fit finds the unit costs of one resource, for all arms at once, because waking a
// node costs the same in each.
func fit(all []sample, f Figure) map[Arm]Units {
	if len(all) == 0 {
		return nil
	}
	columns := unknowns(all, f)
	found := leastSquares(all, f, columns)
	units := map[Arm]Units{}
	for _, arm := range arms() {
		own := slices.DeleteFunc(slices.Clone(all), func(s sample) bool { return s.arm != arm })
		if len(own) == 0 {
			continue
		}
		var c [numTerms]float64
		for i, u := range columns {
			if u.arm == arm || u.arm == "" {
				c[u.term] = found[i]
			}
		}
		u := Units{Base: c[baseTerm], Grow: c[growTerm], Ack: c[ackTerm], Lookup: c[lookupTerm], Wake: c[wakeTerm], Whole: whole(arm, own)}
		if arm == Targeted && u.Lookup == 0 {
			u.Lookup, u.Assumed = u.Grow, true
		}
		units[arm] = u
	}
	return units
}

// leastSquares returns the costs of the columns, none of them negative, that make the
// sum of the squared relative errors least. With nine columns at most, trying each
// subset is the plainest way to the best one.
func leastSquares(all []sample, f Figure, columns []unknown) []float64 {
	a, b := equations(all, f, columns)
	best, least := make([]float64, len(columns)), math.Inf(1)
	for subset := 1; subset < 1<<len(columns); subset++ {
		var chosen []int
		for i := range columns {
			if subset&(1<<i) != 0 {
				chosen = append(chosen, i)
			}
		}
		c, ok := solve(a, b, chosen)
		if !ok {
			continue
		}
		var off mat.VecDense
		off.MulVec(a, mat.NewVecDense(len(c), c))
		off.SubVec(&off, b)
		if e := mat.Dot(&off, &off); e < least {
			best, least = c, e
		}
	}
	return best
}

// equations has a row for each sample, in shares of its cost. A sample that costs
// nothing has no relative error and is taken as it is.
func equations(all []sample, f Figure, columns []unknown) (*mat.Dense, *mat.VecDense) {
	a := mat.NewDense(len(all), len(columns), nil)
	b := mat.NewVecDense(len(all), nil)
	for i, s := range all {
		weight := 1.0
		if s.cost > 0 {
			weight = 1 / s.cost
		}
		x := s.terms(s.arm, f)
		for j, u := range columns {
			if u.arm == s.arm || u.arm == "" {
				a.Set(i, j, x[u.term]*weight)
			}
		}
		b.SetVec(i, s.cost*weight)
	}
	return a, b
}

// solve fits some of the columns; false if they can't be told apart or one of them
// comes out negative.
func solve(a *mat.Dense, b *mat.VecDense, chosen []int) (c []float64, ok bool) {
	rows, columns := a.Dims()
	if rows < len(chosen) {
		return nil, false
	}
	part := mat.NewDense(rows, len(chosen), nil)
	for j, column := range chosen {
		part.SetCol(j, mat.Col(nil, column, a))
	}
	var x mat.VecDense
	if err := x.SolveVec(part, b); err != nil {
		return nil, false
	}
	c = make([]float64, columns)
	for j, column := range chosen {
		if c[column] = x.AtVec(j); c[column] < 0 {
			return nil, false
		}
	}
	return c, true
}
