package loadgen

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"
)

// traffic makes events as JSON lines. Making one must cost little beside what
// the server does with it, since both may share a machine: all text that can
// be is made once.
type traffic struct {
	rng          *rand.Rand
	paths, users *rand.Zipf
	sites        []site
	days         []day
	pathNames    []string
	// idPrefix tells this traffic from any other of the same sites; made
	// counts the events.
	idPrefix string // empty without IDs
	made     uint64
}

type site struct {
	name string
	json string
	// shift makes other paths the most frequent ones than those of the next
	// site.
	shift int
}

type day struct {
	date string
	json string
	// length is how much of the day there is, in milliseconds.
	length int64
}

// hit is what is counted of an event.
type hit struct {
	cell       int32 // site*days + day
	path, user int32
	view       bool
}

// Shares of the events that are no page views, in hundredths.
const (
	clicks  = 8
	signups = 2
)

// visitors are what the events say beside what is counted here, so that all
// tables of the server have work.
var visitors = []string{
	`"}`,
	`","country":"DE","device":"desktop","browser":"Firefox","os":"Linux"}`,
	`","country":"US","device":"desktop","browser":"Chrome","os":"Windows","referrer":"https://search.example/"}`,
	`","country":"US","device":"mobile","browser":"Safari","os":"iOS","referrer":"https://social.example/feed"}`,
	`","country":"IN","device":"mobile","browser":"Chrome","os":"Android","utm_source":"newsletter","utm_medium":"email","utm_campaign":"autumn"}`,
	`","country":"BR","device":"mobile","browser":"Chrome","os":"Android"}`,
	`","country":"FR","device":"tablet","browser":"Safari","os":"iPadOS","referrer":"https://search.example/"}`,
	`","country":"JP","device":"desktop","browser":"Edge","os":"Windows","utm_source":"partner","utm_medium":"banner"}`,
}

var sections = []string{"blog", "docs", "shop", "news", "help"}

func newTraffic(o Options, now time.Time) *traffic {
	shape := fnv.New64a()
	fmt.Fprint(shape, o.Seed, " ", o.Sites, " ", o.Days, " ", o.End, " ", o.Paths, " ", o.Users, " ", o.ZipfS)
	t := &traffic{rng: rand.New(rand.NewPCG(o.Seed, shape.Sum64()))}
	t.paths = rand.NewZipf(t.rng, o.ZipfS, 1, uint64(o.Paths-1))
	t.users = rand.NewZipf(t.rng, o.ZipfS, 1, uint64(o.Users-1))
	if !o.NoIDs {
		t.idPrefix = fmt.Sprintf(`"event_id":"%016x-`, shape.Sum64())
	}
	digits := len(strconv.Itoa(o.Sites))
	for i := range o.Sites {
		name := fmt.Sprintf("load-%d-%0*d", o.Seed, digits, i+1)
		t.sites = append(t.sites, site{name: name, json: `"site_id":"` + name + `","event_type":"`, shift: i * 7919 % o.Paths})
	}
	end, _ := time.Parse(time.DateOnly, o.End) // checked before
	for i := range o.Days {
		start := end.AddDate(0, 0, i-o.Days+1)
		date := start.Format(time.DateOnly)
		length := min(now.Sub(start), 24*time.Hour).Milliseconds()
		t.days = append(t.days, day{date: date, json: `","timestamp":"` + date + "T", length: max(length, 1)})
	}
	for i := range o.Paths {
		t.pathNames = append(t.pathNames, "/"+sections[i%len(sections)]+"/page-"+strconv.Itoa(i))
	}
	return t
}

// next appends one event and a newline.
func (t *traffic) next(b []byte) ([]byte, hit) {
	s := t.rng.IntN(len(t.sites))
	d := t.rng.IntN(len(t.days))
	h := hit{
		cell: int32(s*len(t.days) + d),
		path: int32((int(t.paths.Uint64()) + t.sites[s].shift) % len(t.pathNames)),
		user: int32(t.users.Uint64()),
	}
	b = append(b, '{')
	if t.idPrefix != "" {
		b = append(b, t.idPrefix...)
		b = strconv.AppendUint(b, t.made, 10)
		b = append(b, `",`...)
	}
	t.made++
	b = append(b, t.sites[s].json...)
	switch kind := t.rng.IntN(100); {
	case kind < clicks:
		b = append(b, "click"...)
	case kind < clicks+signups:
		b = append(b, "signup"...)
	default:
		h.view = true
		b = append(b, "page_view"...)
	}
	b = append(b, `","path":"`...)
	b = append(b, t.pathNames[h.path]...)
	b = append(b, `","user_id":"user-`...)
	b = strconv.AppendInt(b, int64(h.user), 10)
	b = append(b, t.days[d].json...)
	b = appendClock(b, int64(t.rng.Float64()*float64(t.days[d].length)))
	b = append(b, visitors[t.rng.IntN(len(visitors))]...)
	return append(b, '\n'), h
}

// appendClock appends a time of day, given in milliseconds, as in
// "10:05:03.123Z".
func appendClock(b []byte, ms int64) []byte {
	two := func(n int64, end byte) {
		b = append(b, byte('0'+n/10%10), byte('0'+n%10), end)
	}
	two(ms/3_600_000, ':')
	two(ms/60_000%60, ':')
	two(ms/1000%60, '.')
	return append(b, byte('0'+ms/100%10), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}
