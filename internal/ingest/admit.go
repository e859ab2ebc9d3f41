package ingest

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/internal/web"
)

// sender is what a request tells of who sent it. None of it is kept.
type sender struct {
	pass access.Pass
	now  time.Time
	// origin is that of the web page that sent it, as https://shop.example;
	// empty if it tells of none. ofPage tells that it is one of a page's.
	origin  string
	ofPage  bool
	ofImage bool // it is for the pixel
	// refused tells that a page of the origin must not send one of the events.
	refused bool

	// The request's own visitor, if no event names another one.
	address   netip.Addr
	userAgent string
	agent     visitor.Agent
	country   string // as a CDN tells it
}

// admit lets a request in by the gate, and reads who sent it.
func (in *Ingest) admit(w http.ResponseWriter, r *http.Request) (sender, error) {
	// Browsers send Origin with every POST, whatever page it is from.
	s := sender{now: time.Now(), origin: r.Header.Get("Origin"), userAgent: r.UserAgent()}
	s.ofPage = s.origin != ""
	if in.opts.Gate != nil {
		pass, err := in.opts.Gate.Admit(w, r)
		if err != nil {
			return sender{}, err
		}
		s.pass, s.address = pass, pass.Client
	}
	s.agent = in.agents.Of(s.userAgent, visitor.HintsOf(r.Header))
	if s.pass.Proxied && in.opts.CountryHeader != "" {
		s.country = visitor.CountryCode(r.Header.Get(in.opts.CountryHeader))
	}
	return s, nil
}

// originError refuses an event for the page that sent it.
type originError struct{ answer *web.Error }

func (e *originError) Error() string { return e.answer.Message }

func (e *originError) Unwrap() error { return e.answer }

// public tells whether the sender has nothing but what stands in a page.
func (s *sender) public() bool { return s.pass.Key != nil && s.pass.Key.Public }

// What has a public key can send as much as a page has to tell: few events at
// once, of these days, and of nobody but itself.
const (
	maxPublicEvents = 100
	maxPublicAge    = 48 * time.Hour
)

// mayWrite tells why the sender must not send events of a site.
func (s *sender) mayWrite(name string, site *access.Site) error {
	if err := s.pass.Site(name); err != nil {
		return err
	}
	public := s.public()
	var message string
	switch {
	case s.ofImage && s.origin == "" && len(site.Origins) > 0:
		message = "the browser does not tell which page shows the image, and this site takes it from its allowed origins only: the page's Referrer-Policy must let the origin pass"
	case public && s.origin == "":
		message = "a public key is for web pages, and this request names no origin; a server needs a key that is not public"
	case public && len(site.Origins) == 0:
		message = "this site has no allowed origins, so that no page may use its public key"
	case s.origin != "" && !site.AllowsOrigin(s.origin):
		message = "pages of " + web.Shorten(s.origin) + " must not send events of this site; its allowed origins are those of `daybook sites show`"
	default:
		return nil
	}
	s.refused = true
	return &originError{&web.Error{Status: http.StatusForbidden, Message: message, Field: "Origin", Value: web.Shorten(s.origin)}}
}

// allowOrigin lets the page that sent a request read the answer, also one that
// says what is wrong with it, unless no site allows its origin. It tells whether
// it does.
func (in *Ingest) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if in.opts.Gate != nil && !in.opts.Gate.AllowsOrigin(origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	return true
}

// preflight answers a browser that asks whether a page may send what is not
// sent without asking. Which site it will be about is not known yet: so it is
// enough that any allows the origin, and the request itself is looked at more
// closely.
func (in *Ingest) preflight(w http.ResponseWriter, r *http.Request) error {
	if in.opts.Gate != nil && !in.opts.Gate.Ready() {
		return access.ErrUnread
	}
	if !in.allowOrigin(w, r) {
		return &web.Error{
			Status: http.StatusForbidden, Message: "no site allows pages of this origin to send events",
			Field: "Origin", Value: web.Shorten(r.Header.Get("Origin")),
		}
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", http.MethodPost)
	h.Set("Access-Control-Allow-Headers", "Content-Type, Content-Encoding, Authorization, X-API-Key")
	h.Set("Access-Control-Max-Age", "600") // seconds
	w.WriteHeader(http.StatusNoContent)
	return nil
}
