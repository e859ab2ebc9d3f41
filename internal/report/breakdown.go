package report

// dimension is what a breakdown is by.
type dimension int
