package ingest

import (
	"net/netip"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/visitor"
	"github.com/daybook-analytics/daybook/rollup"
)

// receive makes of what was sent the event that is kept, or tells why its
// sender must not send it. Who its visitor is is found out here, and from here
// on neither address nor user agent is known.
func (in *Ingest) receive(s *sender, sent *event.Sent) (*event.Event, error) {
	settings := s.pass.Page.Site(sent.Site)
	if err := s.mayWrite(sent.Site, settings); err != nil {
		return nil, err
	}
	e := &sent.Event
	if s.public() {
		if age := s.now.Sub(e.Time); age > maxPublicAge {
			return nil, &event.FieldError{
				Field: "timestamp", Value: e.Time.Format(time.RFC3339),
				Problem: "is too old to be sent with a public key", Allowed: "the last two days",
			}
		}
	}
	if s.ofPage {
		sent.UserAgent, sent.ClientIP = "", netip.Addr{} // the visitor is who sent it
	}
	values := &e.Values
	values[rollup.Path] = settings.Paths.Apply(values[rollup.Path])
	values[rollup.Referrer] = visitor.Referrer(values[rollup.Referrer], sent.Host)

	who := in.visitorOf(s, sent)
	reason := who.agent.Reason
	switch {
	case reason != "":
	case who.agent.Kind == visitor.Program && who.ofPage:
		reason = visitor.HTTPClient
	case who.agent.Kind == visitor.Person && settings.DataCenters && in.opts.DataCenters.Has(who.address):
		reason = visitor.DataCenter
	}
	if reason != "" {
		mark(e, reason, settings.Bots)
		return e, nil
	}
	fill(&values[rollup.Country], who.country)
	if who.agent.Kind != visitor.Person {
		return e, nil
	}
	fill(&values[rollup.Browser], who.agent.Browser)
	fill(&values[rollup.OS], who.agent.OS)
	fill(&values[rollup.Device], who.agent.Device)
	if e.User == "" && who.address.IsValid() && in.opts.Salts != nil {
		// Without a salt, which a store that is away for long can lead to, the
		// event is nobody's: any other ID would be one that can be made again.
		e.User, _ = in.opts.Salts.ID(s.now, settings.Location, e.Site, who.address, who.userAgent)
	}
	return e, nil
}

// who is the visitor of an event.
type who struct {
	address   netip.Addr // invalid: not known
	userAgent string
	agent     visitor.Agent
	country   string
	// ofPage tells that it should be a browser.
	ofPage bool
}

// visitorOf gives the visitor that the event names, or else the one who sent
// the request.
func (in *Ingest) visitorOf(s *sender, sent *event.Sent) who {
	w := who{s.address, s.userAgent, s.agent, s.country, s.ofPage}
	if sent.UserAgent != "" || sent.ClientIP.IsValid() {
		w = who{
			address: sent.ClientIP, userAgent: sent.UserAgent,
			agent: in.agents.Of(sent.UserAgent, visitor.Hints{}),
		}
	}
	// A server's own country is nobody's.
	if w.country == "" && (w.agent.Kind == visitor.Person || sent.ClientIP.IsValid()) {
		w.country = in.opts.Countries.Of(w.address)
	}
	return w
}

// fill sets a value that the event does not give.
func fill(value *string, known string) {
	if *value == "" {
		*value = known
	}
}

// mark makes an event that of a bot. It counts nowhere but there.
func mark(e *event.Event, reason string, policy site.BotPolicy) {
	e.User = ""
	if policy != site.KeepBots {
		e.Values = rollup.Values{rollup.EventType: e.Type()}
	}
	e.Values[rollup.Bot] = reason
}
