package app

import (
	"context"
	"fmt"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/ingest"
	"github.com/daybook-analytics/daybook/internal/limit"
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
	if err := a.book.Read(ctx); err != nil {
		return err
	}
	a.limiter = limit.NewLocal()
	a.parts = append(a.parts, a.book)
	return nil
}

// gate makes the gate of a role that listens on an address.
func (a *App) gate(scope access.Scope, flag, addr string) (*access.Gate, error) {
	opts, err := a.cfg.Access.Options()
	if err != nil {
		return nil, err
	}
	opts.Limits = a.limiter
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
	opts.CountryHeader = cfg.CountryHeader
	if a.store != nil {
		opts.Salts = visitor.NewSalts(a.store, a.log)
		a.parts = append(a.parts, opts.Salts)
	}
	if cfg.GeoIP != "" {
		countries, err := visitor.OpenCountries(cfg.GeoIP, a.log)
		if err != nil {
			return fmt.Errorf("--geoip: %w", err)
		}
		opts.Countries = countries
		a.parts = append(a.parts, file{countries.Close})
	}
	if cfg.DataCenters != "" {
		dataCenters, err := visitor.OpenDataCenters(cfg.DataCenters, a.log)
		if err != nil {
			return fmt.Errorf("--datacenters: %w", err)
		}
		opts.DataCenters = dataCenters
		a.parts = append(a.parts, file{dataCenters.Close})
	}
	return nil
}

// file is a part that is open already.
type file struct{ close func() }

func (f file) Start() error { return nil }

func (f file) Stop(context.Context) error {
	f.close()
	return nil
}
