package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/rollup"
)

// ZoneChange changes the time zone of a site while workers go on: answers stay
// those of the old zone until the days of the new one are complete.
//
// Workers read the settings of their sites in each step, after the entries of
// the step. So when the change is announced in the settings, only steps can
// still fold into the old zone alone whose entries are in the queue now. When
// these are counted (Wait), their raw events are in the store, whoever stored
// them, and whatever such a step does later has been done before. Building all
// days then from the raw events leaves none of them out, and what comes later
// is folded into both zones by every step. Nothing here depends on how long a
// step takes or on which worker lives.
//
// It can be stopped anywhere; to run it again goes on from there. Only one may
// be at work for a site at a time.
type ZoneChange struct {
	// Site gets the time zone Zone. If that is the one that it has, a change to
	// another one that was not finished is given up.
	Site, Zone string
	// Limits bounds the rollups that are written.
	Limits rollup.Limits

	// Wait waits until all is counted that is in the queue when it is called.
	Wait func(ctx context.Context) error
	// Restart forgets what is built: all days are to be built from the
	// beginning.
	Restart func(ctx context.Context) error
	// Build calls build for those of the days that are not built yet.
	Build func(ctx context.Context, days []store.DayKey, build BuildFunc) error
}

// BuildFunc builds the rollup of a day in the new zone, and tells what its raw
// events give and whether the rollup was taken over from the old zone, as it
// was, because they are not all kept.
type BuildFunc func(ctx context.Context, day store.DayKey) (check *Check, takenOver bool, err error)

// ZoneStore is what a change of zone needs of the store.
type ZoneStore interface {
	Store
	Lister
}

// Run does the change, or what is left of it.
func (z *ZoneChange) Run(ctx context.Context, st ZoneStore) error {
	sites := site.NewDirectory(st, 0)
	settings, err := z.announce(ctx, st, sites)
	if err != nil {
		return err
	}
	if settings.Zone != z.Zone {
		if err := z.Wait(ctx); err != nil {
			return err
		}
		if err := z.build(ctx, st, settings); err != nil {
			return err
		}
		settings, err = sites.Change(ctx, z.Site, func(s *site.Settings) error {
			if s.Next == nil || *s.Next != z.Zone {
				return fmt.Errorf("the time zone of %s was changed by somebody else meanwhile", z.Site)
			}
			s.Finish()
			return nil
		})
		if err != nil {
			return err
		}
	}
	// Steps that know of the other zone still write its rollups, and would
	// leave some behind.
	if err := z.Wait(ctx); err != nil {
		return err
	}
	for _, zone := range settings.All() {
		if zone != z.Zone {
			if err := st.DropRollups(ctx, z.Site, zone); err != nil {
				return fmt.Errorf("remove the rollups of %s in %s: %w", z.Site, site.ZoneName(zone), err)
			}
		}
	}
	return nil
}

// announce lets all know of the change, and gives the settings.
func (z *ZoneChange) announce(ctx context.Context, st ZoneStore, sites *site.Directory) (site.Settings, error) {
	settings, err := sites.Get(ctx, z.Site)
	switch {
	case err != nil:
		return settings, err
	case settings.Zone == z.Zone:
		return sites.Change(ctx, z.Site, func(s *site.Settings) error { s.GiveUp(); return nil })
	case settings.Next != nil && *settings.Next == z.Zone:
		return settings, nil
	}
	if err := z.Restart(ctx); err != nil {
		return settings, err
	}
	// What an earlier change has left must not look as if it were complete.
	if err := st.DropRollups(ctx, z.Site, z.Zone); err != nil {
		return settings, fmt.Errorf("remove old rollups of %s in %s: %w", z.Site, site.ZoneName(z.Zone), err)
	}
	return sites.Change(ctx, z.Site, func(s *site.Settings) error { s.ChangeTo(z.Zone); return nil })
}

// build builds all days of the new zone.
func (z *ZoneChange) build(ctx context.Context, st ZoneStore, settings site.Settings) error {
	dates, err := datesOf(ctx, st, z.Site, z.Zone, settings.All(), Range{})
	if err != nil {
		return err
	}
	// Days whose raw events are gone have only the rollups of the old zone.
	old, err := st.DayDates(ctx, z.Site, settings.Zone, "", "")
	if err != nil {
		return fmt.Errorf("list the rollups of %s: %w", z.Site, err)
	}
	dates = append(dates, old...)
	slices.Sort(dates)
	var days []store.DayKey
	for _, date := range slices.Compact(dates) {
		days = append(days, store.DayKey{Site: z.Site, Zone: z.Zone, Date: date})
	}
	return z.Build(ctx, days, func(ctx context.Context, key store.DayKey) (*Check, bool, error) {
		// There may be rollups already, made by steps that knew of the change
		// before others did: they may lack what those others have folded.
		check, _, err := RebuildDay(ctx, st, key, Options{Limits: z.Limits, Smaller: true})
		if !errors.Is(err, ErrPartial) {
			return check, false, err
		}
		takenOver, err := z.takeOver(ctx, st, key, settings)
		return check, takenOver, err
	})
}

// takeOver makes the rollup of a day of the one of the same date in the old
// zone. If there is none that can be read, it makes it of the raw events that
// are there.
func (z *ZoneChange) takeOver(ctx context.Context, st ZoneStore, key store.DayKey, settings site.Settings) (bool, error) {
	for {
		day, _, _, err := load(ctx, st, store.DayKey{Site: key.Site, Zone: settings.Zone, Date: key.Date})
		if err != nil {
			return false, err
		}
		if day == nil {
			_, _, err := RebuildDay(ctx, st, key, Options{Limits: z.Limits, Force: true})
			return false, err
		}
		stored, rev, _, err := load(ctx, st, key)
		if err != nil {
			return false, err
		}
		checkpoints, err := st.Checkpoints(ctx)
		if err != nil {
			return false, fmt.Errorf("read checkpoints: %w", err)
		}
		target := store.CheckpointMarks(checkpoints)
		if stored != nil {
			target = target.Join(stored.Marks)
		}
		day.Zone, day.Rev = key.Zone, rev
		// Events that have come since, to a day that is partly kept, are
		// folded once into each of the two.
		if err := store.FoldDay(ctx, st, day, settings.All(), target); err != nil {
			return false, fmt.Errorf("take over %s: %w", key, err)
		}
		if stored != nil {
			day.Marks = day.Marks.Join(stored.Marks)
		}
		day.Compact(z.Limits)
		err = st.SwapDay(ctx, day)
		if !errors.Is(err, store.ErrConflict) {
			return true, err
		}
	}
}
