package retention

import (
	"fmt"
	"time"
)

// MaxDays is the most days that raw events can be kept other than for ever.
const MaxDays = 100_000

// Policy says how long raw events are kept: so many whole days before today,
// in the time zone of the site. 0 is for ever.
type Policy struct {
	// Days is for all sites but those in Of.
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

// Expires tells whether any raw events go.
func (p Policy) Expires() bool {
	for _, days := range p.Of {
		if days > 0 {
			return true
		}
	}
	return p.Days > 0
}

// keeps tells for how many days raw events of a site are kept.
func (p Policy) keeps(site string) int {
	if days, ok := p.Of[site]; ok {
		return days
	}
	return p.Days
}

// before gives the date before which raw events of a site go; "" is none. now
// is the time in the time zone of the site.
func (p Policy) before(site string, now time.Time) string {
	days := p.keeps(site)
	if days == 0 {
		return ""
	}
	return now.AddDate(0, 0, -days).Format(time.DateOnly)
}
