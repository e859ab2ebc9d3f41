package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

const (
	// growthDays are stored of each site, up to yesterday, and asked for.
	growthDays = 30
	// growthSites is how many sites have them where stored events grow.
	growthSites = 50
	// growthEvents of today are sent then, evenly to all sites.
	growthEvents = 500_000
	// growthGoal is how much more an event or an answer may cost in a larger
	// installation.
	growthGoal = 1.3
)

// rowGrowth measures whether an event and an answer cost more in a larger
// installation: one with more stored events, and one with more sites.
func rowGrowth(ctx context.Context, b *bench) ([]result, error) {
	events, err := b.growthOfEvents(ctx)
	if err != nil {
		return nil, err
	}
	sites, err := b.growthOfSites(ctx)
	return append(events, sites...), err
}

// growthOfEvents compares stores with ever more events of as many sites and
// days.
func (b *bench) growthOfEvents(ctx context.Context) ([]result, error) {
	var sizes []*size
	for _, share := range []int{100, 10, 1} {
		perSite := b.large / share / growthSites
		if perSite < growthDays {
			return nil, fmt.Errorf("growth is measured up to %d events or more: choose a larger -large", 100*growthSites*growthDays)
		}
		p := stored("growth", growthSites, growthSites*perSite)
		s := &size{name: number(float64(p.events)) + " stored events", stored: p, asked: p}
		if len(sizes) == 0 {
			s.today = newDelivery(today(p))
		} else {
			s.today = sizes[0].today
		}
		sizes = append(sizes, s)
	}
	return b.growth(ctx, sizes, fillCopies)
}

// growthOfSites compares stores of ever more sites, each with one event on each
// of three days. One more site has all days, and is asked for.
func (b *bench) growthOfSites(ctx context.Context) ([]result, error) {
	asked := stored("asked", 1, growthDays)
	var sizes []*size
	for _, of := range []struct {
		name  string
		sites int
	}{{"10", 10}, {"1,000", 1000}, {"100,000", 100_000}} {
		p := stored("site", of.sites, 3*of.sites)
		p.days = 3
		sizes = append(sizes, &size{name: of.name + " sites", stored: p, asked: asked, today: newDelivery(today(p))})
	}
	return b.growth(ctx, sizes, func(ctx context.Context, data string, p *population) error {
		return withStore(ctx, data, func(st store.Store) error {
			return errors.Join(fill(ctx, st, asked, p), settle(ctx))
		})
	})
}

// stored is what an installation has before it is measured.
func stored(name string, sites, events int) *population {
	return &population{
		name: name, sites: sites, days: growthDays, end: yesterday(),
		events: events, users: 100_000, paths: 20_000,
	}
}

// today is what is sent to an installation.
func today(stored *population) *population {
	p := *stored
	p.days, p.end, p.events = 1, stored.end.AddDate(0, 0, 1), growthEvents
	return &p
}

// size is an installation of some size and what was measured there.
type size struct {
	name string
	// stored and asked are what it has; the days of the first site of asked are
	// asked for.
	stored, asked *population
	// today is sent to it.
	today *delivery
	// speed is that of the whole way, in events a second, p50 and p99 are those
	// of answers, in milliseconds; one of each a run.
	speed, p50, p99 []float64
}

// growth makes the sizes with build, measures each some times in turn, and
// compares them with the first of them.
func (b *bench) growth(ctx context.Context, sizes []*size, build func(ctx context.Context, data string, p *population) error) (results []result, err error) {
	dir := filepath.Join(b.dir, "growth")
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := func(s *size) string { return filepath.Join(dir, s.name) }
	for _, s := range sizes {
		begun := time.Now()
		if err := build(ctx, data(s), s.stored); err != nil {
			return nil, err
		}
		b.progress("  %s made in %.0f s", s.name, time.Since(begun).Seconds())
	}
	const most = 2 // more runs take too long
	for range min(b.pairs, most) {
		for _, s := range sizes {
			if err := b.measureSize(ctx, s, data(s)); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	for _, s := range sizes[1:] {
		results = append(results, s.beside(sizes[0])...)
	}
	return results, nil
}

// measureSize starts a server on an installation like the one in data, asks for
// the days of one site again and again, and then sends the events of today.
func (b *bench) measureSize(ctx context.Context, s *size, data string) error {
	return b.within(func(dir string) error {
		if err := linkInstallation(data, dir); err != nil {
			return err
		}
		d, err := b.serve(ctx, dir)
		if err != nil {
			return err
		}
		return d.stop(func() error {
			a := asking{url: d.report + s.asked.statsQuery(growthDays), clients: statsClients, want: s.asked.statsTotal(growthDays)}
			answers, err := a.run(ctx, b.span)
			if err != nil {
				return err
			}
			speed, err := s.today.to(ctx, d, 0)
			if err != nil {
				return err
			}
			s.speed, s.p50, s.p99 = append(s.speed, speed), append(s.p50, answers.p50), append(s.p99, answers.p99)
			return nil
		}())
	})
}

// beside compares with a smaller size.
func (s *size) beside(small *size) []result {
	what := func(of string) string { return of + ", " + s.name }
	answers := fmt.Sprintf("GET /stats, %d days, %d clients, ", growthDays, statsClients)
	speed, p50, p99 := comparisonOf(s.speed, small.speed), comparisonOf(s.p50, small.p50), comparisonOf(s.p99, small.p99)
	return []result{
		result{What: what("serve, embedded: from request to rollup"), Unit: "events/s"}.against(small.name, speed).
			goal(speed.ratio.Median >= 1/growthGoal, "≥ 1/%.1f ×", growthGoal),
		result{What: what(answers + "p50"), Unit: "ms"}.against(small.name, p50).
			goal(p50.ratio.Median <= growthGoal, "≤ %.1f ×", growthGoal),
		result{What: what(answers + "p99"), Unit: "ms"}.against(small.name, p99).
			goal(p99.ratio.Median <= growthGoal, "≤ %.1f ×", growthGoal),
	}
}
