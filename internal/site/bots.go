package site

import "fmt"

// BotPolicy says what is kept of the events of bots. They are counted by their
// reasons and nowhere else, whatever it says.
type BotPolicy string

// The policies, as they are kept.
const (
	// FilterBots keeps of such an event that it was, and why it was taken for
	// a bot's.
	FilterBots BotPolicy = ""
	// KeepBots keeps all of it but who sent it.
	KeepBots BotPolicy = "keep"
)

// filter is what people call FilterBots.
const filter = "filter"

// ParseBots gives the policy that somebody has named.
func ParseBots(name string) (BotPolicy, error) {
	switch name {
	case filter:
		return FilterBots, nil
	case string(KeepBots):
		return KeepBots, nil
	}
	return "", fmt.Errorf("there is no policy %.40q for bots: it is %s or %s", name, filter, KeepBots)
}

// Name is how the policy is shown.
func (b BotPolicy) Name() string {
	if b == FilterBots {
		return filter
	}
	return string(b)
}
