package dashboard

import (
	"net/http"
	"strings"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/web"
)

// Sessions answers /session.
type Sessions struct {
	// Gate is that of the report role.
	Gate *access.Gate
	// Version is that of this program.
	Version string
	// IngestURL is the web origin where pages reach ingest; "" if nobody has
	// said it. IngestPort gives the port of ingest on the host of the dashboard
	// that is to be tried then; it is asked for each answer.
	IngestURL  string
	IngestPort func() int
}

// session is the answer.
type session struct {
	NeedsKey bool        `json:"needs_key"`
	Key      *sessionKey `json:"key"`
	// Operator tells that what is below /admin is open.
	Operator       bool   `json:"operator"`
	IngestURL      string `json:"ingest_url"`
	IngestPort     int    `json:"ingest_port"`
	IngestNeedsKey bool   `json:"ingest_needs_key"`
	Version        string `json:"version"`
}

type sessionKey struct {
	ID    string       `json:"id"`
	Scope access.Scope `json:"scope"`
	Site  string       `json:"site"`
}

// signIn is the body of a POST.
type signIn struct {
	Key string `json:"key"`
}

// maxSignIn is the most bytes of it.
const maxSignIn = 1 << 10

func (s Sessions) register(rt *web.Router) {
	methods := web.Methods{
		http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			found, err := s.Gate.Session(w, r)
			return s.answer(w, found, err)
		},
		http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
			var in signIn
			if err := web.ReadJSON(w, r, maxSignIn, &in); err != nil {
				return err
			}
			begun, err := s.Gate.SignIn(w, r, strings.TrimSpace(in.Key))
			return s.answer(w, begun, err)
		},
		http.MethodDelete: func(w http.ResponseWriter, r *http.Request) error {
			if err := s.Gate.SignOut(w, r); err != nil {
				return err
			}
			w.WriteHeader(http.StatusNoContent)
			return nil
		},
	}
	for method, handler := range methods {
		methods[method] = func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Cache-Control", "no-store")
			return handler(w, r)
		}
	}
	rt.Handle("/session", methods)
}

// answer answers with what a session may do.
func (s Sessions) answer(w http.ResponseWriter, found *access.Session, err error) error {
	if err != nil {
		return err
	}
	a := session{
		NeedsKey: found.NeedsKey, Operator: found.Operator(),
		IngestURL: s.IngestURL, IngestPort: s.IngestPort(), IngestNeedsKey: found.IngestNeedsKey,
		Version: s.Version,
	}
	if k := found.Key; k != nil {
		a.Key = &sessionKey{ID: k.ID, Scope: k.Scope, Site: k.Site}
	}
	web.WriteJSON(w, http.StatusOK, a)
	return nil
}
