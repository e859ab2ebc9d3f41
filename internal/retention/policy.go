package retention

import (
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/site"
)

// MaxDays is the most days that raw events can be kept other than for ever.
const MaxDays = 100_000

// Policy says how long raw events are kept: so many whole days before today,
// in the time zone of the site. 0 is for ever. It is for sites that do not say
// it in their own settings.
type Policy struct {
	// Days is for all of them but those in Of.
	Days int `json:"days"`
	// Of is by site.
	Of map[string]int `json:"of,omitempty"`
}

// Validate tells which number is wrong.
func (p Policy) Validate() error {
	if p.Days < 0 || p.Days > MaxDays {
		return fmt.Errorf("raw events kept for %d days: allowed are 1 to %d, and 0 for ever", p.Days, MaxDays)
	}
	for site, days := range p.Of {
		if site == "" || days < 0 || days > MaxDays {
			return fmt.Errorf("raw events of site %q kept for %d days: allowed are 1 to %d, and 0 for ever", site, days, MaxDays)
		}
	}
	return nil
}

// Expires tells whether any raw events go but of sites that say so themselves.
func (p Policy) Expires() bool {
	for _, days := range p.Of {
		if days > 0 {
			return true
		}
	}
	return p.Days > 0
}

// keeps tells for how many days raw events of a site with the settings are
// kept.
func (p Policy) keeps(name string, settings *site.Settings) (int, error) {
	if own := settings.KeepRawDays; own != nil {
		return *own, Policy{Of: map[string]int{name: *own}}.Validate()
	}
	if days, ok := p.Of[name]; ok {
		return days, nil
	}
	return p.Days, nil
}

// firstKept gives the first date of which raw events are kept for so many days;
// "" is that all are. now is the time in the time zone of the site.
func firstKept(days int, now time.Time) string {
	if days == 0 {
		return ""
	}
	return now.AddDate(0, 0, -days).Format(time.DateOnly)
}
