package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daybook-analytics/daybook/internal/event"
	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// A month is the rollups of its days merged into one, so that a year is read
// in a dozen. It is valid only while its Parts are the days as they are stored,
// which whoever reads it compares; so a month that is not right any more is
// passed over at once, and made again when somebody comes to it.

// monthForm is how the date of a month is written.
const monthForm = "2006-01"

// MonthStore is what it takes to make months.
type MonthStore interface {
	store.Days
	Lister
}

// ErrNoMonth says that a month cannot be made of its days.
var ErrNoMonth = errors.New("the month cannot be made")

// BuildMonth makes the rollup of a month from the rollups of its days and
// stores it. The date of the key is YYYY-MM. The error wraps ErrNoMonth where
// there is no day, or one of them is damaged, or has raw events and no rollup:
// then there is no rollup of the month any more.
func BuildMonth(ctx context.Context, st MonthStore, key store.DayKey) error {
	// Days that were erased since they were read must not stay in the month;
	// any other change only makes it one that is not valid.
	const rounds = 3
	for range rounds {
		month, err := mergeMonth(ctx, st, key)
		if errors.Is(err, ErrNoMonth) {
			if putErr := putMonth(ctx, st, store.NewDay(key)); putErr != nil {
				return putErr
			}
			return err
		}
		if err != nil {
			return err
		}
		if err := putMonth(ctx, st, month); err != nil {
			return err
		}
		days := monthDays(key)
		heads, err := st.DayHeads(ctx, key.Site, key.Zone, days.From, days.To)
		if err != nil {
			return fmt.Errorf("list the rollups of %s: %w", key, err)
		}
		if isOf(month, heads) {
			return nil
		}
	}
	return nil
}

func putMonth(ctx context.Context, st MonthStore, month *rollup.Day) error {
	if err := st.PutMonth(ctx, month); err != nil {
		return fmt.Errorf("write month %s: %w", store.KeyOf(month), err)
	}
	return nil
}

// monthDays gives the days of a month, whose key is right.
func monthDays(key store.DayKey) Range {
	first, _ := time.Parse(monthForm, key.Date)
	return Range{From: first.Format(time.DateOnly), To: first.AddDate(0, 1, -1).Format(time.DateOnly)}
}

// mergeMonth makes the rollup of a month from those of its days.
func mergeMonth(ctx context.Context, st MonthStore, key store.DayKey) (*rollup.Day, error) {
	if _, err := time.Parse(monthForm, key.Date); err != nil {
		return nil, fmt.Errorf("month %q is not of the form YYYY-MM", key.Date)
	}
	days := monthDays(key)
	zones, err := zonesOf(ctx, st, key.Site)
	if err != nil {
		return nil, err
	}
	dates, err := datesOf(ctx, st, key.Site, key.Zone, zones, days)
	if err != nil {
		return nil, err
	}
	month := store.NewDay(key)
	err = st.SiteDays(ctx, key.Site, key.Zone, days.From, days.To, rollup.AllFields, func(day *rollup.Day, damaged *store.DamagedError) error {
		if damaged != nil {
			return fmt.Errorf("%w: %w", ErrNoMonth, damaged)
		}
		month.Parts = append(month.Parts, rollup.Part{Date: day.Date, Rev: day.Rev})
		month.Merge(day)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("month %s: %w", key, err)
	}
	if len(month.Parts) == 0 {
		return nil, fmt.Errorf("month %s has no days: %w", key, ErrNoMonth)
	}
	for _, date := range dates {
		if !slices.ContainsFunc(month.Parts, func(p rollup.Part) bool { return p.Date == date }) {
			return nil, fmt.Errorf("month %s has raw events of %s and no rollup: %w", key, date, ErrNoMonth)
		}
	}
	month.Compact(rollup.MonthLimits)
	return month, nil
}

// freshenMonths makes those of a site's months in a zone that are over, and
// whose rollups are not there or not valid any more, and tells how many. One that
// cannot be made is no error.
func freshenMonths(ctx context.Context, st MonthStore, name, zone string, now time.Time) (made int, err error) {
	current, err := currentMonth(zone, now)
	if err != nil {
		return 0, fmt.Errorf("site %s: %w", name, err)
	}
	heads, err := st.DayHeads(ctx, name, zone, "", "")
	if err != nil {
		return 0, fmt.Errorf("list the rollups of %s: %w", name, err)
	}
	for len(heads) > 0 {
		key := monthOf(store.DayKey{Site: name, Zone: zone, Date: heads[0].Date})
		n := 1
		for n < len(heads) && strings.HasPrefix(heads[n].Date, key.Date) {
			n++
		}
		days := heads[:n]
		heads = heads[n:]
		if key.Date >= current {
			break
		}
		valid, err := validMonth(ctx, st, key, days)
		if err != nil {
			return made, err
		}
		if valid {
			continue
		}
		err = BuildMonth(ctx, st, key)
		if err == nil {
			made++
		} else if !errors.Is(err, ErrNoMonth) {
			return made, err
		}
	}
	return made, nil
}

// currentMonth gives the first of the months that are not over in a zone. One
// is over for a day before it is, because most events of its last day have come
// by then.
func currentMonth(zone string, now time.Time) (string, error) {
	location, err := event.Location(zone)
	if err != nil {
		return "", err
	}
	return now.In(location).AddDate(0, 0, -1).Format(monthForm), nil
}

// monthOf gives the key of the month of a day.
func monthOf(day store.DayKey) store.DayKey {
	day.Date = day.Date[:len(monthForm)]
	return day
}

// validMonth tells whether the stored month is made of the days as they are.
func validMonth(ctx context.Context, st MonthStore, key store.DayKey, days []store.Head) (bool, error) {
	month, err := st.Month(ctx, key, 0)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.As(err, new(*store.DamagedError)):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("load month %s: %w", key, err)
	}
	return isOf(month, days), nil
}

// isOf tells whether a month is made of the days as they are.
func isOf(month *rollup.Day, days []store.Head) bool {
	return slices.EqualFunc(month.Parts, days, func(p rollup.Part, h store.Head) bool {
		return p.Date == h.Date && p.Rev == h.Rev
	})
}

// freshenAll makes the months of all sites that are not valid.
func (r *run) freshenAll(ctx context.Context) error {
	sites := site.NewDirectory(r.store, 0)
	return EachSite(ctx, r.store, func(name string) error {
		settings, err := sites.Get(ctx, name)
		if err != nil {
			return err
		}
		return r.freshen(ctx, name, settings.Zone)
	})
}

// freshen makes the months of one site that are not valid.
func (r *run) freshen(ctx context.Context, name, zone string) error {
	made, err := freshenMonths(ctx, r.store, name, zone, r.now())
	r.madeMonths(made)
	return err
}

func (r *run) madeMonths(made int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.job.Months += made
}

// RebuildMonths makes the months of the days anew, as far as they are over, and
// tells how many; one that cannot be made is no error. It is for who has changed
// these days. now is the time.
func RebuildMonths(ctx context.Context, st MonthStore, days []store.DayKey, now time.Time) (made int, err error) {
	months := map[store.DayKey]bool{}
	for _, day := range days {
		months[monthOf(day)] = true
	}
	for key := range months {
		current, err := currentMonth(key.Zone, now)
		if err != nil {
			return made, fmt.Errorf("site %s: %w", key.Site, err)
		}
		if key.Date >= current {
			continue
		}
		err = BuildMonth(ctx, st, key)
		if err == nil {
			made++
		} else if !errors.Is(err, ErrNoMonth) {
			return made, err
		}
	}
	return made, nil
}
