package pebblestore

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Sites is part of store.Store.
func (s *Store) Sites(ctx context.Context, after string, limit int) (sites []string, err error) {
	events, err := s.iterate(ctx, []byte{keyEvent}, []byte{keyEvent + 1})
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, events)
	rollups, err := s.iterate(ctx, []byte{keyRollup}, []byte{keyRollup + 1})
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, rollups)

	for len(sites) < limit {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next, found, err := siteBehind(events, keyEvent, after)
		if err != nil {
			return nil, err
		}
		other, otherFound, err := siteBehind(rollups, keyRollup, after)
		if err != nil {
			return nil, err
		}
		switch {
		case !found && !otherFound:
			return sites, nil
		case !found || otherFound && other < next:
			next = other
		}
		sites = append(sites, next)
		after = next
	}
	return sites, nil
}

// siteBehind finds the first site behind another one ("" for the first) that
// has a key of the kind that the iterator is of. It goes there directly,
// however many keys lie between.
func siteBehind(it *pebble.Iterator, kind byte, after string) (site string, found bool, err error) {
	lower := []byte{kind}
	if after != "" {
		lower = end(appendSite(nil, kind, after))
	}
	if !it.SeekGE(lower) {
		return "", false, it.Error()
	}
	site, _, ok := readString(it.Key()[1:])
	if !ok {
		return "", false, fmt.Errorf("the store has the key %x, which has no site", it.Key())
	}
	return site, true, nil
}

// DayDates is part of store.Store.
func (s *Store) DayDates(ctx context.Context, site, from, to string) (dates []string, err error) {
	prefix := appendSite(nil, keyRollup, site)
	lower, upper := dateBounds(prefix, from, to)
	it, err := s.iterate(ctx, lower, upper)
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, it)
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		date, _, ok := readString(it.Key()[len(prefix):])
		if !ok {
			return nil, fmt.Errorf("the store has a rollup of site %q with the key %x, which has no date", site, it.Key())
		}
		dates = append(dates, date)
	}
	return dates, nil
}
