package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/rollup"
)

// days choose the days that a command works on. They have no variables, so
// that one which is set for something else never decides what is rebuilt.
type days struct {
	Site string `env:"-" placeholder:"SITE" help:"Site to work on."`
	All  bool   `env:"-" help:"Work on all sites."`
	From string `env:"-" placeholder:"DATE" help:"First date, as YYYY-MM-DD; by default the first that there is."`
	To   string `env:"-" placeholder:"DATE" help:"Last date, as YYYY-MM-DD; by default the last that there is."`
}

func (d *days) days() reconcile.Range {
	return reconcile.Range{Site: d.Site, From: d.From, To: d.To}
}

func (d *days) Validate() error {
	if d.All == (d.Site != "") {
		return errors.New("give --site SITE, or --all for all sites")
	}
	if err := d.days().Validate(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	return nil
}

// shownDifferences is how many differences of one day a table shows.
const shownDifferences = 10

// dayTable shows what is not right of days, a line for each value.
type dayTable struct {
	out   *tabwriter.Writer
	begun bool
}

func newDayTable(out io.Writer) *dayTable {
	return &dayTable{out: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

func (t *dayTable) row(site, date string, state reconcile.State, field, stored, want, difference string) {
	if !t.begun {
		t.begun = true
		fmt.Fprintln(t.out, "SITE\tDATE\tSTATE\tFIELD\tSTORED\tTRUE\tDIFFERENCE")
	}
	fmt.Fprintf(t.out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", site, date, state, field, stored, want, difference)
}

// day shows the differences of a day, of which there are so many more.
func (t *dayTable) day(site, date string, state reconcile.State, differences []rollup.Difference, more int) {
	if n := len(differences); n > shownDifferences {
		differences, more = differences[:shownDifferences], more+n-shownDifferences
	}
	for _, d := range differences {
		t.row(site, date, state, d.Field, d.Stored, d.True, difference(d))
	}
	if more > 0 {
		t.note(site, date, state, fmt.Sprintf("and %d more", more))
	}
}

// note says something of a day that is no difference.
func (t *dayTable) note(site, date string, state reconcile.State, text string) {
	t.row(site, date, state, text, "", "", "")
}

// difference is how much the stored number would have to grow.
func difference(d rollup.Difference) string {
	stored, err1 := strconv.ParseInt(d.Stored, 10, 64)
	want, err2 := strconv.ParseInt(d.True, 10, 64)
	if err1 != nil || err2 != nil {
		return "-"
	}
	return fmt.Sprintf("%+d", want-stored)
}
