package access

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// sessionAge is how long a browser keeps the cookie of a session.
const sessionAge = 30 * 24 * time.Hour

// Session is what whoever sends a request may do.
type Session struct {
	// NeedsKey tells that questions need a key here, and IngestNeedsKey that
	// events do.
	NeedsKey, IngestNeedsKey bool
	// Key is the one that the request has; nil without one.
	Key *Key
}

// Operator tells whether AdmitAdmin lets whoever it is in.
func (s *Session) Operator() bool {
	return s.Key != nil && s.Key.Scope == Admin && s.Key.Site == EverySite
}

// Session tells what whoever sends a request may do, also if that is nothing. The
// cookie of a session that has ended is taken away.
func (g *Gate) Session(w http.ResponseWriter, r *http.Request) (*Session, error) {
	page := g.book.Page()
	if page == nil {
		return nil, ErrUnread
	}
	if err := g.rebound(r, page); err != nil {
		return nil, err
	}
	pass := Pass{Page: page, Client: g.opts.Proxies.Client(r)}
	if err := g.identify(w, r, &pass, g.scope); err != nil {
		return nil, err
	}
	if pass.Key == nil && g.hasEnded(r, page) {
		g.setCookie(w, r, "")
	}
	return g.sessionOf(page, pass.Key), nil
}

// SignIn begins a session with a token: the browser gets a cookie that holds it
// and that no script can read. An ingest key is refused.
func (g *Gate) SignIn(w http.ResponseWriter, r *http.Request, token string) (*Session, error) {
	page := g.book.Page()
	if page == nil {
		return nil, ErrUnread
	}
	if err := ofDashboard(r); err != nil {
		return nil, err
	}
	key, err := g.look(w, r, &Pass{Page: page, Client: g.opts.Proxies.Client(r)}, token)
	if err != nil {
		return nil, err
	}
	if !key.For(g.scope) {
		return nil, forbidden(fmt.Sprintf("this key is for the scope %s, and does not open the dashboard: sign in with one of scope %s or %s", key.Scope, Read, Admin))
	}
	g.setCookie(w, r, token)
	return g.sessionOf(page, key), nil
}

// SignOut ends a session: the browser forgets the cookie. The key stays good.
func (g *Gate) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := ofDashboard(r); err != nil {
		return err
	}
	g.setCookie(w, r, "")
	return nil
}

func (g *Gate) sessionOf(page *Page, key *Key) *Session {
	return &Session{NeedsKey: g.needsKey(page, g.scope), IngestNeedsKey: g.needsKey(page, Ingest), Key: key}
}

// ofSession gives the key of the session that a request belongs to; nil if there
// is none. Of several cookies the first whose key is good here counts: another
// port of the host, or a subdomain, can plant one that browsers send before the
// right one. All others are as good as none: they may be those of another Daybook
// that was here before, and must not be in the way where no key is needed.
func (g *Gate) ofSession(r *http.Request, page *Page) (*Key, error) {
	if !g.opts.Sessions {
		return nil, nil
	}
	for _, cookie := range r.CookiesNamed(g.cookieName(r)) {
		key := page.Key(cookie.Value)
		if key == nil || key.Revoked != nil || !key.For(g.scope) {
			continue
		}
		if err := ofDashboard(r); err != nil {
			return nil, err
		}
		return key, byFetch(r)
	}
	return nil, nil
}

// hasEnded tells whether a request belongs to a session whose key is revoked. A
// key that is not known may be a new one that this process has not read yet.
func (g *Gate) hasEnded(r *http.Request, page *Page) bool {
	cookies := r.CookiesNamed(g.cookieName(r))
	return len(cookies) > 0 && !slices.ContainsFunc(cookies, func(cookie *http.Cookie) bool {
		key := page.Key(cookie.Value)
		return key == nil || key.Revoked == nil
	})
}

var crossOrigin = http.NewCrossOriginProtection()

// ofDashboard refuses what a page of another origin has a browser send, whose
// cookie comes with it by itself. Whatever the method is, it is looked at like
// one that changes something: what is read by a session is nobody else's
// business either.
func ofDashboard(r *http.Request) error {
	asked := r.WithContext(r.Context()) // a copy
	asked.Method = http.MethodPost
	if crossOrigin.Check(asked) != nil {
		return forbidden("a session is good for the dashboard's own pages, and this comes from a page of another origin: give a key as Authorization: Bearer KEY")
	}
	return nil
}

// DashboardHeader is a header that the dashboard's requests have. No other page
// can have a browser send it: that takes a question to the server before
// (CORS), to which it does not answer.
const DashboardHeader = "Daybook-Dashboard"

// byFetch refuses what a browser that says nothing of where a request comes from,
// as browsers do without TLS, may have been made to send by another page.
func byFetch(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" || r.Header.Get(DashboardHeader) != "" {
		return nil // ofDashboard has looked at it, or nobody else can send it
	}
	return forbidden("a session is good for the dashboard's own pages, which say " + DashboardHeader + ": 1, and this does not: say it, or give a key as Authorization: Bearer KEY")
}

// cookieName is the name of the cookie. All ports of a host share their
// cookies, and two Daybooks on one machine must not sign each other out. Over TLS
// it has the prefix by which browsers take it from this host alone, and over TLS
// only, so that no subdomain can plant one.
func (g *Gate) cookieName(r *http.Request) string {
	name := "daybook"
	if g.opts.Proxies.OverTLS(r) {
		name = "__Host-daybook"
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" {
		return name + "-" + port
	}
	return name
}

// setCookie makes a browser keep a token, or forget the one that it has if that
// is empty.
func (g *Gate) setCookie(w http.ResponseWriter, r *http.Request, token string) {
	age := int(sessionAge / time.Second)
	if token == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: g.cookieName(r), Value: token, Path: "/", MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: g.opts.Proxies.OverTLS(r),
	})
}
