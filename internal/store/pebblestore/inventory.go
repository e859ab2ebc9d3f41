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
	heads, err := s.iterate(ctx, []byte{keyHead}, []byte{keyHead + 1})
	if err != nil {
		return nil, err
	}
	defer closeInto(&err, heads)

	for len(sites) < limit {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		next, found, err := siteBehind(events, keyEvent, after)
		if err != nil {
			return nil, err
		}
		other, otherFound, err := siteBehind(heads, keyHead, after)
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
func (s *Store) DayDates(ctx context.Context, site, zone, from, to string) ([]string, error) {
	heads, err := s.DayHeads(ctx, site, zone, from, to)
	var dates []string
	for _, head := range heads {
		dates = append(dates, head.Date)
	}
	return dates, err
}
