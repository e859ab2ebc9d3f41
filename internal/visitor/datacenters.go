package visitor

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
)

// DataCenters knows which addresses are those of data centres, from a file of
// ranges: one in a line, as 192.0.2.0/24 or 2001:db8::/32, or a single
// address; `#` begins a comment. A file that is replaced is read again within
// half a minute. It is safe for concurrent use; nil knows none.
type DataCenters struct{ file *watched[ranges] }

// OpenDataCenters reads the ranges of a file.
func OpenDataCenters(file string, log *slog.Logger) (*DataCenters, error) {
	opened, err := openWatched(file, parseRanges, log)
	if err != nil {
		return nil, fmt.Errorf("addresses of data centres: %w", err)
	}
	return &DataCenters{opened}, nil
}

// Close ends watching the file. It may be called again.
func (d *DataCenters) Close() { d.file.Close() }

// Has tells whether an address is in one of the ranges.
func (d *DataCenters) Has(addr netip.Addr) bool {
	return d != nil && addr.IsValid() && d.file.value.Load().has(addr.Unmap().WithZone(""))
}

// ranges are ranges of addresses, in order and apart from each other.
type ranges []addrRange

type addrRange struct{ first, last netip.Addr }

func parseRanges(text []byte) (*ranges, error) {
	var all ranges
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		prefix, err := parsePrefix(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is no range of addresses such as 192.0.2.0/24: %w", number, line, err)
		}
		all = append(all, addrRange{prefix.Masked().Addr(), lastOf(prefix)})
	}
	// Ranges are apart from each other or one within the other, and what is
	// within another one comes behind it.
	slices.SortFunc(all, func(a, b addrRange) int {
		return cmp.Or(a.first.Compare(b.first), b.last.Compare(a.last))
	})
	apart := all[:0]
	for _, r := range all {
		if len(apart) == 0 || r.last.Compare(apart[len(apart)-1].last) > 0 {
			apart = append(apart, r)
		}
	}
	return &apart, nil
}

func parsePrefix(line string) (netip.Prefix, error) {
	if !strings.Contains(line, "/") {
		addr, err := netip.ParseAddr(line)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(line)
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	return prefix, err
}

// lastOf gives the last address of a range.
func lastOf(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().AsSlice()
	for i := prefix.Bits(); i < len(bytes)*8; i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

func (r *ranges) has(addr netip.Addr) bool {
	// The range in which it is begins at or before it, and no other one in
	// between.
	n, at := slices.BinarySearchFunc(*r, addr, func(r addrRange, addr netip.Addr) int { return r.first.Compare(addr) })
	return at || n > 0 && addr.Compare((*r)[n-1].last) <= 0
}
