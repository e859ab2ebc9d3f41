package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// DefaultDays is, as the days of a SiteChange, as long as the worker's own
// settings say.
const DefaultDays = -1

// SiteChange says what is to be set of a site, with the names that Site has.
// What is nil stays as it is.
type SiteChange struct {
	// Origins take the place of those that there are; none is all.
	Origins *[]string `json:"origins,omitempty"`
	// KeepRawDays is 0 to retention.MaxDays, or DefaultDays.
	KeepRawDays *int    `json:"keep_raw_days,omitempty"`
	Bots        *string `json:"bots,omitempty"`
	DataCenters *bool   `json:"datacenters,omitempty"`
	StripSlash  *bool   `json:"strip_slash,omitempty"`
	LowerCase   *bool   `json:"lower_case,omitempty"`
	// Paths take the place of the patterns that there are.
	Paths *[]string `json:"paths,omitempty"`
}

// Validate tells what is wrong with it, whatever is set of the site.
func (c SiteChange) Validate() error { return c.apply(&site.Settings{}) }

// apply changes settings, unless it is wrong with them.
func (c SiteChange) apply(s *site.Settings) error {
	var err error
	if c.Origins != nil {
		if s.Origins, err = site.ParseOrigins(*c.Origins); err != nil {
			return err
		}
	}
	if c.KeepRawDays != nil {
		days := *c.KeepRawDays
		switch {
		case days == DefaultDays:
			s.KeepRawDays = nil
		case days < 0 || days > retention.MaxDays:
			return fmt.Errorf("raw events kept for %d days: allowed are 1 to %d, 0 for ever, and %d for what the workers are set to", days, retention.MaxDays, DefaultDays)
		default:
			s.KeepRawDays = &days
		}
	}
	if c.Bots != nil {
		if s.Bots, err = site.ParseBots(*c.Bots); err != nil {
			return err
		}
	}
	if c.DataCenters != nil {
		s.DataCenters = *c.DataCenters
	}
	if c.StripSlash != nil {
		s.Paths.StripSlash = *c.StripSlash
	}
	if c.LowerCase != nil {
		s.Paths.Lower = *c.LowerCase
	}
	if c.Paths != nil {
		s.Paths.Patterns = slices.Clone(*c.Paths)
		if len(s.Paths.Patterns) == 0 {
			s.Paths.Patterns = nil
		}
	}
	return s.Paths.Validate()
}

// addSite is the request for AddSite.
type addSite struct {
	Site string `json:"site"`
	SiteChange
}

// RemovedSite tells what became of a site.
type RemovedSite struct {
	Site string `json:"site"`
	// RevokedKeys are how many of its keys were good until now.
	RevokedKeys int `json:"revoked_keys"`
	// HasData tells that there are events or rollups of it, which are kept.
	HasData bool `json:"has_data"`
}

// AddSite is part of Actions.
func (a *Admin) AddSite(ctx context.Context, name string, change SiteChange) (*Site, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	settings, err := a.sites.Change(ctx, name, func(s *site.Settings) error {
		if s.Added {
			return &web.Error{Status: http.StatusConflict, Message: fmt.Sprintf("site %s was added already; `daybook sites set` changes it", name)}
		}
		s.Added = true
		return invalid(change.apply(s))
	})
	if err != nil {
		return nil, err
	}
	a.changed()
	a.log.Info("site added", "site", name, "by", signed(ctx, ""))
	s := newSite(name, settings)
	return &s, nil
}

// ChangeSite is part of Actions.
func (a *Admin) ChangeSite(ctx context.Context, name string, change SiteChange) (*Site, error) {
	if err := a.checkChangeable(ctx, name); err != nil {
		return nil, err
	}
	if change.Origins != nil && len(*change.Origins) == 0 {
		if err := a.checkNoPublicKeys(ctx, name); err != nil {
			return nil, err
		}
	}
	settings, err := a.sites.Change(ctx, name, func(s *site.Settings) error { return invalid(change.apply(s)) })
	if err != nil {
		return nil, err
	}
	a.changed()
	a.log.Info("site changed", "site", name, "by", signed(ctx, ""))
	s := newSite(name, settings)
	return &s, nil
}

// checkThere gives store.ErrNotFound for a site that was neither added nor has
// data.
func (a *Admin) checkThere(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	settings, err := a.sites.Get(ctx, name)
	if err != nil || settings.Added {
		return err
	}
	if err := a.checkSite(ctx, name); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return fmt.Errorf("site %s was not added, and has no events: %w", name, store.ErrNotFound)
}

// checkChangeable is checkThere for whoever sets or makes something for the
// site: it tells how it gets there.
func (a *Admin) checkChangeable(ctx context.Context, name string) error {
	err := a.checkThere(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w; `daybook sites add %s` adds it", err, name)
	}
	return err
}

// RemoveSite is part of Actions.
func (a *Admin) RemoveSite(ctx context.Context, name string) (*RemovedSite, error) {
	if err := a.checkThere(ctx, name); err != nil {
		return nil, err
	}
	removed := &RemovedSite{Site: name}
	var err error
	if removed.RevokedKeys, err = a.keys.RevokeSite(ctx, name); err != nil {
		return nil, err
	}
	// Without its time zones nobody could tell what the dates of its raw events
	// mean, also of those that a worker is just about to store.
	_, err = a.sites.Change(ctx, name, func(s *site.Settings) error {
		*s = site.Settings{Zone: s.Zone, Next: s.Next, Zones: s.Zones}
		return nil
	})
	if err != nil {
		return nil, err
	}
	a.changed()
	a.log.Info("site removed", "site", name, "keys", removed.RevokedKeys, "by", signed(ctx, ""))
	switch err := a.checkSite(ctx, name); {
	case err == nil:
		removed.HasData = true
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return removed, nil
}

// AddSite is part of Actions.
func (c *Client) AddSite(ctx context.Context, name string, change SiteChange) (*Site, error) {
	return ask[*Site](ctx, c, http.MethodPost, sitesPath, addSite{name, change})
}

// ChangeSite is part of Actions.
func (c *Client) ChangeSite(ctx context.Context, name string, change SiteChange) (*Site, error) {
	return ask[*Site](ctx, c, http.MethodPatch, sitePath(name), change)
}

// RemoveSite is part of Actions.
func (c *Client) RemoveSite(ctx context.Context, name string) (*RemovedSite, error) {
	return ask[*RemovedSite](ctx, c, http.MethodDelete, sitePath(name), nil)
}
