package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Headers in which proxies say for whom they ask.
const (
	forwardedFor = "X-Forwarded-For"
	forwarded    = "Forwarded" // RFC 7239

	forwardedProto = "X-Forwarded-Proto"
)

// Proxies are the addresses of the proxies that are trusted to say for whom
// they ask. The zero value trusts nobody. It never changes.
//
// realclientip-go was considered. It must be told which one of the two headers
// counts, parses all that a client sent before it looks at the end, and knows
// no netip; what is left of it is the walk from the right, which is here.
type Proxies struct{ ranges []netip.Prefix }

// ParseProxies reads addresses ("192.0.2.1", "2001:db8::1") and ranges in the
// notation of CIDR ("10.0.0.0/8", "fd00::/8").
func ParseProxies(list []string) (Proxies, error) {
	var p Proxies
	for _, s := range list {
		prefix, err := parseRange(strings.TrimSpace(s))
		if err != nil {
			return Proxies{}, fmt.Errorf("trusted proxy %q %w", s, err)
		}
		p.ranges = append(p.ranges, prefix)
	}
	return p, nil
}

func parseRange(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, errors.New("is neither an address nor a range: right are 192.0.2.1, 2001:db8::1, 10.0.0.0/8 or fd00::/8")
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	switch {
	case prefix.Bits() == 0:
		return netip.Prefix{}, errors.New("is everybody: then each client could say that it is another one; give the ranges of your own proxies")
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits beyond its length: is %s meant, or %s?", prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

// Trusts tells whether the other end of the request's connection is a trusted
// proxy. Only then a header that a proxy or CDN sets may be believed.
func (p Proxies) Trusts(r *http.Request) bool { return p.has(peer(r)) }

func (p Proxies) has(addr netip.Addr) bool {
	for _, prefix := range p.ranges {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Client gives the address of the client that a request is from, an IPv4
// address never as an IPv6 one, and without a zone. It is not valid if the
// connection has no address, as on a unix socket.
//
// It is the other end of the connection, unless that is a trusted proxy. Then
// it is whom the proxy names: the last entry of X-Forwarded-For or Forwarded,
// all of their lines taken as one list. If that is a trusted proxy too, it is
// the entry before, and so on. The walk ends at an entry that is no address,
// with the proxy that passed it on: what a client writes into these headers
// itself is to the left of what the first proxy adds, and never reached.
//
// A proxy sets one of the two headers and may pass the other one on as the
// client sent it, and nothing tells which. So a request with both must say
// the same in both; otherwise its client is taken to be the proxy, and
// whoever forges a header wins nothing but to be one with all others who do.
func (p Proxies) Client(r *http.Request) netip.Addr {
	direct := peer(r)
	if !p.has(direct) {
		return direct
	}
	lines, forLines := r.Header[forwarded], r.Header[forwardedFor]
	switch {
	case len(lines) == 0:
		return p.walk(direct, forLines, parseEntry)
	case len(forLines) == 0:
		return p.walk(direct, lines, parseForwarded)
	}
	client := p.walk(direct, forLines, parseEntry)
	if client != p.walk(direct, lines, parseForwarded) {
		return direct
	}
	return client
}

// OverTLS tells whether the client's own connection is TLS: that to here, or
// what a trusted proxy says of the one to it. Whoever forges that wins nothing:
// it decides about their own cookies alone.
func (p Proxies) OverTLS(r *http.Request) bool {
	if r.TLS != nil || !p.Trusts(r) {
		return r.TLS != nil
	}
	// The first of several is the one that was next to the client.
	if proto, _, _ := strings.Cut(r.Header.Get(forwardedProto), ","); proto != "" {
		return strings.EqualFold(strings.TrimSpace(proto), "https")
	}
	element, _, _ := strings.Cut(r.Header.Get(forwarded), ",")
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "proto") {
			return strings.EqualFold(strings.Trim(value, `"`), "https")
		}
	}
	return false
}

// walk reads entries from the right, from the proxy direct on, for as long as
// it comes from trusted proxy to trusted proxy.
func (p Proxies) walk(direct netip.Addr, lines []string, parse func(string) netip.Addr) netip.Addr {
	client := direct
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			entry := rest
			// A comma within quotes separates too: a quote that a client left
			// open must not hide what a proxy added after it.
			comma := strings.LastIndexByte(rest, ',')
			if more = comma >= 0; more {
				rest, entry = rest[:comma], rest[comma+1:]
			}
			addr := parse(strings.Trim(entry, " \t"))
			if !addr.IsValid() {
				return client
			}
			client = addr
			if !p.has(addr) {
				return client
			}
		}
	}
	return client
}

// peer gives the address of the other end of the connection.
func peer(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return plain(addr.Addr())
}

// parseForwarded gives the address in one element of Forwarded, as in
// for="[2001:db8::1]:4711";proto=https. It is not valid if there is none, or
// more than one, or if the element may be the end of a quoted string, such as
// that of host="a,for=192.0.2.1;b", which a client has chosen.
func parseForwarded(element string) netip.Addr {
	var addr netip.Addr
	if strings.Count(element, `"`)%2 != 0 || strings.Contains(element, `\`) {
		return addr
	}
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		if addr.IsValid() {
			return netip.Addr{}
		}
		if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if addr = parseEntry(value); !addr.IsValid() {
			return netip.Addr{}
		}
	}
	return addr
}

// parseEntry gives the address in s, which may have a port. It is not valid if
// s is anything else, or the unspecified address.
func parseEntry(s string) netip.Addr {
	host := s
	if n := len(s); n >= 2 && s[0] == '[' && s[n-1] == ']' {
		host = s[1 : n-1]
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}
		}
		addr = withPort.Addr()
	}
	if addr.IsUnspecified() {
		return netip.Addr{}
	}
	return plain(addr)
}

// plain makes addresses that are the same the same value.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
