package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"

	"github.com/gorilla/mux"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/web"
)

const sitesPath = "/admin/sites"

func sitePath(name string) string { return sitesPath + "/" + url.PathEscape(name) }

// Site tells of one site. Time zones are given by their IANA names, and UTC.
type Site struct {
	Site string `json:"site"`
	// Added tells that it was added by name, and not only by its events.
	Added    bool   `json:"added"`
	Timezone string `json:"timezone"`
	// ChangingTo is the time zone that it is being changed to, if it is.
	ChangingTo string `json:"changing_to,omitempty"`
	// Dated are the time zones that its raw events may be dated in: those that
	// it has had.
	Dated []string `json:"dated_in"`
	// Origins are the web origins whose pages may send events; empty is all.
	Origins []string `json:"origins"`
	// KeepRawDays is for how many whole days raw events are kept, 0 for ever;
	// nil is as long as the worker's own settings say.
	KeepRawDays *int `json:"keep_raw_days,omitempty"`
	// Bots is what becomes of the events of bots: filter or keep. DataCenters
	// takes what comes from data centres for bots.
	Bots        string `json:"bots"`
	DataCenters bool   `json:"datacenters"`
	// StripSlash, LowerCase and Paths are what is done to paths, as in
	// site.PathRules.
	StripSlash bool     `json:"strip_slash"`
	LowerCase  bool     `json:"lower_case"`
	Paths      []string `json:"paths"`
}

func newSite(name string, settings site.Settings) Site {
	s := Site{
		Site: name, Added: settings.Added, Timezone: site.ZoneName(settings.Zone),
		Origins: settings.Origins, KeepRawDays: settings.KeepRawDays, Bots: settings.Bots.Name(), DataCenters: settings.DataCenters,
		StripSlash: settings.Paths.StripSlash, LowerCase: settings.Paths.Lower, Paths: settings.Paths.Patterns,
	}
	if s.Origins == nil {
		s.Origins = []string{}
	}
	if s.Paths == nil {
		s.Paths = []string{}
	}
	if settings.Next != nil {
		s.ChangingTo = site.ZoneName(*settings.Next)
	}
	for _, zone := range settings.All() {
		s.Dated = append(s.Dated, site.ZoneName(zone))
	}
	return s
}

// Timezone says which time zone a site is to have.
type Timezone struct {
	// Timezone is the zone's IANA name, or UTC.
	Timezone string `json:"timezone"`
	// By tells who wants it.
	By string `json:"by,omitempty"`
}

// Sites is part of Actions.
func (a *Admin) Sites(ctx context.Context) ([]Site, error) {
	all := map[string]site.Settings{}
	err := reconcile.EachSite(ctx, a.store, func(name string) error {
		all[name] = site.Settings{}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = a.sites.Each(ctx, func(name string, settings site.Settings) error {
		all[name] = settings
		return nil
	})
	if err != nil {
		return nil, err
	}
	sites := make([]Site, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sites = append(sites, newSite(name, all[name]))
	}
	return sites, nil
}

// Site is part of Actions.
func (a *Admin) Site(ctx context.Context, name string) (*Site, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	settings, err := a.sites.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if reflect.ValueOf(settings).IsZero() { // then only data tells that it is there
		if err := a.checkThere(ctx, name); err != nil {
			return nil, err
		}
	}
	s := newSite(name, settings)
	return &s, nil
}

func checkName(name string) error {
	if !site.ValidID(name) {
		return invalid(fmt.Errorf("there can be no site %q: a site_id has 1 to 128 letters, digits and . _ : -", web.Shorten(name)))
	}
	return nil
}

// SetTimezone is part of Actions.
func (a *Admin) SetTimezone(ctx context.Context, name string, to Timezone) (*reconcile.Job, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	zone, err := site.ParseZone(to.Timezone)
	if err != nil {
		return nil, invalid(err)
	}
	settings, err := a.sites.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if a.queue == nil {
		return nil, errNoQueue
	}
	unfinished, err := a.runner.UnfinishedZoneChange(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case unfinished == nil && settings.Next == nil && settings.Zone == zone:
		return nil, nil
	case unfinished != nil && *unfinished.Spec.Timezone == zone:
		return a.ResumeRebuild(ctx, unfinished.ID, 0)
	}
	job, err := a.runner.CreateZoneChange(ctx, name, zone, to.By)
	if errors.Is(err, reconcile.ErrBusy) {
		return nil, busy(err)
	}
	if err != nil {
		return nil, err
	}
	// What the other one has made is removed by the new one.
	if unfinished != nil {
		if _, err := a.runner.Cancel(ctx, unfinished.ID); err != nil {
			return nil, err
		}
	}
	return a.run(job, 0)
}

func (a *Admin) registerSites(e entrance) {
	e.handle(sitesPath, web.Methods{
		http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			sites, err := a.Sites(r.Context())
			return answer(w, http.StatusOK, sites, err)
		},
		http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
			var add addSite
			if err := decode(w, r, &add); err != nil {
				return err
			}
			s, err := a.AddSite(r.Context(), add.Site, add.SiteChange)
			return answer(w, http.StatusCreated, s, err)
		},
	})
	e.handle(sitesPath+"/{site}", web.Methods{
		http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			s, err := a.Site(r.Context(), mux.Vars(r)["site"])
			return answer(w, http.StatusOK, s, err)
		},
		http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
			var to Timezone
			if err := decode(w, r, &to); err != nil {
				return err
			}
			to.By = signed(r.Context(), to.By)
			job, err := a.SetTimezone(r.Context(), mux.Vars(r)["site"], to)
			return answer(w, http.StatusAccepted, job, err)
		},
		http.MethodPatch: func(w http.ResponseWriter, r *http.Request) error {
			var change SiteChange
			if err := decode(w, r, &change); err != nil {
				return err
			}
			s, err := a.ChangeSite(r.Context(), mux.Vars(r)["site"], change)
			return answer(w, http.StatusOK, s, err)
		},
		http.MethodDelete: func(w http.ResponseWriter, r *http.Request) error {
			removed, err := a.RemoveSite(r.Context(), mux.Vars(r)["site"])
			return answer(w, http.StatusOK, removed, err)
		},
	})
}

// Sites is part of Actions.
func (c *Client) Sites(ctx context.Context) ([]Site, error) {
	return ask[[]Site](ctx, c, http.MethodGet, sitesPath, nil)
}

// Site is part of Actions.
func (c *Client) Site(ctx context.Context, name string) (*Site, error) {
	return ask[*Site](ctx, c, http.MethodGet, sitePath(name), nil)
}

// SetTimezone is part of Actions.
func (c *Client) SetTimezone(ctx context.Context, name string, to Timezone) (*reconcile.Job, error) {
	return ask[*reconcile.Job](ctx, c, http.MethodPost, sitePath(name), to)
}
