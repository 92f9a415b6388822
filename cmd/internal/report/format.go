package report

import (
	"math"
	"strconv"
	"strings"
)

// number writes v with three significant digits, and thousands apart.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if digits < 0 {
		scale := math.Pow10(-digits)
		return thousands(strconv.FormatFloat(math.Round(v/scale)*scale, 'f', 0, 64))
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return thousands(text)
}

// count writes a whole number, thousands apart.
func count(v float64) string { return thousands(strconv.FormatFloat(v, 'f', 0, 64)) }

func thousands(text string) string {
	whole, fraction, dotted := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dotted {
		whole += "." + fraction
	}
	return sign + whole
}

// scaled writes v with the largest unit of a thousand that it reaches.
func scaled(v float64, unit string) string {
	for _, step := range []struct {
		size   float64
		prefix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= step.size {
			return number(v/step.size) + " " + step.prefix + unit
		}
	}
	return number(v) + " " + unit
}

// text writes a band: the median and, if the repetitions differ, their range.
func (b band) text() string {
	low, mid, high := number(b.low), number(b.mid), number(b.high)
	if low == high {
		return mid
	}
	return mid + " (" + low + "–" + high + ")"
}

// list joins words as a sentence does.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
