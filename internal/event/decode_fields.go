package event

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/daybook-analytics/daybook/rollup"
)

// Limits of an event's fields; those of text are in bytes.
const (
	MaxSite     = 128
	MaxID       = 128
	MaxUser     = 256
	MaxType     = 128
	MaxPath     = 2048 // after it is normalized
	MaxReferrer = 2048
	// MaxValue holds for every dimension that has no limit of its own.
	MaxValue = 256
	// MaxAgent is that of user_agent, which is not kept.
	MaxAgent = 2048
	// maxClientIP is that of client_ip: an IPv6 address with a zone.
	maxClientIP = 64
	// MaxAhead is how far a timestamp may be ahead of the server's clock.
	MaxAhead = 10 * time.Minute
)

// The numbers of the fields; those of the dimensions come last, that of
// rollup.Bot among them, which no sender can give.
const (
	fieldSite = iota
	fieldID
	fieldUser
	fieldTime
	fieldDimensions

	fieldType     = fieldDimensions + int(rollup.EventType)
	fieldPath     = fieldDimensions + int(rollup.Path)
	fieldReferrer = fieldDimensions + int(rollup.Referrer)

	// What is told of the visitor, and not kept.
	fieldAgent    = fieldDimensions + int(rollup.NumDimensions)
	fieldClientIP = fieldAgent + 1
	numFields     = fieldClientIP + 1
)

// rule says what is right in a field of text.
type rule struct {
	name     string // empty: the field cannot be given
	required bool
	min, max int // bytes
}

// fields are the rules, in the order in which they are checked.
var fields = func() [numFields]rule {
	rules := [numFields]rule{
		fieldSite:     {name: "site_id", required: true, min: 1, max: MaxSite},
		fieldID:       {name: "event_id", min: 1, max: MaxID},
		fieldUser:     {name: "user_id", max: MaxUser},
		fieldTime:     {name: "timestamp"},
		fieldType:     {required: true, min: 1, max: MaxType},
		fieldPath:     {max: MaxPath},
		fieldReferrer: {max: MaxReferrer},
		fieldAgent:    {name: "user_agent", max: MaxAgent},
		fieldClientIP: {name: "client_ip", max: maxClientIP},
	}
	for dim := range rollup.NumDimensions {
		r := &rules[fieldDimensions+int(dim)]
		if dim != rollup.Bot {
			r.name = dim.String()
		}
		if r.max == 0 {
			r.max = MaxValue
		}
	}
	return rules
}()

// FieldNames lists the fields of an event that can be given and are kept, by
// their names in JSON.
func FieldNames() []string {
	var names []string
	for _, r := range fields[:fieldAgent] {
		if r.name != "" {
			names = append(names, r.name)
		}
	}
	return names
}

// VisitorFieldNames lists those that can be given and are not kept.
func VisitorFieldNames() []string {
	return []string{fields[fieldAgent].name, fields[fieldClientIP].name}
}

// fieldNumbers finds a field by its name.
var fieldNumbers = func() map[string]int {
	numbers := make(map[string]int, numFields)
	for f, r := range fields {
		if r.name != "" {
			numbers[r.name] = f
		}
	}
	return numbers
}()

// event checks and normalizes the values that were read, and makes the event
// of them.
func (d *Decoder) event(now time.Time) (Sent, error) {
	host := d.normalizePath()
	for f := range fields {
		if bad := d.check(f); bad != nil {
			return Sent{}, bad
		}
	}
	at, bad := d.time(now)
	if bad != nil {
		return Sent{}, bad
	}
	address, bad := d.clientIP()
	if bad != nil {
		return Sent{}, bad
	}

	text := string(d.text)
	part := func(f int) string { return text[d.values[f].start:d.values[f].end] }
	e := Sent{
		Event:     Event{ID: part(fieldID), Site: part(fieldSite), User: part(fieldUser), Time: at},
		Host:      text[host.start:host.end],
		UserAgent: part(fieldAgent),
		ClientIP:  address,
	}
	for dim := range e.Values {
		e.Values[dim] = part(fieldDimensions + dim)
	}
	if e.Type() == rollup.PageView && e.Values[rollup.Path] == "" {
		e.Values[rollup.Path] = "/"
	}
	return e, nil
}

// textOf is what is given for a field, unquoted.
func (d *Decoder) textOf(f int) []byte {
	return d.text[d.values[f].start:d.values[f].end]
}

// check holds a field against its rule. The timestamp is left to time.
func (d *Decoder) check(f int) *FieldError {
	if f == fieldTime {
		return nil
	}
	r := &fields[f]
	text := d.textOf(f)
	var problem string
	switch {
	case !d.values[f].given:
		if !r.required {
			return nil
		}
		problem = "is missing"
	case len(text) == 0 && r.min > 0:
		problem = "is empty"
	case len(text) > r.max:
		problem = fmt.Sprintf("is %d bytes long", len(text))
	case f == fieldSite && bytes.ContainsFunc(text, notInSite):
		problem = "has a character that is not allowed"
	case hasControl(text):
		problem = "has a control character"
	default:
		return nil
	}
	return &FieldError{Field: r.name, Value: string(text), Problem: problem, Allowed: r.allowed(f)}
}

// allowed is what the rule allows, in words.
func (r *rule) allowed(f int) string {
	switch {
	case f == fieldSite:
		return fmt.Sprintf("%d to %d letters, digits and . _ : -", r.min, r.max)
	case f == fieldPath:
		return fmt.Sprintf("at most %d bytes without query and fragment", r.max)
	case r.min > 0:
		return fmt.Sprintf("%d to %d bytes without control characters", r.min, r.max)
	}
	return fmt.Sprintf("at most %d bytes without control characters", r.max)
}

// notInSite tells whether a site_id may not have the character.
func notInSite(r rune) bool {
	return !isAlphanumeric(r) && r != '.' && r != '_' && r != ':' && r != '-'
}

func isLetter(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' }

func isAlphanumeric(r rune) bool { return isLetter(r) || '0' <= r && r <= '9' }

// time gives the event's time: the timestamp, or now.
func (d *Decoder) time(now time.Time) (time.Time, *FieldError) {
	if !d.values[fieldTime].given {
		return wholeMillis(now), nil
	}
	var problem, allowed string
	var at time.Time
	switch err := at.UnmarshalText(d.textOf(fieldTime)); {
	case err != nil:
		problem = "is not a time in the form of RFC 3339"
		allowed = "a time such as 2006-01-02T15:04:05Z or 2006-01-02T15:04:05.123+02:00"
	case at.Before(time.Unix(0, 0)):
		problem = "is before 1970"
		allowed = "1970-01-01T00:00:00Z or later"
	case at.After(now.Add(MaxAhead)):
		problem = fmt.Sprintf("is more than %.0f minutes ahead of the server's clock", MaxAhead.Minutes())
		allowed = "a time up to " + wholeMillis(now.Add(MaxAhead)).Format(time.RFC3339)
	default:
		return wholeMillis(at), nil
	}
	return time.Time{}, &FieldError{
		Field:   fields[fieldTime].name,
		Value:   string(d.textOf(fieldTime)),
		Problem: problem,
		Allowed: allowed,
	}
}

// wholeMillis is the time as events keep it.
func wholeMillis(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// clientIP gives the address of the visitor, if the event has one.
func (d *Decoder) clientIP() (netip.Addr, *FieldError) {
	text := d.textOf(fieldClientIP)
	if len(text) == 0 {
		return netip.Addr{}, nil
	}
	address, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Addr{}, &FieldError{
			Field: fields[fieldClientIP].name, Value: string(text),
			Problem: "is no IP address", Allowed: "an address such as 192.0.2.1 or 2001:db8::1",
		}
	}
	return address, nil
}

// normalizePath replaces the path that was given by its normal form: without
// control characters, scheme and host, query and fragment, and beginning with
// a slash. The host that it had is given, and what its query has of utm_source,
// utm_medium and utm_campaign is taken where they are not given themselves.
func (d *Decoder) normalizePath() (host value) {
	path := d.textOf(fieldPath)
	if len(path) == 0 || path[0] == '/' && !hasControl(path) && !bytes.ContainsAny(path, "?#") {
		return value{}
	}
	path = bytes.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, path)
	path, _, _ = bytes.Cut(path, []byte("#"))
	path, query, _ := bytes.Cut(path, []byte("?"))
	origin, path := splitOrigin(path)

	start := len(d.text)
	if len(path) == 0 || path[0] != '/' {
		d.text = append(d.text, '/')
	}
	d.text = append(d.text, path...)
	d.values[fieldPath] = value{given: true, start: start, end: len(d.text)}
	d.takeCampaign(query)
	return d.append(origin)
}

// append puts more text behind that of the values.
func (d *Decoder) append(text []byte) value {
	start := len(d.text)
	d.text = append(d.text, text...)
	return value{given: true, start: start, end: len(d.text)}
}

// campaign are the dimensions that stand in the queries of URLs by their own
// names.
var campaign = []rollup.Dimension{rollup.UTMSource, rollup.UTMMedium, rollup.UTMCampaign}

// takeCampaign takes the campaign of a visit from the query of its URL. Nobody
// has written that for Daybook: what would be wrong in an event is left out.
func (d *Decoder) takeCampaign(query []byte) {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte("&"))
		name, text, _ := bytes.Cut(pair, []byte("="))
		if !bytes.HasPrefix(name, []byte("utm_")) {
			continue
		}
		for _, dim := range campaign {
			f := fieldDimensions + int(dim)
			if string(name) != fields[f].name || len(d.textOf(f)) > 0 {
				continue
			}
			plain, err := url.QueryUnescape(string(text))
			if err != nil || len(plain) > fields[f].max || !utf8.ValidString(plain) || hasControl([]byte(plain)) {
				continue
			}
			d.values[f] = d.append([]byte(plain))
		}
	}
}

// splitOrigin splits the host, with its port, off a URL that begins with a
// scheme.
func splitOrigin(url []byte) (host, path []byte) {
	scheme, rest, found := bytes.Cut(url, []byte("://"))
	if !found || len(scheme) == 0 || !isLetter(rune(scheme[0])) || bytes.ContainsFunc(scheme, notInScheme) {
		return nil, url
	}
	if slash := bytes.IndexByte(rest, '/'); slash >= 0 {
		return rest[:slash], rest[slash:]
	}
	return rest, nil
}

// notInScheme tells whether a URL's scheme may not have the character.
func notInScheme(r rune) bool {
	return !isAlphanumeric(r) && r != '+' && r != '-' && r != '.'
}

// hasControl tells whether valid UTF-8 has a character for which
// unicode.IsControl is true.
func hasControl(text []byte) bool {
	for i, c := range text {
		// U+0080 to U+009F are 0xC2 and a byte below 0xA0.
		if c < 0x20 || c == 0x7f || c == 0xc2 && text[i+1] < 0xa0 {
			return true
		}
	}
	return false
}
