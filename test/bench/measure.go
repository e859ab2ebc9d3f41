package main

import (
	"context"
	"fmt"
	"slices"
)

// side measures one side of a comparison once, and gives its figure.
type side func(ctx context.Context) (float64, error)

// spread sums up the figures of several runs.
type spread struct {
	Median float64   `json:"median"`
	Least  float64   `json:"min"`
	Most   float64   `json:"max"`
	Runs   []float64 `json:"runs"`
}

func spreadOf(runs []float64) spread {
	sorted := slices.Sorted(slices.Values(runs))
	n := len(sorted)
	return spread{
		Median: (sorted[(n-1)/2] + sorted[n/2]) / 2,
		Least:  sorted[0], Most: sorted[n-1], Runs: runs,
	}
}

// comparison is what a number of pairs gave.
type comparison struct {
	ours, yardstick spread
	// ratio is that of ours to the yardstick, of each pair by itself: what
	// slows both of a pair down is not in it.
	ratio spread
}

// compare measures two sides in turn, A B A B and so on, after one run of each
// that is not counted.
func (b *bench) compare(ctx context.Context, ours, yardstick side) (comparison, error) {
	var a, y []float64
	for i := range b.pairs + 1 {
		one, err := ours(ctx)
		if err != nil {
			return comparison{}, err
		}
		other, err := yardstick(ctx)
		if err != nil {
			return comparison{}, fmt.Errorf("yardstick: %w", err)
		}
		if i > 0 {
			a, y = append(a, one), append(y, other)
		}
	}
	return comparisonOf(a, y), nil
}

// comparisonOf sums up pairs.
func comparisonOf(ours, yardstick []float64) comparison {
	ratios := make([]float64, len(ours))
	for i := range ratios {
		ratios[i] = ours[i] / yardstick[i]
	}
	return comparison{spreadOf(ours), spreadOf(yardstick), spreadOf(ratios)}
}

// repeat measures one side as often as a comparison does.
func (b *bench) repeat(ctx context.Context, ours side) (spread, error) {
	var runs []float64
	for range b.pairs {
		one, err := ours(ctx)
		if err != nil {
			return spread{}, err
		}
		runs = append(runs, one)
	}
	return spreadOf(runs), nil
}
