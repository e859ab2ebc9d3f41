package rollup

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

const (
	// VisitGap is the longest time in milliseconds between two neighbouring
	// events of one visit: 30 minutes.
	VisitGap = 30 * 60 * 1000
	// SampledUsers is the most users whose visits a stored Day keeps.
	SampledUsers = 4096
	// visitBytes is the most that those visits take when they are encoded.
	visitBytes = 256 << 10
	// allUsers is the limit of a sample that has dropped nobody. A user's
	// number in the sample is the upper 48 bits of the hash.
	allUsers = 1 << 48
)

// Visits are the visits of a day's users.
//
// A visit is a maximal run of events of one user on one day with at most
// VisitGap between neighbours. One that crosses midnight counts on each of
// both days; events without a user make no visit. Kept are the intervals that
// a user's events form, so that the order in which events come changes
// nothing: a late event that lies between two visits, and is near both, joins
// them.
//
// To be bounded, the visits are those of a sample of the users, the bottom-k
// sample by their hashes (Cohen and Kaplan, "Summarizing data using bottom-k
// sketches", 2007): everyone whose number lies below the limit is kept whole,
// nobody else at all, and the limit is the smallest number that was ever
// dropped. A user who was dropped never comes back, so that the sample depends
// only on the set of events. The one exception is a sample that is halved
// because its pages are too long for visitBytes: where it is cut can depend on
// the order. What is in it is right all the same.
//
// Beside the sample there are the totals of what was merged into the Day.
// NewDay makes the visits of a Day; the zero value is closed.
type Visits struct {
	// open tells that there is a sample, although nobody may be in it.
	open  bool
	limit uint64
	// users are the sample; the first sorted of them are in the order of their
	// numbers, and the others came since they were sorted.
	users  []*visitor
	sorted int
	// index finds a user; it is made when it is first needed.
	index visitorIndex
	// encoded is nil, or the encoding of the sample as it is now: compact has
	// to make it, and to be stored is mostly what comes next.
	encoded []byte
	// totals is nil as long as nothing was merged.
	totals *VisitStats
}

// visitor is a user in the sample, with visits in the order of time and more
// than VisitGap between them.
type visitor struct {
	id     uint64
	visits []visit
}

// visit is one of a user. Times are milliseconds since the day began.
type visit struct {
	start, end    uint32
	events, views uint32
	// entry is the page of the first page view that has one, exit that of the
	// last, with their times; both are empty when there is none. Where times
	// are equal it is the smaller page for entry, and the greater for exit.
	entry, exit     string
	entryAt, exitAt uint32
}

func newVisits() Visits { return Visits{open: true, limit: allUsers} }

// count adds one event of the user with the hash; page is the path of a page
// view. It tells whether the user is known to have had events before. A Day
// whose visits are closed cannot count any more.
func (v *Visits) count(hash uint64, at uint32, view bool, page string) (known bool) {
	if !v.open {
		panic("rollup: an event is folded into a Day whose visits are closed")
	}
	id := hash >> 16
	if id >= v.limit {
		return false
	}
	v.encoded = nil
	if v.index == nil {
		v.index = newVisitorIndex(v.users)
	}
	user := v.index.find(id)
	known = user != nil
	if !known {
		user = &visitor{id: id}
		v.users = append(v.users, user)
		if 2*len(v.users) > len(v.index) {
			v.index = newVisitorIndex(v.users)
		} else {
			v.index.add(user)
		}
	}
	one := visit{start: at, end: at, events: 1}
	if view {
		one.views = 1
		one.entry, one.entryAt = page, at
		one.exit, one.exitAt = page, at
	}
	user.add(&one)
	// A quarter more, so that sorting them is rare.
	if len(v.users) > SampledUsers*5/4 {
		v.trim(SampledUsers)
	}
	return known
}

// visitorIndex finds the users of a sample by their numbers: a hash table with
// linear probing, at most half full. A number is a part of a hash already, of
// which in a sample the lower bits vary most. Nil is none; else its length is a
// power of two.
type visitorIndex []*visitor

func newVisitorIndex(users []*visitor) visitorIndex {
	const least = 8
	x := make(visitorIndex, max(least, 2<<bits.Len(uint(len(users)))))
	for _, user := range users {
		x.add(user)
	}
	return x
}

// find gives the user with a number, or nil.
func (x visitorIndex) find(id uint64) *visitor {
	for i := int(id) & (len(x) - 1); x[i] != nil; i = (i + 1) & (len(x) - 1) {
		if x[i].id == id {
			return x[i]
		}
	}
	return nil
}

// add adds a user who is not in it.
func (x visitorIndex) add(user *visitor) {
	i := int(user.id) & (len(x) - 1)
	for x[i] != nil {
		i = (i + 1) & (len(x) - 1)
	}
	x[i] = user
}

// add adds a visit of one event, which belongs to a visit that it is near to,
// or joins the two that it lies between.
func (u *visitor) add(one *visit) {
	// Events mostly come in order, so that it is looked for from the end: i
	// becomes the place behind all visits that end before it.
	i := len(u.visits)
	for i > 0 && one.start <= u.visits[i-1].end {
		i--
	}
	after := i < len(u.visits) && near(one, &u.visits[i])
	before := i > 0 && near(&u.visits[i-1], one)
	switch {
	case before && after:
		u.visits[i-1].join(one)
		u.visits[i-1].join(&u.visits[i])
		u.visits = slices.Delete(u.visits, i, i+1)
	case before:
		u.visits[i-1].join(one)
	case after:
		u.visits[i].join(one)
	default:
		u.visits = slices.Insert(u.visits, i, *one)
	}
}

// near tells whether two visits, of which b does not end before a, are one.
func near(a, b *visit) bool { return b.start <= a.end || b.start-a.end <= VisitGap }

// join makes v the visit of the events of both.
func (v *visit) join(other *visit) {
	v.start, v.end = min(v.start, other.start), max(v.end, other.end)
	v.events += other.events
	v.views += other.views
	if other.entry == "" {
		return
	}
	if v.entry == "" || cmp.Or(cmp.Compare(other.entryAt, v.entryAt), cmp.Compare(other.entry, v.entry)) < 0 {
		v.entry, v.entryAt = other.entry, other.entryAt
	}
	if v.exit == "" || cmp.Or(cmp.Compare(other.exitAt, v.exitAt), cmp.Compare(other.exit, v.exit)) > 0 {
		v.exit, v.exitAt = other.exit, other.exitAt
	}
}

// trim keeps the n users with the smallest numbers.
func (v *Visits) trim(n int) {
	if len(v.users) <= n {
		return
	}
	v.sort()
	v.limit = v.users[n].id
	v.encoded, v.index = nil, nil
	clear(v.users[n:])
	v.users, v.sorted = v.users[:n], n
}

// sort brings the users in the order of their numbers. Only those that came
// since the last time are sorted, and merged into the others.
func (v *Visits) sort() {
	fresh := slices.SortedFunc(slices.Values(v.users[v.sorted:]), func(a, b *visitor) int { return cmp.Compare(a.id, b.id) })
	// From the end, where the room is that the fresh ones had.
	for at, old := len(v.users)-1, v.sorted-1; len(fresh) > 0; at-- {
		last := len(fresh) - 1
		if old >= 0 && v.users[old].id > fresh[last].id {
			v.users[at] = v.users[old]
			old--
		} else {
			v.users[at] = fresh[last]
			fresh = fresh[:last]
		}
	}
	v.sorted = len(v.users)
}

// compact brings the sample within its bounds.
func (v *Visits) compact() {
	v.trim(SampledUsers)
	for len(v.users) > 0 && !v.fits() {
		v.trim(len(v.users) / 2)
	}
}

// fits tells whether the encoded sample is within visitBytes. Most are so
// small that they need not be encoded to know.
func (v *Visits) fits() bool {
	const perUser, perVisit = 16, 32
	size := 0
	for _, user := range v.users {
		size += perUser
		for i := range user.visits {
			size += perVisit + len(user.visits[i].entry) + len(user.visits[i].exit)
		}
	}
	if size <= visitBytes {
		return true
	}
	if v.encoded == nil {
		v.encoded = v.appendSample(nil)
	}
	return len(v.encoded) <= visitBytes
}

// Close turns the sample into totals, which take less room and are faster to
// merge: for caches, months and ranges. Folding into the Day afterwards
// panics.
func (v *Visits) Close() { *v = Visits{totals: v.Stats()} }

// WithoutPages gives the totals without the pages that visits began and ended
// with, which take almost all of their memory.
func (v *Visits) WithoutPages() Visits {
	totals := *v.Stats()
	totals.Entry, totals.Exit = Table{}, Table{}
	return Visits{totals: &totals}
}

// add merges what is known of other visits, as totals; other is only read.
func (v *Visits) add(other *Visits) {
	if v.totals == nil {
		v.totals = &VisitStats{Exact: true}
	}
	v.totals.add(other.Stats())
}

func (v *Visits) clone() Visits {
	c := *v
	c.index, c.encoded = nil, nil
	c.users = make([]*visitor, len(v.users))
	for i, user := range v.users {
		c.users[i] = &visitor{id: user.id, visits: slices.Clone(user.visits)}
	}
	if v.totals != nil {
		c.totals = &VisitStats{}
		*c.totals = *v.totals
		c.totals.Entry, c.totals.Exit = v.totals.Entry.clone(), v.totals.Exit.clone()
	}
	return c
}

// memorySize is about how many bytes the visits take in memory.
func (v *Visits) memorySize() int {
	const user = 150 // with its visits, of which most users have one or two
	size := user * len(v.users)
	if v.totals != nil {
		size += v.totals.Entry.memorySize(0) + v.totals.Exit.memorySize(0)
	}
	return size
}

// Stats gives what is reported of the visits: of the sample, scaled up to all
// users (the Horvitz-Thompson estimator: each user is in the sample with the
// probability limit / 2^48), and of the totals. It only reads; the result may
// be a part of v and must not be changed.
func (v *Visits) Stats() *VisitStats {
	all := !v.open || v.limit == allUsers
	if all && len(v.users) == 0 && v.totals != nil {
		return v.totals
	}
	s := v.sampled(v.limit, float64(v.limit)/allUsers)
	s.Exact = all
	if v.totals != nil {
		s.add(v.totals)
	}
	return s
}

// below gives the stats of the users in the sample below the limit, not scaled
// up, and of the totals: what Diff can compare.
func (v *Visits) below(limit uint64) *VisitStats {
	s := v.sampled(limit, 1)
	if v.totals != nil {
		s.add(v.totals)
	}
	return s
}

// sampled gives the stats of the users below the limit, each of whom stands
// for 1 / share users.
func (v *Visits) sampled(limit uint64, share float64) *VisitStats {
	var sum sums
	entry, exit := map[string]uint64{}, map[string]uint64{}
	for _, user := range v.users {
		if user.id >= limit {
			continue
		}
		sum.add(user)
		for i := range user.visits {
			if visit := &user.visits[i]; visit.entry != "" {
				entry[visit.entry]++
				exit[visit.exit]++
			}
		}
	}
	s := sum.stats(share)
	s.Entry, s.Exit = pages(entry, share), pages(exit, share)
	return s
}

// sums are what is added up over the visits of a sample.
type sums struct {
	visits, bounces, views, ms uint64
	// squares is the sum of the squares of each user's number of visits.
	squares uint64
}

// sums adds up the whole sample.
func (v *Visits) sums() sums {
	var s sums
	for _, user := range v.users {
		s.add(user)
	}
	return s
}

func (s *sums) add(user *visitor) {
	n := uint64(len(user.visits))
	s.visits += n
	s.squares += n * n
	for i := range user.visits {
		visit := &user.visits[i]
		if visit.events == 1 {
			s.bounces++
		}
		s.views += uint64(visit.views)
		s.ms += uint64(visit.end - visit.start)
	}
}

// stats gives the estimated totals where each user of the sample stands for
// 1 / share users.
func (s *sums) stats(share float64) *VisitStats {
	if s.visits == 0 {
		return &VisitStats{}
	}
	return &VisitStats{
		Visits:   float64(s.visits) / share,
		Bounces:  float64(s.bounces) / share,
		Views:    float64(s.views) / share,
		Seconds:  float64(s.ms) / 1000 / share,
		Variance: (1 - share) / (share * share) * float64(s.squares),
	}
}

// pages makes a table of the visits by page.
func pages(counts map[string]uint64, share float64) Table {
	rows := make([]Count, 0, len(counts))
	for page, n := range counts {
		rows = append(rows, Count{Key: page, N: uint64(math.Round(float64(n) / share))})
	}
	return newTable(0, rows)
}

// VisitStats are the visits as they are reported. When some users were not
// sampled all numbers are estimates, with no bias and the standard errors that
// the methods give.
type VisitStats struct {
	// Visits is the number of visits, Bounces of those with one event only,
	// Views of the page views in visits.
	Visits, Bounces, Views float64
	// Seconds is the time from the first to the last event of a visit, added
	// up over all of them.
	Seconds float64
	// Variance is the square of the standard error of Visits.
	Variance float64
	// Exact tells that all visits were counted, and nothing is an estimate.
	Exact bool
	// Entry and Exit count the visits by the page that they began and ended
	// with. A visit without a page view has none. The users of their rows are
	// not known.
	Entry, Exit Table
}

// add adds the visits of other users or days; other is only read.
func (s *VisitStats) add(other *VisitStats) {
	s.Visits += other.Visits
	s.Bounces += other.Bounces
	s.Views += other.Views
	s.Seconds += other.Seconds
	s.Variance += other.Variance
	s.Exact = s.Exact && other.Exact
	s.Entry.Merge(&other.Entry)
	s.Exit.Merge(&other.Exit)
}

// VisitsError is the standard error of Visits.
func (s *VisitStats) VisitsError() float64 { return math.Sqrt(s.Variance) }

// RowError is the standard error of a row of Entry or Exit that says n.
func (s *VisitStats) RowError(n uint64) float64 {
	if s.Visits == 0 {
		return 0
	}
	return math.Sqrt(float64(n) * s.Variance / s.Visits)
}

// BounceRateError is the standard error of Bounces / Visits.
func (s *VisitStats) BounceRateError() float64 {
	if s.Visits == 0 {
		return 0
	}
	p := s.Bounces / s.Visits
	return math.Sqrt(p*(1-p)*s.Variance) / s.Visits
}
