package access

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/limit"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Mode says when keys are needed.
type Mode string

// The modes.
const (
	// Auto: a role needs keys as soon as one was made for it, and until then
	// it is open to this machine only.
	Auto Mode = "auto"
	// Always: a role needs keys, also while there is none.
	Always Mode = "keys"
	// None: nobody needs a key, except operators.
	None Mode = "none"
)

// Options are the settings of a Gate. The zero value is that of a role on a
// machine of its own, without limits.
type Options struct {
	Mode Mode // "" is Auto
	// Proxies are believed when they tell the address of a client.
	Proxies web.Proxies
	// Limits counts requests by key and by address; nil is a limit.Local of
	// its own.
	Limits limit.Limiter
	// PerKey bounds the requests of each key, PerAddress those of each address
	// that come without a key or with a public one, unless this machine itself
	// sends them; zero is no bound.
	PerKey, PerAddress limit.Rate
	// Sessions takes keys from the cookies of sessions too.
	Sessions bool
}

// Gate lets requests into one role. It is safe for concurrent use.
type Gate struct {
	book  *Book
	scope Scope
	opts  Options
	log   *slog.Logger

	// warned tells that it was said that a proxy is not trusted.
	warned atomic.Bool
}

// NewGate makes the gate of a role in which the scope is needed.
func NewGate(book *Book, scope Scope, opts Options, log *slog.Logger) *Gate {
	if opts.Mode == "" {
		opts.Mode = Auto
	}
	if opts.Limits == nil {
		opts.Limits = limit.NewLocal()
	}
	return &Gate{book: book, scope: scope, opts: opts, log: log}
}

// Pass is what a request may do that was let in.
type Pass struct {
	// Page is what was known when it came.
	Page *Page
	// Key is the one that it has; nil if it needs none.
	Key *Key
	// Client is the address that it comes from.
	Client netip.Addr
	// Proxied tells that a trusted proxy passed it on.
	Proxied bool
}

// ErrUnread is the answer while nothing is known of keys and sites.
var ErrUnread = &web.Error{
	Status: http.StatusServiceUnavailable, RetryAfter: time.Second,
	Message: "the settings of sites and the keys could not be read yet; nothing of this request was taken, send it again",
}

// Admit lets a request in, or gives the answer to it: 401 without a good key
// where one is needed, 403 with one of another scope, 429 beyond a limit, 503
// while keys are not known yet. Limits are told in headers of the answer.
func (g *Gate) Admit(w http.ResponseWriter, r *http.Request) (Pass, error) {
	page := g.book.Page()
	if page == nil {
		return Pass{}, ErrUnread
	}
	pass := Pass{Page: page, Client: g.opts.Proxies.Client(r), Proxied: g.opts.Proxies.Trusts(r)}
	g.warn(r, &pass)
	if g.opts.Mode != None {
		if err := g.identify(w, r, &pass, g.scope); err != nil {
			return Pass{}, err
		}
		if pass.Key == nil && g.needsKey(page, g.scope) {
			return Pass{}, unauthorized(w, "a key is needed here: give it as Authorization: Bearer KEY")
		}
		// The way of events tells nothing.
		if g.scope == Read {
			if err := g.rebound(r, page); err != nil {
				return Pass{}, err
			}
		}
	}
	return pass, g.bound(w, r, &pass)
}

// needsKey tells whether a key is needed for what is asked for with the scope.
func (g *Gate) needsKey(page *Page, scope Scope) bool {
	return g.opts.Mode == Always || g.opts.Mode == Auto && page.Closed(scope)
}

// Ready tells whether keys and sites are known.
func (g *Gate) Ready() bool { return g.book.Page() != nil }

// AllowsOrigin tells whether there may be a site that pages of a web origin may
// send events of.
func (g *Gate) AllowsOrigin(origin string) bool {
	page := g.book.Page()
	return page != nil && (!g.needsKey(page, g.scope) || page.KnowsOrigin(origin))
}

// AdmitAdmin lets a request in that has an admin key of all sites, in every
// mode.
func (g *Gate) AdmitAdmin(w http.ResponseWriter, r *http.Request) (Pass, error) {
	page := g.book.Page()
	if page == nil {
		return Pass{}, ErrUnread
	}
	pass := Pass{Page: page, Client: g.opts.Proxies.Client(r)}
	err := g.identify(w, r, &pass, Admin)
	switch {
	case err != nil:
		return Pass{}, err
	case pass.Key == nil:
		return Pass{}, unauthorized(w, "an admin key is needed here: give it as Authorization: Bearer KEY")
	case pass.Key.Site != EverySite:
		return Pass{}, notAbout(pass.Key)
	}
	return pass, nil
}

// AdmitOverview lets a request in to what is about all sites together and names
// none, such as metrics; a web.Guard. Where the role or reports need keys, it
// needs one for reading of all sites.
func (g *Gate) AdmitOverview(w http.ResponseWriter, r *http.Request) error {
	if g.opts.Mode == None {
		return nil
	}
	page := g.book.Page()
	if page == nil {
		return ErrUnread
	}
	pass := Pass{Page: page, Client: g.opts.Proxies.Client(r)}
	if err := g.identify(w, r, &pass, Read); err != nil {
		return err
	}
	switch {
	case pass.Key == nil && (g.needsKey(page, g.scope) || page.Closed(Read)):
		return unauthorized(w, "a key for reading of all sites is needed here: give it as Authorization: Bearer KEY")
	case !pass.EverySite():
		return notAbout(pass.Key)
	}
	return g.rebound(r, page)
}

// rebound refuses what a page has a browser on this machine ask for by a name
// of its own, which it has let stand for this machine (DNS rebinding): it would
// read what is open to this machine only.
func (g *Gate) rebound(r *http.Request, page *Page) error {
	if g.opts.Mode != Auto || g.needsKey(page, g.scope) {
		return nil
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || strings.EqualFold(name, "localhost") || name == "" {
		return nil
	}
	return forbidden("this server is open, but to its own machine only, and not by the name " + web.Shorten(name) + ": make a key, or say --auth=none")
}

// notAbout is the answer to a key of one site where all are asked about.
func notAbout(key *Key) error {
	return forbidden("this key is for site " + key.Site + " alone, and this is about all sites")
}

// Site gives 403 if the request must not do with a site what it asks for.
func (p *Pass) Site(site string) error {
	if p.Key == nil || p.Key.ForSite(site) {
		return nil
	}
	return forbidden("this key is for site " + p.Key.Site + ", and not for " + web.Shorten(site))
}

// EverySite tells whether the request may do with all sites what it asks for.
func (p *Pass) EverySite() bool { return p.Key == nil || p.Key.Site == EverySite }

// identify finds the key of a request, if it has one, which must be good for
// the scope.
func (g *Gate) identify(w http.ResponseWriter, r *http.Request, pass *Pass, scope Scope) error {
	var key *Key
	var err error
	token, inQuery := tokenOf(r)
	if token == "" {
		key, err = g.ofSession(r, pass.Page)
	} else {
		key, err = g.look(w, r, pass, token)
	}
	switch {
	case key == nil || err != nil:
		return err
	case !key.For(scope):
		return forbidden(fmt.Sprintf("this key is for the scope %s, and here %s is needed", key.Scope, scope))
	case inQuery && !key.Public:
		return forbidden("a key that is no public one must not stand in a URL, where logs keep it: give it as Authorization: Bearer KEY, and make a new one in place of this one")
	}
	pass.Key = key
	return nil
}

// look gives the good key that a token opens.
func (g *Gate) look(w http.ResponseWriter, r *http.Request, pass *Pass, token string) (*Key, error) {
	key := pass.Page.Key(token)
	switch {
	case key == nil:
		return nil, g.guessed(w, r, pass.Client)
	case key.Revoked != nil: // who has it has not guessed it
		return nil, unauthorized(w, "this key is revoked")
	}
	return key, nil
}

// guesses is how many wrong keys of one address are looked at. It keeps the
// noise down: keys cannot be guessed, so that good ones need not wait for it.
var guesses = limit.Rate{PerSecond: 1.0 / 6, Burst: 10}

// guessed is the answer to a wrong key.
func (g *Gate) guessed(w http.ResponseWriter, r *http.Request, client netip.Addr) error {
	left, err := g.opts.Limits.Take(r.Context(), "guess:"+network(client), guesses)
	if err != nil {
		return err
	}
	if !left.Allowed {
		return &web.Error{
			Status: http.StatusTooManyRequests, RetryAfter: left.RetryAfter,
			Message: "too many wrong keys have come from this address; wait as long as Retry-After says",
		}
	}
	return unauthorized(w, "this key is not known here")
}

// tokenOf gives the token that a request has, but for that of a session, and
// whether it is in its URL.
func tokenOf(r *http.Request) (token string, inQuery bool) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token), false
	}
	if token := r.Header.Get("X-API-Key"); token != "" {
		return token, false
	}
	if r.URL.RawQuery == "" {
		return "", false
	}
	token = r.URL.Query().Get("key")
	return token, token != ""
}

func unauthorized(w http.ResponseWriter, message string) error {
	w.Header().Set("WWW-Authenticate", `Bearer realm="daybook"`)
	return &web.Error{Status: http.StatusUnauthorized, Message: message}
}

func forbidden(message string) error {
	return &web.Error{Status: http.StatusForbidden, Message: message}
}

// bound takes the request off what its address and its key have left, in this
// order: what is refused to one address must not cost others who have the same
// public key.
func (g *Gate) bound(w http.ResponseWriter, r *http.Request, pass *Pass) error {
	// What has a secret key is a server, which sends for many.
	ofMany := pass.Key != nil && !pass.Key.Public
	if g.opts.PerAddress.PerSecond > 0 && !ofMany && !g.isOwn(r, pass) {
		if err := g.take(w, r, "address", network(pass.Client), g.opts.PerAddress); err != nil {
			return err
		}
	}
	if pass.Key == nil || g.opts.PerKey.PerSecond == 0 {
		return nil
	}
	return g.take(w, r, "key", pass.Key.ID, g.opts.PerKey)
}

// isOwn tells whether this machine itself has sent a request. What a trusted
// proxy passes on is not its own, whatever address it is counted by.
func (g *Gate) isOwn(r *http.Request, pass *Pass) bool {
	return pass.Client.IsLoopback() && !(pass.Proxied && isForwarded(r))
}

func isForwarded(r *http.Request) bool {
	return r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
}

func (g *Gate) take(w http.ResponseWriter, r *http.Request, by, name string, rate limit.Rate) error {
	left, err := g.opts.Limits.Take(r.Context(), by+":"+name, rate)
	if err != nil {
		return err
	}
	return limit.Answer(w, by, rate, left)
}

// network is what an address is counted by: an IPv4 address, or the /64 that
// whoever has an IPv6 address has all of.
func network(addr netip.Addr) string {
	if addr.Is6() {
		if prefix, err := addr.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return addr.String()
}

// warn says once in the log that all visitors may look like one.
func (g *Gate) warn(r *http.Request, pass *Pass) {
	if pass.Proxied || !isForwarded(r) || g.warned.Swap(true) {
		return
	}
	g.log.Warn("requests say that a proxy has passed them on, which is not trusted to tell the addresses of clients: if there is one, visitors cannot be told apart, and share one limit; give its address with --trusted-proxies")
}

// CheckListen tells why the role must not listen on an address: it would be
// open to other machines. It is asked when keys are known.
func (g *Gate) CheckListen(flag, addr string) error {
	if g.opts.Mode != Auto || isLoopback(addr) {
		return nil
	}
	page := g.book.Page()
	if page == nil {
		return fmt.Errorf("%s %s is not of this machine alone, and the store, which knows whether there are keys, cannot be read: try again, or say --auth=keys", flag, addr)
	}
	if page.Closed(g.scope) {
		return nil
	}
	return fmt.Errorf("%s %s is not of this machine alone, and there is no key yet, so that everybody could come in: make one with `daybook sites add SITE` and `daybook keys create --scope %s --site SITE` (each with --data DIR or --mongodb URI, as here), or say --auth=none if that is meant", flag, addr, g.scope)
}

// isLoopback tells whether an address to listen on is of this machine alone.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
