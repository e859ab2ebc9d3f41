package rollup

// Dimension is one property of an event that a Day keeps a table of.
//
// Its number is the place of its value in the queue's lines and of its table
// in the stored rollup (docs/format), so a new one goes to the end and none
// is ever taken away.
type Dimension int

// The dimensions.
const (
	EventType Dimension = iota
	Path
	Referrer
	Country
	Device
	Browser
	OS
	UTMSource
	UTMMedium
	UTMCampaign
	// Bot is why an event is one of a bot, as "crawler"; empty: it is none. It
	// is found out when the event comes in: no sender gives it. See Day.Fold for
	// what is counted of bots.
	Bot

	// NumDimensions is how many there are.
	NumDimensions
)

// dimensions tells what there is to say of each dimension. A new dimension is
// a constant above and a line here.
var dimensions = [NumDimensions]struct {
	name  string
	views bool // counts page views only, where the others count every event
}{
	EventType:   {name: "event_type"},
	Path:        {name: "path", views: true},
	Referrer:    {name: "referrer"},
	Country:     {name: "country"},
	Device:      {name: "device"},
	Browser:     {name: "browser"},
	OS:          {name: "os"},
	UTMSource:   {name: "utm_source"},
	UTMMedium:   {name: "utm_medium"},
	UTMCampaign: {name: "utm_campaign"},
	Bot:         {name: "bot"},
}

// String gives the dimension's name as it stands in events and in queries,
// for instance "utm_source".
func (d Dimension) String() string { return dimensions[d].name }

// CountsViews tells whether the dimension's table counts page views only.
// The tables of all others count every event that has a value there.
func (d Dimension) CountsViews() bool { return dimensions[d].views }

// Values holds an event's value in each dimension; the empty string is none.
type Values [NumDimensions]string

// PageView is the event type that is counted as a view.
const PageView = "page_view"
