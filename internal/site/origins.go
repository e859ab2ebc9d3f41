package site

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MaxOrigins is the most web origins that a site may allow.
const MaxOrigins = 100

// subdomains, before the host of an allowed origin, stands for all that is
// below it.
const subdomains = "*."

// ParseOrigin gives the form in which an allowed web origin is kept: that which
// browsers send, so that the two are compared as they are. The error says what
// is wrong with it.
//
// It is a scheme, http or https, a host, and a port unless that is the usual
// one of the scheme. "https://*.shop.example" is every subdomain, at any depth,
// and not the domain itself.
func ParseOrigin(origin string) (string, error) {
	const right = "right is https://shop.example, or https://*.shop.example for all subdomains"
	wrong := func(problem string) (string, error) {
		return "", fmt.Errorf("origin %.100q %s: %s", origin, problem, right)
	}
	scheme, rest, ok := strings.Cut(strings.ToLower(origin), "://")
	if !ok || scheme != "https" && scheme != "http" {
		return wrong("does not begin with https:// or http://")
	}
	if at := strings.IndexAny(rest, "/?#@"); at >= 0 {
		return wrong(fmt.Sprintf("has a %q, and is of scheme, host and port alone", rest[at]))
	}
	host, port := rest, ""
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		host, port = rest[:colon], rest[colon+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return wrong(fmt.Sprintf("has a port %.20q, and there are 1 to 65535", port))
		}
	}
	if literal, ok := strings.CutPrefix(host, "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(literal, "]"))
		if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(literal, "]") {
			return wrong("has in brackets what is no IPv6 address")
		}
		host = "[" + addr.String() + "]"
	} else if problem := checkHost(strings.TrimPrefix(host, subdomains)); problem != "" {
		return wrong(problem)
	}
	if port != "" && !(scheme == "https" && port == "443" || scheme == "http" && port == "80") {
		host += ":" + port
	}
	return scheme + "://" + host, nil
}

// checkHost tells what is wrong with a domain name or IPv4 address in lower
// case; "" is nothing.
func checkHost(host string) string {
	const maxHost, maxLabel = 253, 63
	switch {
	case host == "":
		return "has no host"
	case len(host) > maxHost:
		return fmt.Sprintf("has a host of %d characters, and %d is the most", len(host), maxHost)
	case strings.Contains(host, "*"):
		return "has a * that is not all of the host's first part"
	case strings.ContainsFunc(host, func(r rune) bool { return r > 0x7f }):
		return "has a host with letters that browsers write as xn--…: give it so"
	case !isHost(host):
		return "has a host with characters that no host has"
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabel {
			return fmt.Sprintf("has a host with a part between dots that is empty or longer than %d", maxLabel)
		}
	}
	return ""
}

// isHost tells whether s has only what is in names of hosts.
func isHost(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
	})
}

// ParseOrigins gives the form in which the allowed origins of a site are kept,
// each once; nil is every origin.
func ParseOrigins(origins []string) ([]string, error) {
	var parsed []string
	for _, origin := range origins {
		origin, err := ParseOrigin(origin)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(parsed, origin) {
			parsed = append(parsed, origin)
		}
	}
	if len(parsed) > MaxOrigins {
		return nil, fmt.Errorf("%d origins: a site can allow %d", len(parsed), MaxOrigins)
	}
	return parsed, nil
}

// AllowsOrigin tells whether events of the site may come from pages of a web
// origin, as a browser sends it. A site that names no origins allows all of
// them; one that does never allows "null", the origin of pages that have none.
func (s *Settings) AllowsOrigin(origin string) bool {
	if len(s.Origins) == 0 {
		return true
	}
	for _, allowed := range s.Origins {
		if allowed == origin || isBelow(allowed, origin) {
			return true
		}
	}
	return false
}

// isBelow tells whether an allowed origin is of subdomains, and the other one
// has one of them.
func isBelow(allowed, origin string) bool {
	scheme, domain, wild := strings.Cut(allowed, "*")
	if !wild || len(origin) <= len(scheme)+len(domain) || !strings.HasPrefix(origin, scheme) || !strings.HasSuffix(origin, domain) {
		return false
	}
	return isHost(origin[len(scheme) : len(origin)-len(domain)])
}
