package importer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// accessLine is a line of an access log in the common or combined format of
// Apache and nginx:
//
//	client ident user [time] "request" status bytes "referrer" "agent"
//
// The common format has neither referrer nor agent. Fields behind the agent
// are allowed and left alone.
type accessLine struct {
	client []byte
	time   time.Time
	// request is as it stands in the log, escapes and all; so are referrer
	// and agent.
	request         []byte
	status          int
	combined        bool // has referrer and agent
	referrer, agent []byte
}

// logTime is how access logs write a time.
const logTime = "02/Jan/2006:15:04:05 -0700"

// parseAccessLine takes a line apart. Its errors complete "line 7: ". The
// result's bytes are parts of the line.
func parseAccessLine(line []byte) (accessLine, error) {
	var l accessLine
	client, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || len(client) == 0 {
		return l, errors.New("it has no client address followed by a space")
	}
	l.client = client
	// The user's name may contain spaces, so that the time is what is found
	// next, by its bracket.
	_, rest, ok = bytes.Cut(rest, []byte(" ["))
	if !ok {
		return l, errors.New("it has no time in brackets")
	}
	stamp, rest, ok := bytes.Cut(rest, []byte("] "))
	if !ok {
		return l, errors.New("the time's bracket is not closed")
	}
	var err error
	if l.time, err = time.Parse(logTime, string(stamp)); err != nil {
		return l, fmt.Errorf("the time %.40q is not like 17/May/2015:10:05:03 +0000", stamp)
	}
	if l.request, rest, err = quoted("request", rest); err != nil {
		return l, err
	}
	status, rest, _ := bytes.Cut(bytes.TrimPrefix(rest, []byte(" ")), []byte(" "))
	if l.status, err = strconv.Atoi(string(status)); err != nil || len(status) != 3 {
		return l, fmt.Errorf("the status %.20q is not a number of three digits", status)
	}
	size, rest, more := bytes.Cut(rest, []byte(" "))
	if !isSize(size) {
		return l, fmt.Errorf("the size %.20q is neither a number nor -", size)
	}
	if !more {
		return l, nil
	}
	if l.referrer, rest, err = quoted("referrer", rest); err != nil {
		return l, err
	}
	rest, ok = bytes.CutPrefix(rest, []byte(" "))
	if !ok {
		return l, errors.New("it ends behind the referrer, without a user agent")
	}
	if l.agent, rest, err = quoted("user agent", rest); err != nil {
		return l, err
	}
	if len(rest) > 0 && rest[0] != ' ' {
		return l, fmt.Errorf("the user agent is followed by %.20q: is there a quote in it that is not escaped?", rest)
	}
	l.combined = true
	return l, nil
}

// quoted takes a quoted field off the front of rest. In the field a quote is
// escaped by a backslash (Apache) or written as \x22 (nginx).
func quoted(name string, rest []byte) (field, behind []byte, err error) {
	if len(rest) == 0 || rest[0] != '"' {
		return nil, nil, fmt.Errorf("where the %s belongs, %.20q is no quoted text", name, rest)
	}
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return rest[1:i], rest[i+1:], nil
		}
	}
	return nil, nil, fmt.Errorf("the %s is cut off: its quote is not closed", name)
}

func isSize(b []byte) bool {
	if string(b) == "-" {
		return true
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// splitRequest takes a request line apart into method and target. A client
// of HTTP/0.9 sends no protocol, and a target may contain spaces though it
// should not. What is no request, such as "-" for a connection without one,
// is not ok.
func splitRequest(request []byte) (method, target []byte, ok bool) {
	method, target, ok = bytes.Cut(request, []byte(" "))
	if !ok || len(method) == 0 {
		return nil, nil, false
	}
	for _, c := range method {
		if (c < 'A' || c > 'Z') && c != '-' {
			return nil, nil, false
		}
	}
	if i := bytes.LastIndexByte(target, ' '); i >= 0 && bytes.HasPrefix(target[i+1:], []byte("HTTP/")) {
		target = target[:i]
	}
	return method, target, len(target) > 0
}

// targetPath is the path of a request target: without query and fragment,
// and without the scheme and host of an absolute one.
func targetPath(target []byte) string {
	path := beforeQuery(unescape(target))
	for _, scheme := range []string{"http://", "https://"} {
		if len(path) >= len(scheme) && strings.EqualFold(path[:len(scheme)], scheme) {
			_, path, _ = strings.Cut(path[len(scheme):], "/")
			return "/" + path
		}
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

// maxReferrer is the most bytes of a referrer that are kept.
const maxReferrer = 2048

// referrerURL is the page that a visitor came from, without query and
// fragment, which may be private; empty when there is none.
func referrerURL(field []byte) string {
	if string(field) == "-" {
		return ""
	}
	url := beforeQuery(unescape(field))
	if len(url) <= maxReferrer {
		return url
	}
	cut := maxReferrer
	for !utf8.RuneStart(url[cut]) {
		cut--
	}
	return url[:cut]
}

func beforeQuery(s string) string {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		return s[:i]
	}
	return s
}

// escapes are what Apache writes for control characters.
var escapes = [256]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', 'v': '\v', 'a': '\a'}

// unescape undoes the log's escapes. Bytes that cannot stand in a URL all the
// same, control characters and what is not UTF-8, are percent-encoded, as a
// browser would have sent them.
func unescape(field []byte) string {
	plain := true
	for _, c := range field {
		plain = plain && c >= ' ' && c < 0x7f && c != '\\'
	}
	if plain {
		return string(field)
	}
	raw := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c != '\\' || i+1 == len(field) {
			raw = append(raw, c)
			continue
		}
		i++
		switch c = field[i]; {
		case c == 'x' && i+2 < len(field) && hexDigit(field[i+1]) >= 0 && hexDigit(field[i+2]) >= 0:
			raw = append(raw, byte(hexDigit(field[i+1])<<4|hexDigit(field[i+2])))
			i += 2
		case escapes[c] != 0:
			raw = append(raw, escapes[c])
		case c == '"' || c == '\\':
			raw = append(raw, c)
		default: // no escape after all
			raw = append(raw, '\\', c)
		}
	}
	var s strings.Builder
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		if (r == utf8.RuneError && n == 1) || unicode.IsControl(r) {
			for _, c := range raw[:n] {
				fmt.Fprintf(&s, "%%%02X", c)
			}
		} else {
			s.Write(raw[:n])
		}
		raw = raw[n:]
	}
	return s.String()
}

// hexDigit is the value of a hexadecimal digit, or -1.
func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
