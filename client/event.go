package client

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// PageView is the type of events that count as views. All other types are
// names of your own choice.
const PageView = "page_view"

// maxEventBytes is the most that the server takes as one event.
const maxEventBytes = 64 << 10

// Event is one thing that happened. Only Type is needed, and Site unless the
// client has one. The server says why it refuses a value that is not allowed;
// what is allowed is in Daybook's docs/api-ingest.md.
type Event struct {
	// Site is the site_id, 1 to 128 letters, digits and ". _ : -"; when empty
	// it is Options.Site.
	Site string `json:"site_id"`
	// Type is what happened: PageView, or a name of up to 128 bytes such as
	// "signup".
	Type string `json:"event_type"`
	// Path is the page, up to 2,048 bytes: a path, or a URL of which the path
	// is kept. For a page view that has none it is "/".
	Path string `json:"path,omitempty"`
	// User is who, up to 256 bytes; it is only used to count distinct users.
	User string `json:"user_id,omitempty"`
	// Time is when it happened, from 1970 to 10 minutes ahead of the server's
	// clock; when zero it is the time of the call of Track.
	Time time.Time `json:"timestamp,omitzero"`
	// ID is a name of up to 128 bytes that is unique in the site. Of several
	// events with the same one the server counts one. When empty a random one
	// is made, so that an event may be sent again and is still counted once.
	ID string `json:"event_id"`

	// Referrer is where the user came from, up to 2,048 bytes.
	Referrer string `json:"referrer,omitempty"`
	// These are counted as they are given, up to 256 bytes each.
	Country     string `json:"country,omitempty"`
	Device      string `json:"device,omitempty"`
	Browser     string `json:"browser,omitempty"`
	OS          string `json:"os,omitempty"`
	UTMSource   string `json:"utm_source,omitempty"`
	UTMMedium   string `json:"utm_medium,omitempty"`
	UTMCampaign string `json:"utm_campaign,omitempty"`

	// UserAgent and ClientIP are for servers that send for their visitors:
	// the User-Agent header and the address, without a port, of the visitor's
	// request. With them the server tells visitors apart who have no User,
	// fills in browser, OS, device and country where they are empty, and knows
	// bots. It stores neither.
	UserAgent string `json:"user_agent,omitempty"`
	ClientIP  string `json:"client_ip,omitempty"`
}

// line gives the event as JSON on one line, after it has filled in what is
// left out.
func (e Event) line(site string) ([]byte, error) {
	if e.Site == "" {
		e.Site = site
	}
	switch {
	case e.Site == "":
		return nil, fmt.Errorf("daybook: the event of type %.100q has no Site: give it one, or give Options.Site", e.Type)
	case e.Type == "":
		return nil, fmt.Errorf("daybook: the event of site %.100q has no Type: give it one, such as client.PageView", e.Site)
	}
	if e.ID == "" {
		e.ID = rand.Text()
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC().Truncate(time.Millisecond)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // URLs are full of what it would escape
	if err := encoder.Encode(e); err != nil {
		return nil, fmt.Errorf("daybook: the event of site %.100q cannot be written as JSON: %w", e.Site, err)
	}
	if size := b.Len() - 1; size > maxEventBytes {
		return nil, fmt.Errorf("daybook: the event of site %.100q takes %d bytes as JSON: the server takes at most %d", e.Site, size, maxEventBytes)
	}
	return bytes.Clone(b.Bytes()), nil // without the room that is left in the buffer
}
