// Package site knows the settings of sites. They are kept in the store, a
// record for each site that has any; a site without one has the defaults.
package site

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Settings are what is set of one site. The zero value is that of a site of
// which nothing was ever set.
//
// Time zones have their IANA names here, and UTC has the empty one.
type Settings struct {
	// Zone is the time zone of the site's days: raw events are dated in it,
	// and answers are read from the rollups that are kept in it.
	Zone string `json:"timezone"`
	// Next, if not nil, is the time zone that the site is being changed to:
	// rollups are kept in it too, but nobody reads them yet.
	Next *string `json:"next_timezone,omitempty"`
	// Zones are all time zones that raw events of the site may be dated in,
	// because it has or had them, or is being changed to them; nil is Zone
	// alone.
	Zones []string `json:"timezones,omitempty"`

	// Added tells that the site was added by name, and not only by its events.
	Added bool `json:"added,omitempty"`
	// Origins are the web origins from whose pages events are taken, as
	// ParseOrigin gives them; nil is all.
	Origins []string `json:"origins,omitempty"`
	// KeepRawDays is for how many whole days raw events are kept, 0 for ever;
	// nil is as long as the worker's own settings say.
	KeepRawDays *int `json:"keep_raw_days,omitempty"`
	// Bots says what is kept of the events of bots.
	Bots BotPolicy `json:"bots,omitempty"`
	// DataCenters takes what comes from the addresses of data centres for
	// bots.
	DataCenters bool `json:"data_centers,omitempty"`
	// Paths are applied to the paths of events.
	Paths PathRules `json:"paths,omitzero"`
}

// All lists the time zones that raw events of the site may be dated in, at
// least one. The caller must not change it.
func (s *Settings) All() []string {
	if s.Zones == nil {
		return []string{s.Zone}
	}
	return s.Zones
}

// Folding lists the time zones in which rollups of the site are kept, first
// the one that is read: each event belongs to one day of each of them.
func (s *Settings) Folding() []string {
	if s.Next == nil {
		return []string{s.Zone}
	}
	return []string{s.Zone, *s.Next}
}

// ChangeTo begins a change to another time zone. Until Finish both have
// rollups.
func (s *Settings) ChangeTo(zone string) {
	all := s.All()
	if !slices.Contains(all, zone) {
		all = append(slices.Clone(all), zone)
	}
	s.Zones, s.Next = all, &zone
}

// Finish ends a change: what was next is the zone now.
func (s *Settings) Finish() { s.Zone, s.Next = *s.Next, nil }

// GiveUp ends a change: the zone stays as it was.
func (s *Settings) GiveUp() { s.Next = nil }

// form is what a site_id may be, as ingest has it.
var form = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// ValidID tells whether there can be a site of that name.
func ValidID(site string) bool { return form.MatchString(site) }

// utc is what people call the time zone without a name.
const utc = "UTC"

// ParseZone gives the name under which a time zone is kept that somebody has
// named. The error says what is wrong with it.
func ParseZone(name string) (string, error) {
	if name == utc {
		return "", nil
	}
	if name == "" {
		return "", fmt.Errorf("a time zone is needed: give its IANA name, as in Europe/Berlin, or %s", utc)
	}
	// Systems have files beside those zones, which other programs do not know.
	if name == "localtime" || name == "posixrules" || name == "Factory" || strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") {
		return "", fmt.Errorf("%q is no time zone with an IANA name, as Europe/Berlin is", name)
	}
	_, err := event.Location(name)
	return name, err
}

// ZoneName is how a time zone is shown.
func ZoneName(zone string) string {
	if zone == "" {
		return utc
	}
	return zone
}

// Parse reads the settings in a record.
func Parse(record store.Record) (Settings, error) {
	var s Settings
	if err := json.Unmarshal(record.Body, &s); err != nil {
		return Settings{}, fmt.Errorf("the settings of site %s cannot be read: %w", record.Name, err)
	}
	return s, nil
}
