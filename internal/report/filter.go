package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/web"
	"github.com/daybook-analytics/daybook/rollup"
)

// The operators of a filter.
const (
	opEqual    = "=="
	opNotEqual = "!="
	opLike     = "~"
)

// Limits of the filters of one question.
const (
	maxFilters     = 10
	maxFilterValue = event.MaxPath // bytes; no value of an event is longer
	// maxPattern bounds the bytes of a pattern, since matching one takes time
	// for each of them.
	maxPattern = 256
)

// parseFilter reads one filter, as "path==/pricing", "country!=DE" or
// "path~/blog/*". The name of the dimension ends where the operator begins,
// and everything behind the operator is the value, whatever is in it.
//
// An event that has no value in the dimension has the empty one: "country=="
// are the events without a country, and "country!=DE" are among others those.
// In a pattern * stands for any number of characters, none included, and ? for
// exactly one; there is no escape, but ? also stands for a star.
func parseFilter(s string) (filter, error) {
	var f filter
	at := strings.IndexAny(s, "=!~")
	if at < 0 {
		return f, badFilter(s, "has no operator")
	}
	name, rest := s[:at], s[at:]
	for _, op := range []string{opEqual, opNotEqual, opLike} {
		if value, found := strings.CutPrefix(rest, op); found {
			f.op, f.value = op, value
		}
	}
	dim, known := dimensionOf(name)
	switch {
	case f.op == "":
		return filter{}, badFilter(s, "has an operator that does not exist")
	case !known:
		return filter{}, badFilter(s, "begins with no dimension")
	case len(f.value) > maxFilterValue:
		return filter{}, badFilter(s, fmt.Sprintf("has a value of %d bytes, and no event has more than %d", len(f.value), maxFilterValue))
	case f.op == opLike && len(f.value) > maxPattern:
		return filter{}, badFilter(s, fmt.Sprintf("has a pattern of %d bytes, and %d is the most", len(f.value), maxPattern))
	case !utf8.ValidString(f.value):
		return filter{}, badFilter(s, "has a value that is not UTF-8")
	}
	f.dim = dim
	return f, nil
}

func badFilter(s, problem string) error {
	names := make([]string, rollup.NumDimensions)
	for dim := range rollup.NumDimensions {
		names[dim] = dim.String()
	}
	return web.Invalid("filter", s, problem,
		"dimension==value, dimension!=value or dimension~pattern with * and ?; dimensions are "+strings.Join(names, ", "))
}

func dimensionOf(name string) (rollup.Dimension, bool) {
	for dim := range rollup.NumDimensions {
		if dim.String() == name {
			return dim, true
		}
	}
	return 0, false
}

// String gives the filter as it was asked for.
func (f filter) String() string { return f.dim.String() + f.op + f.value }

// matches tells whether an event with the values passes the filter.
func (f filter) matches(values *rollup.Values) bool {
	switch value := values[f.dim]; f.op {
	case opEqual:
		return value == f.value
	case opNotEqual:
		return value != f.value
	default:
		return like(value, f.value)
	}
}

// matchAll tells whether an event with the values passes all filters.
func matchAll(filters []filter, values *rollup.Values) bool {
	for _, f := range filters {
		if !f.matches(values) {
			return false
		}
	}
	return true
}

// sortFilters puts filters into one order without repetitions: questions that
// differ only there have the same answer.
func sortFilters(filters []filter) []filter {
	sorted := slices.SortedFunc(slices.Values(filters), func(a, b filter) int {
		return cmp.Or(cmp.Compare(a.dim, b.dim), cmp.Compare(a.op, b.op), cmp.Compare(a.value, b.value))
	})
	return slices.Compact(sorted)
}

// like tells whether all of s fits the pattern. It goes back to the last star
// only: what an earlier one could take more of, the last one can take too. So
// its time is at most the product of both lengths.
func like(s, pattern string) bool {
	// star is the place behind the last star, and taken that of s up to which
	// the star has taken; -1 while there was none.
	star, taken := -1, 0
	i, p := 0, 0
	for i < len(s) {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, taken = p, i
		case p < len(pattern) && pattern[p] == '?':
			i, p = i+size, p+1
		case p < len(pattern) && pattern[p] == s[i]:
			i, p = i+1, p+1
		case star >= 0:
			_, size := utf8.DecodeRuneInString(s[taken:])
			taken += size
			i, p = taken, star
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
