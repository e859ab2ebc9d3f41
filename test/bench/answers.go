package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Answers and rebuilds are measured on the same data: a site that has been
// there for a year, and one with ten million events in a month.
var (
	yearSite  = population{name: "year", sites: 1, days: 365, end: yesterday(), events: 365 * 20_000, users: 80_000, paths: 5_000}
	monthSite = population{name: "month", sites: 1, days: 30, end: yesterday(), events: 10_000_000, users: 500_000, paths: 5_000}
)

// answersData gives the directory of an installation with the data, which the
// first call makes.
func (b *bench) answersData(ctx context.Context) (string, error) {
	data := filepath.Join(b.dir, "answers")
	if _, err := os.Stat(data); err == nil {
		return data, nil
	}
	begun := time.Now()
	st, err := openStore(ctx, data)
	if err != nil {
		return "", err
	}
	err = func() error {
		if err := fill(ctx, st, &monthSite, &yearSite); err != nil {
			return err
		}
		// What the night does.
		var days []store.DayKey
		for day := range yearSite.days {
			days = append(days, store.DayKey{Site: yearSite.site(0), Date: yearSite.date(day)})
		}
		if _, err := reconcile.RebuildMonths(ctx, st, days, time.Now()); err != nil {
			return err
		}
		return settle(ctx)
	}()
	b.progress("%d events stored in %.0f s", yearSite.events+monthSite.events, time.Since(begun).Seconds())
	return data, errors.Join(err, st.Close())
}

// statsQuery is the question for the last days of a population's first site.
func (p *population) statsQuery(days int) string {
	return fmt.Sprintf("/stats?site_id=%s&from=%s&to=%s", p.site(0), p.date(p.days-days), p.date(p.days-1))
}

// statsTotal is a part of the right answer to statsQuery.
func (p *population) statsTotal(days int) string {
	return fmt.Sprintf(`"total_events":%d,`, p.last(0, days))
}

// asking is a closed loop of GET: of each client one request is under way at
// a time.
type asking struct {
	url     string
	clients int
	// want must be in every answer.
	want string
}

// latency sums up how long requests took, in milliseconds.
type latency struct{ p50, p99 float64 }

// run asks for a span of time.
func (a *asking) run(ctx context.Context, span time.Duration) (latency, error) {
	// Compression would not be the same on both sides of a comparison.
	transport := &http.Transport{MaxIdleConnsPerHost: a.clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	took, errs := make([][]time.Duration, a.clients), make([]error, a.clients)
	end := time.Now().Add(span)
	var running sync.WaitGroup
	for i := range a.clients {
		running.Go(func() {
			for errs[i] == nil && (len(took[i]) == 0 || time.Now().Before(end)) {
				begun := time.Now()
				_, errs[i] = a.ask(ctx, client)
				took[i] = append(took[i], time.Since(begun))
			}
		})
	}
	running.Wait()
	all := slices.Concat(took...)
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[int(share*float64(len(all)))]) / float64(time.Millisecond)
	}
	return latency{p50: at(0.5), p99: at(0.99)}, errors.Join(errs...)
}

// ask sends one request and gives the body of the answer.
func (a *asking) ask(ctx context.Context, client *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), a.want) {
		return "", fmt.Errorf("%s: %s without %s: %s", a.url, resp.Status, a.want, body)
	}
	return string(body), nil
}
