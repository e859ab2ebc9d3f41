package visitor

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The databases in testdata are made with github.com/maxmind/mmdbwriter v1.2.0,
// which is not among Daybook's dependencies, by mmdbwriter.New with the record
// size 24, Insert and WriteTo:
//
//	countries-1.mmdb  192.0.2.0/24     {"country": {"iso_code": "DE"}}
//	                  198.51.100.0/24  {"registered_country": {"iso_code": "US"}}
//	                  2001:db8::/32    {"country": {"iso_code": "FR"}}
//	countries-2.mmdb  192.0.2.0/24     {"country": {"iso_code": "AT"}}
//	networks.mmdb     192.0.2.0/24     {"autonomous_system_number": 64496}
const (
	countries1 = "testdata/countries-1.mmdb"
	countries2 = "testdata/countries-2.mmdb"
	networks   = "testdata/networks.mmdb"
)

func TestCountries(t *testing.T) {
	c, err := OpenCountries(countries1, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for addr, want := range map[string]string{
		"192.0.2.1":          "DE",
		"::ffff:192.0.2.1":   "DE",
		"192.0.3.1":          "",
		"198.51.100.1":       "",
		"2001:db8::1":        "FR",
		"2001:db9::1":        "",
		"fe80::1%eth0":       "",
		"127.0.0.1":          "",
		"::1":                "",
		"255.255.255.255":    "",
		"2001:db8:1::1%eth0": "FR",
	} {
		if got := c.Of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %q, and not in %q", addr, got, want)
		}
	}
	if got := c.Of(netip.Addr{}); got != "" {
		t.Errorf("no address is in %q", got)
	}
	if got := (*Countries)(nil).Of(netip.MustParseAddr("192.0.2.1")); got != "" {
		t.Errorf("without a database an address is in %q", got)
	}
}

func TestCountriesThatCannotBeOpened(t *testing.T) {
	text := filepath.Join(t.TempDir(), "countries.mmdb")
	write(t, text, []byte("DE,192.0.2.0/24"))
	for file, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.mmdb"): "no such file",
		text:                                    "no database in MaxMind's format",
		networks:                                "no country.iso_code",
	} {
		c, err := OpenCountries(file, slog.New(slog.DiscardHandler))
		if err == nil {
			c.Close()
			t.Errorf("%s is opened", file)
			continue
		}
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %q does not name the file and %q", file, err, want)
		}
	}
}

// A file that is replaced is in use soon, in whatever way it was replaced; one
// that is damaged changes nothing.
func TestReplacedFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "countries.mmdb")
		copyOver := func(from string) {
			t.Helper()
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, text)
		}
		var log bytes.Buffer
		copyOver(countries1)
		c, err := OpenCountries(file, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		expect := func(want string) {
			t.Helper()
			time.Sleep(watchInterval)
			synctest.Wait()
			if got := c.Of(netip.MustParseAddr("192.0.2.1")); got != want {
				t.Errorf("in %q, and not in %q", got, want)
			}
		}
		expect("DE")
		copyOver(countries2) // in its place
		expect("AT")
		write(t, file, []byte("no database"))
		expect("AT")
		expect("AT")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		expect("AT")
		expect("AT")
		if n := strings.Count(log.String(), "cannot be read"); n != 2 {
			t.Errorf("that the file is damaged and then away is reported %d times:\n%s", n, log.String())
		}
		text, err := os.ReadFile(countries1)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file+".new", text)
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
		expect("DE")
		c.Close()
		copyOver(countries2)
		expect("DE")
	})
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCountryCode(t *testing.T) {
	for code, want := range map[string]string{
		"DE": "DE", "de": "DE", "": "", "D": "", "DEU": "", "D1": "", "T1": "", "XX": "", "zz": "", "ä": "", "\x00\x00": "",
	} {
		if got := CountryCode(code); got != want {
			t.Errorf("CountryCode(%q) = %q, and not %q", code, got, want)
		}
	}
}

func BenchmarkCountries(b *testing.B) {
	c, err := OpenCountries(countries1, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	addr := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		c.Of(addr)
	}
}
