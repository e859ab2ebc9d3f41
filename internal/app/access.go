package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/queue/redisq"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/internal/web"
)

// openAccess opens what the roles that others reach know of keys and sites.
func (a *App) openAccess(ctx context.Context) error {
	var records store.Records // ingest without a store knows nothing of any
	if a.store != nil {
		records = a.store
	}
	a.book = access.NewBook(records, a.log)
	// Until it was read the gate answers 503.
	if err := a.book.Read(ctx); err != nil && !(a.canWait() && errors.Is(err, store.ErrUnavailable)) {
		return err
	}
	a.parts = append(a.parts, a.book)
	if a.store != nil {
		a.salts = visitor.NewSalts(a.store, a.log)
		a.parts = append(a.parts, a.salts)
	}
	return a.openLimits()
}

// openLimits makes limits of this process, or of all processes on one Redis.
func (a *App) openLimits() error {
	if a.cfg.Queue.Redis == "" || a.salts == nil {
		a.limiter = limit.NewLocal()
		return nil
	}
	client, err := redisq.Connect(a.cfg.Queue.Redis)
	if err != nil {
		return err
	}
	shared := limit.NewRedis(client, limit.RedisOptions{
		Prefix: a.cfg.Queue.RedisPrefix,
		// Names are hidden as visitors are; no site has an empty name.
		Hide: func(name string) (string, bool) {
			return a.salts.ID(time.Now(), time.UTC, "", netip.IPv6Unspecified(), name)
		},
		Log: a.log,
	})
	a.limiter = shared
	// Nothing is kept back in it that could be lost.
	a.parts = append(a.parts, opened(func() { _ = shared.Close() }))
	return nil
}

// gate makes the gate of a role that listens on an address.
func (a *App) gate(scope access.Scope, flag, addr string) (*access.Gate, error) {
	opts, err := a.cfg.Access.Options()
	if err != nil {
		return nil, err
	}
	opts.Limits = a.limiter
	opts.Sessions = scope == access.Read // people sign in where they read
	gate := access.NewGate(a.book, scope, opts, a.log)
	return gate, gate.CheckListen(flag, addr)
}

// listen makes the server of a role that others reach.
func (a *App) listen(role, addr string, rt *web.Router, ready func(context.Context) error) (*web.Server, error) {
	server := web.NewServer(role, addr, rt, ready, a.log)
	if a.cfg.Access.TLSCert == "" {
		return server, nil
	}
	return server, server.UseTLS(a.cfg.Access.TLSCert, a.cfg.Access.TLSKey)
}

// openVisitors opens what ingest knows visitors by.
func (a *App) openVisitors(opts *ingest.Options) error {
	cfg := a.cfg.Ingest
	opts.Salts, opts.CountryHeader = a.salts, cfg.CountryHeader
	if cfg.GeoIP != "" {
		countries, err := visitor.OpenCountries(cfg.GeoIP, a.log)
		if err != nil {
			return fmt.Errorf("--geoip: %w", err)
		}
		opts.Countries = countries
		a.parts = append(a.parts, opened(countries.Close))
	}
	if cfg.DataCenters != "" {
		dataCenters, err := visitor.OpenDataCenters(cfg.DataCenters, a.log)
		if err != nil {
			return fmt.Errorf("--datacenters: %w", err)
		}
		opts.DataCenters = dataCenters
		a.parts = append(a.parts, opened(dataCenters.Close))
	}
	return nil
}

// opened is a part that is open from the beginning, and only has to be closed.
type opened func()

func (end opened) Start() error { return nil }

func (end opened) Stop(context.Context) error {
	end()
	return nil
}
