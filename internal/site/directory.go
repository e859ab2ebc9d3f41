package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// Directory reads and changes the settings of sites. It is safe for concurrent
// use, also by several processes on one store.
type Directory struct {
	records store.Records
	keep    time.Duration
	now     func() time.Time

	mu    sync.Mutex
	known map[string]known // protected by mu
}

type known struct {
	settings Settings
	since    time.Time
}

// maxKnown bounds what is remembered. Sites are asked for that do not exist,
// too.
const maxKnown = 100_000

// NewDirectory makes a Directory of the records in a store. What it has read
// it gives again for so long (0: it asks each time). Who writes by the settings
// must ask each time.
func NewDirectory(records store.Records, keep time.Duration) *Directory {
	return &Directory{records: records, keep: keep, now: time.Now, known: map[string]known{}}
}

// Get gives the settings of one site.
func (d *Directory) Get(ctx context.Context, site string) (Settings, error) {
	all, err := d.GetAll(ctx, []string{site})
	return all[site], err
}

// GetAll gives the settings of each of the sites.
func (d *Directory) GetAll(ctx context.Context, sites []string) (map[string]Settings, error) {
	all := make(map[string]Settings, len(sites))
	missing := d.recall(sites, all)
	if len(missing) == 0 {
		return all, nil
	}
	// What is read is from after this time.
	asked := d.now()
	records, err := d.records.Records(ctx, store.SiteKind, missing)
	if err != nil {
		return nil, fmt.Errorf("read the settings of sites: %w", err)
	}
	for _, site := range missing {
		var settings Settings
		if record, ok := records[site]; ok {
			if settings, err = Parse(record); err != nil {
				return nil, err
			}
		}
		all[site] = settings
	}
	d.remember(missing, all, asked)
	return all, nil
}

// recall puts what is known of the sites into all, and gives the other sites.
func (d *Directory) recall(sites []string, all map[string]Settings) (missing []string) {
	if d.keep == 0 {
		return sites
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for _, site := range sites {
		if k, ok := d.known[site]; ok && now.Sub(k.since) < d.keep {
			all[site] = k.settings
		} else {
			missing = append(missing, site)
		}
	}
	return missing
}

func (d *Directory) remember(sites []string, all map[string]Settings, asked time.Time) {
	if d.keep == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.known)+len(sites) > maxKnown {
		clear(d.known)
	}
	for _, site := range sites {
		d.known[site] = known{all[site], asked}
	}
}

// Change changes the settings of a site and gives what they are then. change
// may be called several times, when others change them too; its error ends it
// and is returned, and nothing is changed. A site of which nothing is set has
// no record any more.
func (d *Directory) Change(ctx context.Context, site string, change func(*Settings) error) (Settings, error) {
	for {
		records, err := d.records.Records(ctx, store.SiteKind, []string{site})
		if err != nil {
			return Settings{}, fmt.Errorf("read the settings of site %s: %w", site, err)
		}
		record, ok := records[site]
		var settings Settings
		if ok {
			if settings, err = Parse(record); err != nil {
				return Settings{}, err
			}
		}
		if err := change(&settings); err != nil {
			return Settings{}, err
		}
		record.Name = site
		if record.Body, err = encode(settings); err != nil {
			return Settings{}, err
		}
		switch {
		case !reflect.ValueOf(settings).IsZero():
			err = d.records.SwapRecord(ctx, store.SiteKind, &record)
		case ok:
			err = d.records.DropRecord(ctx, store.SiteKind, record)
		}
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		if err != nil {
			return Settings{}, fmt.Errorf("write the settings of site %s: %w", site, err)
		}
		return settings, nil
	}
}

// encode makes the body of a record. Nobody shows it on a page, and with the
// escapes that pages need settings within their bounds could be too large.
func encode(settings Settings) ([]byte, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(settings)
	return body.Bytes(), err
}

// listedAtOnce is how many records are read at once.
const listedAtOnce = 1000

// Each calls fn for each site that has settings, in order. An error of fn ends
// it and is returned.
func (d *Directory) Each(ctx context.Context, fn func(site string, settings Settings) error) error {
	for after := ""; ; {
		records, err := d.records.RecordsAfter(ctx, store.SiteKind, after, listedAtOnce)
		if err != nil {
			return fmt.Errorf("list the settings of sites: %w", err)
		}
		for _, record := range records {
			settings, err := Parse(record)
			if err != nil {
				return err
			}
			if err := fn(record.Name, settings); err != nil {
				return err
			}
			after = record.Name
		}
		if len(records) < listedAtOnce {
			return nil
		}
	}
}
