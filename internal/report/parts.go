package report

import "github.com/daybook-analytics/daybook/rollup"

// parts says which parts of the rollups an answer is made of, beside the
// counts, those by hour included, and the sketch of all users. What is not
// asked for is not merged and may be missing in a period.
type parts uint32

// The parts; tablePart gives that of a dimension's table.
const (
	visitsPart    parts = 1 << rollup.NumDimensions
	hourUsersPart parts = 2 << rollup.NumDimensions
)

func tablePart(d rollup.Dimension) parts { return 1 << d }
