package visitor

import (
	_ "embed"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The lists of referrers. In each a line is a name, a tab and the hosts that
// it stands for, with those below them; `#` begins a comment.
var (
	// listedReferrers is what others keep; scripts/update-lists makes it.
	//go:embed lists/referrers.txt
	listedReferrers string
	// ownReferrers is what it lacks, and calls otherwise.
	//go:embed lists/referrers-own.txt
	ownReferrers string
)

// referrers has the names of hosts, of those of apps too.
var referrers = readReferrers(listedReferrers, ownReferrers)

// readReferrers reads lists; what comes later counts.
func readReferrers(lists ...string) map[string]string {
	names := map[string]string{}
	for _, list := range lists {
		for line := range strings.Lines(list) {
			if name, hosts, ok := strings.Cut(line, "\t"); ok && line[0] != '#' {
				for host := range strings.FieldsSeq(hosts) {
					names[host] = name
				}
			}
		}
	}
	return names
}

// Referrer gives what is kept of a referrer: of the address of a page or an
// app the name that its host is known by, as "Google", or else the host
// without "www."; nothing if that is ownHost, which is the host of the page
// that the visitor came to, with or without a port, or if it is a number, which
// may be that of a person's machine. Anything else is a name that a sender has
// chosen, and stays. What Referrer gave it gives again.
//
// Nothing is kept that comes before a host or behind it, or behind such a name,
// because sessions, searches and names of people stand there.
func Referrer(referrer, ownHost string) string {
	scheme, rest, ok := strings.Cut(referrer, "://")
	if !ok || !isScheme(scheme) {
		if _, err := netip.ParseAddr(strings.Trim(referrer, "[].")); err == nil {
			return ""
		}
		if i := strings.IndexAny(referrer, `:/?#\%=`); i >= 0 {
			referrer = referrer[:i] // "mailto", of "mailto:…"
		}
		if _, err := netip.ParseAddr(strings.Trim(referrer, "[].")); err == nil || strings.Contains(referrer, "@") {
			return ""
		}
		return referrer
	}
	host := hostOf(rest)
	if host == "" || host == hostOf(ownHost) {
		return ""
	}
	// sub.example.com is known by the name of example.com.
	for above, ok := host, true; ok; _, above, ok = strings.Cut(above, ".") {
		if name := referrers[above]; name != "" {
			return name
		}
	}
	return host
}

// isScheme tells whether the text in front of "://" is a scheme of addresses.
func isScheme(s string) bool {
	for _, c := range []byte(s) {
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '-' || c == '.') {
			return false
		}
	}
	return s != ""
}

// hostOf gives the host of an address without its scheme, in lower case and
// without "www.", user, port and all that follows it, nothing if it is a number.
func hostOf(address string) string {
	if i := strings.IndexAny(address, `/?#\`); i >= 0 {
		address = address[:i]
	}
	address = address[strings.LastIndexByte(address, '@')+1:]
	if i := strings.IndexFunc(address, endsHost); i >= 0 {
		address = address[:i]
	}
	host := strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(address), "."), "www.")
	// Only numbers of IPv4 have a last part that begins with a digit. Those of
	// IPv6 begin with a bracket, which has ended them above.
	if last := host[strings.LastIndexByte(host, '.')+1:]; last != "" && '0' <= last[0] && last[0] <= '9' {
		return ""
	}
	return host
}

// endsHost tells whether no host contains a character. Those beyond ASCII are
// in hosts that are not written for machines.
func endsHost(c rune) bool {
	return c < utf8.RuneSelf && !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_')
}
