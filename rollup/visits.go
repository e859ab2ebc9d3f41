package rollup

// VisitGap is the longest time in milliseconds between two neighbouring
// events of one visit.
const VisitGap = 30 * 60 * 1000

// SampledUsers is the most users whose visits a stored Day keeps.
const SampledUsers = 4096

// Visits are the visits of a day.
type Visits struct{ closed VisitStats }

func newVisits() Visits { return Visits{} }

// VisitStats tells of visits what is reported.
type VisitStats struct {
	// Visits is the number of visits, Bounces of those that had one event
	// only, Views of the page views in them; Seconds is the time from the
	// first to the last event of each, added up. All are estimates unless
	// Exact.
	Visits, Bounces, Views, Seconds float64
	// Variance is that of Visits.
	Variance float64
	// Exact tells whether all visits were counted, none estimated.
	Exact bool
	// Entry and Exit hold the visits by their first and last page.
	Entry, Exit Table
}

// VisitsError is the standard error of Visits.
func (s *VisitStats) VisitsError() float64 { return 0 }

// RowError is the standard error of a count of n in Entry or Exit.
func (s *VisitStats) RowError(n uint64) float64 { return 0 }

// BounceRateError is the standard error of Bounces / Visits.
func (s *VisitStats) BounceRateError() float64 { return 0 }

// Stats gives the totals.
func (v *Visits) Stats() *VisitStats { return &VisitStats{} }

// Close turns the sample into totals.
func (v *Visits) Close() {}

// AppendBinary appends the canonical bytes of the visits.
func (v *Visits) AppendBinary(b []byte) ([]byte, error) { return b, nil }

// UnmarshalBinary reads what AppendBinary wrote.
func (v *Visits) UnmarshalBinary([]byte) error { return nil }
