package visitor

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Countries knows the countries of addresses from a database in MaxMind's
// format, whose records have country.iso_code, as those of MaxMind and DB-IP
// do. A file that is replaced is read again within half a minute. It is safe
// for concurrent use; nil knows none.
type Countries struct{ file *watched[maxminddb.Reader] }

// OpenCountries reads a database.
func OpenCountries(file string, log *slog.Logger) (*Countries, error) {
	opened, err := openWatched(file, parseCountries, log)
	if err != nil {
		return nil, fmt.Errorf("countries of addresses: %w", err)
	}
	return &Countries{opened}, nil
}

// Close ends watching the file. It may be called again.
func (c *Countries) Close() { c.file.Close() }

func parseCountries(text []byte) (*maxminddb.Reader, error) {
	db, err := maxminddb.OpenBytes(text)
	if err != nil {
		return nil, fmt.Errorf("it is no database in MaxMind's format: %w", err)
	}
	for result := range db.Networks() {
		if countryOf(result) != "" {
			return db, nil
		}
	}
	return nil, errors.New("its records have no country.iso_code; it must be a database of countries or cities")
}

// Of gives the country of an address as CountryCode does.
func (c *Countries) Of(addr netip.Addr) string {
	if c == nil || !addr.IsValid() {
		return ""
	}
	return countryOf(c.file.value.Load().Lookup(addr.Unmap()))
}

func countryOf(result maxminddb.Result) string {
	var code string
	if result.DecodePath(&code, "country", "iso_code") != nil {
		return ""
	}
	return CountryCode(code)
}

// CountryCode gives the code of ISO 3166-1 alpha-2 in upper case, as "DE", or
// nothing for what is no such code. CDNs say that they do not know with "XX".
func CountryCode(code string) string {
	if len(code) != 2 {
		return ""
	}
	code = strings.ToUpper(code)
	for _, c := range []byte(code) {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	if code == "XX" || code == "ZZ" {
		return ""
	}
	return code
}
