package admin

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/web"
)

// pageAge is how long the page stays as it was read, so that whoever reaches
// it cannot keep the queue and the store busy.
const pageAge = 5 * time.Second

//go:embed status.html
var pageText string

var pageTemplate = template.Must(template.New("status").Funcs(template.FuncMap{
	"ago":  func(now, t time.Time) string { return now.Sub(t).Round(time.Second).String() },
	"at":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"more": func(n int) bool { return n >= maxDeadLetters },
}).Parse(pageText))

// pageData is what the page shows: nothing that names a site, a machine or a
// person, for whoever may ask for the statistics of all sites can look at it.
type pageData struct {
	*Status
	// Last are the newest jobs by what they are called there.
	Last []lastJob
}

type lastJob struct {
	Name string
	*reconcile.Job
}

// StatusPage is a page for people on how everything stands.
type StatusPage struct {
	status func(context.Context) (*Status, error)

	// mu is held while the page is made, so that requests that come together
	// make it once.
	mu   sync.Mutex
	made time.Time // zero: never
	page []byte
}

// NewStatusPage makes the page of what status gives.
func NewStatusPage(status func(context.Context) (*Status, error)) *StatusPage {
	return &StatusPage{status: status}
}

// Register adds the page to a router, behind a guard.
func (p *StatusPage) Register(rt *web.Router, guard web.Guard) {
	rt.Handle("/status", web.Methods{http.MethodGet: guard.Before(func(w http.ResponseWriter, r *http.Request) error {
		page, err := p.get(r.Context())
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		// An error here means that the client has gone.
		_, _ = w.Write(page)
		return nil
	})})
}

func (p *StatusPage) get(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.made.IsZero() && time.Since(p.made) < pageAge {
		return p.page, nil
	}
	status, err := p.status(ctx)
	if err != nil {
		return nil, err
	}
	data := pageData{Status: status}
	for _, last := range []lastJob{
		{"check of recent days", status.LastCheck},
		{"nightly check", status.LastNightly},
		{"rebuild", status.LastRebuild},
	} {
		if last.Job != nil {
			data.Last = append(data.Last, last)
		}
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, data); err != nil {
		return nil, err
	}
	p.made, p.page = time.Now(), page.Bytes()
	return p.page, nil
}
