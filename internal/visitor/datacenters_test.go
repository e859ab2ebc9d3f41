package visitor

import (
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

func TestDataCenters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ranges.txt")
	write(t, file, []byte(`# The cloud
192.0.2.0/24
192.0.2.128/25   # within the one before
192.0.2.7
198.51.100.77/31
2001:db8::/32

::ffff:203.0.113.0/120
2001:db9::1
`))
	d, err := OpenDataCenters(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for addr, want := range map[string]bool{
		"192.0.1.255": false, "192.0.2.0": true, "192.0.2.7": true, "192.0.2.8": true, "192.0.2.255": true, "192.0.3.0": false,
		"198.51.100.75": false, "198.51.100.76": true, "198.51.100.77": true, "198.51.100.78": false,
		"::ffff:192.0.2.1": true, "203.0.113.9": true, "203.0.114.1": false,
		"2001:db7:ffff::": false, "2001:db8::": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db8::1%eth0": true,
		"2001:db9::1": true, "2001:db9::2": false, "0.0.0.0": false, "::": false,
	} {
		if got := d.Has(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, and not %v", addr, got, want)
		}
	}
	if d.Has(netip.Addr{}) || (*DataCenters)(nil).Has(netip.MustParseAddr("192.0.2.1")) {
		t.Error("no address or no file is one of a data centre")
	}
}

func TestDataCentersThatCannotBeOpened(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ranges.txt")
	write(t, file, []byte("192.0.2.0/24\n\n192.0.2.0/33\n"))
	d, err := OpenDataCenters(file, slog.New(slog.DiscardHandler))
	if err == nil {
		d.Close()
		t.Fatal("a range of 33 bits is opened")
	}
	for _, want := range []string{file, "line 3", "192.0.2.0/33"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
}

// An address is in the ranges if it is in any of them.
func FuzzRanges(f *testing.F) {
	f.Add("192.0.2.0/24\n192.0.2.128/25\n192.0.2.0/23", "192.0.3.1")
	f.Add("::/0\n10.0.0.0/8", "10.1.2.3")
	f.Add("0.0.0.0/0\n::1", "::1")
	f.Add("::ffff:0:0/95\n1.2.3.4/32 # x\n%", "1.2.3.4")
	f.Fuzz(func(t *testing.T, text, address string) {
		addr, err := netip.ParseAddr(address)
		if err != nil {
			t.Skip("no address")
		}
		addr = addr.Unmap().WithZone("")
		got, err := parseRanges([]byte(text))
		if err != nil {
			return
		}
		want := false
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			if prefix, err := parsePrefix(strings.TrimSpace(line)); err == nil && prefix.Contains(addr) {
				want = true
			}
		}
		if got.has(addr) != want {
			t.Errorf("%s in %q: %v", addr, text, !want)
		}
	})
}
