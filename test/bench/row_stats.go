package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
)

const statsClients = 16

// statsPeriods are the last days of the year that are asked for.
var statsPeriods = []struct {
	days int
	name string
}{{1, "1 day"}, {30, "30 days"}, {365, "365 days"}}

// rowStats measures the answers of /stats.
func rowStats(ctx context.Context, b *bench) ([]result, error) {
	data, err := b.answersData(ctx)
	if err != nil {
		return nil, err
	}
	d, err := b.serve(ctx, data, "--raw-scan-time", "50s", "--raw-scan-events", fmt.Sprint(monthSite.events))
	if err != nil {
		return nil, err
	}
	results, err := b.statsBesidePlain(ctx, d)
	if err == nil {
		var scan result
		scan, err = b.statsBesideScan(ctx, d)
		results = append(results, scan)
	}
	return results, d.stop(err)
}

// statsBesidePlain compares answers with a server that reads the same bytes
// from Pebble.
func (b *bench) statsBesidePlain(ctx context.Context, d *daybook) (results []result, err error) {
	dir := filepath.Join(b.dir, "plain-answers")
	if err := keepAnswers(ctx, dir, d.report); err != nil {
		return nil, err
	}
	p, plain, err := b.child(ctx, "answers", "-dir", dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = p.stop(err) }()
	for _, period := range statsPeriods {
		// p50 are those of each side, beside what compare is given.
		var p50 [2][]float64
		side := func(i int, server string) side {
			a := asking{url: server + yearSite.statsQuery(period.days), clients: statsClients, want: yearSite.statsTotal(period.days)}
			return func(ctx context.Context) (float64, error) {
				l, err := a.run(ctx, b.span/2) // some ten thousand requests
				p50[i] = append(p50[i], l.p50)
				return l.p99, err
			}
		}
		p99, err := b.compare(ctx, side(0, d.report), side(1, plain))
		if err != nil {
			return nil, err
		}
		what := fmt.Sprintf("GET /stats, %s, %d clients, ", period.name, statsClients)
		const against = "plain read of the same bytes"
		results = append(results,
			// The first run of each is not counted.
			result{What: what + "p50", Unit: "ms"}.against(against, comparisonOf(p50[0][1:], p50[1][1:])),
			result{What: what + "p99", Unit: "ms"}.against(against, p99))
		if period.days == 30 {
			const goal = 2
			more := make([]float64, b.pairs)
			for i := range more {
				more[i] = p99.ours.Runs[i] - p99.yardstick.Runs[i]
			}
			beyond := spreadOf(more)
			results = append(results, result{What: what + "p99 beyond the plain read", Unit: "ms", Ours: beyond}.
				goal(beyond.Median <= goal, "≤ %d ms", goal))
		}
	}
	return results, nil
}

// keepAnswers makes a Pebble of the answers that the server gives, each under
// its question.
func keepAnswers(ctx context.Context, dir, server string) error {
	db, err := pebbledb.Open("answers", dir, &pebble.Options{}, problems)
	if err != nil {
		return err
	}
	for _, period := range statsPeriods {
		query := yearSite.statsQuery(period.days)
		a := asking{url: server + query, want: yearSite.statsTotal(period.days)}
		body, err := a.ask(ctx, http.DefaultClient)
		if err == nil {
			err = db.Set([]byte(query), []byte(body), pebble.Sync)
		}
		if err != nil {
			return errors.Join(err, db.Close())
		}
	}
	return db.Close()
}

// statsBesideScan compares an answer with a scan of the raw events that gives
// the same numbers: one with a filter that every event passes.
func (b *bench) statsBesideScan(ctx context.Context, d *daybook) (result, error) {
	// A scan takes so much longer than the answer that two of them tell enough.
	pairs := min(b.pairs, 2)
	days := monthSite.days
	ours := asking{url: d.report + monthSite.statsQuery(days), clients: 1, want: monthSite.statsTotal(days)}
	scan := ours
	scan.url += "&filter=event_type~*"
	var answers, scans []float64
	for range pairs {
		begun := time.Now()
		body, err := scan.ask(ctx, http.DefaultClient)
		if err == nil && !strings.Contains(body, `"source":"raw"`) {
			err = fmt.Errorf("the answer is not from raw events: %s", body)
		}
		if err != nil {
			return result{}, err
		}
		scans = append(scans, float64(time.Since(begun))/float64(time.Millisecond))
		l, err := ours.run(ctx, b.span)
		if err != nil {
			return result{}, err
		}
		answers = append(answers, l.p50)
	}
	// How many times faster, and not how much longer.
	c := comparisonOf(scans, answers)
	c.ours, c.yardstick = c.yardstick, c.ours
	const goal = 1000
	return result{What: fmt.Sprintf("GET /stats, %d days of %s events, 1 client, p50", days, number(float64(monthSite.events))), Unit: "ms"}.
		against("raw scan of the same question", c).
		goal(c.ratio.Median >= goal, "≥ %s times faster", number(goal)), nil
}
