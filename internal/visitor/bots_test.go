package visitor

import (
	"regexp"
	"strings"
	"testing"
)

// naive reads the lists as they are meant, and compares all patterns.
func naive(t testing.TB) func(string) string {
	t.Helper()
	type line struct {
		reason  string
		pattern *regexp.Regexp
	}
	var lines []line
	left := map[string]bool{}
	known := map[string]bool{}
	reasons := map[string]bool{Crawler: true, AI: true, Feed: true, Headless: true, Monitor: true, Preview: true, Scanner: true, program: true, people: true}
	for text := range strings.SplitSeq(ownBots+listedBots, "\n") {
		if text == "" || text[0] == '#' {
			continue
		}
		reason, pattern, ok := strings.Cut(text, "\t")
		if !ok || !reasons[reason] {
			t.Fatalf("line %q of the lists has no reason that is known", text)
		}
		known[pattern] = known[pattern] || reason != people
		if reason == people {
			left[pattern] = true
		} else if !left[pattern] {
			lines = append(lines, line{reason, regexp.MustCompile(pattern)})
		}
	}
	for pattern := range left {
		if !known[pattern] {
			t.Errorf("%q is left out, and is not in the list any more", pattern)
		}
	}
	return func(userAgent string) string {
		for _, l := range lines {
			if l.pattern.MatchString(userAgent) {
				return l.reason
			}
		}
		return ""
	}
}

// The fast search finds what a comparison with all patterns does.
func TestPatterns(t *testing.T) {
	want := naive(t)
	userAgents := []string{ // with what expressions mean and not only texts
		"curl/8.5.0", "x curl/8.5.0", "Wget/1", "wget/1", "AdsBot-Google", "AdsBot-Google-Mobile", "AdsBot-Google (+http)",
		"sentry/1", "x sentry/1", "xsentry/1", "PTST/1", " PTST/1", "SISTRIX Crawler", "sistrix crawler", "Sistrix crawler", "AhrefsBot", "AhrefsSiteAudit",
		"Ahrefs", "SEmrushBot", "Semrushbot", "Automaton", "Newsify Feed Fetcher", "netumo", "Netumo", "Chirp", "gotosocial",
		"Current 1 RSS Reader", "BlogTraffic/1.0 Feed-Fetcher", "BlogTraffic/1.0 Feed", "SSL Labs", "SSL Labs x", "", "a", "ab",
	}
	// All of them would take a minute with the race detector.
	for i, userAgent := range append(readSample(t, "bots.txt"), readSample(t, "people.txt")...) {
		if i%8 == 0 {
			userAgents = append(userAgents, userAgent)
		}
	}
	for _, userAgent := range userAgents {
		if got, _ := agents().bots.of(userAgent); got != want(userAgent) {
			t.Errorf("%s: %q, and not %q", userAgent, got, want(userAgent))
		}
	}
}

// allFixed has the fixed strings of all patterns that consist of more.
func allFixed(b *bots) string {
	var all strings.Builder
	for _, p := range b.patterns {
		if p.full != nil {
			all.WriteString(p.fixed)
		}
	}
	return strings.Repeat(all.String(), 10)
}

// However often the fixed string of a pattern stands in an agent, its
// expression is tried once.
func TestPatternsAreTriedOnce(t *testing.T) {
	b := agents().bots
	full := 0
	for _, p := range b.patterns {
		if p.full != nil {
			full++
		}
	}
	tried := func(userAgent string) (n int) {
		for _, i := range b.appendLikely(nil, userAgent) {
			if b.patterns[i].full != nil {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		userAgent string
		most      int
	}{
		{strings.Repeat("rawler", 341), tried("rawler")},
		{allFixed(b), full},
	} {
		if n := tried(c.userAgent); n == 0 || n > c.most {
			t.Errorf("%d expressions are tried, and not at most %d: %.80s", n, c.most, c.userAgent)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	want := naive(f)
	for _, userAgent := range readSample(f, "bots.txt")[:10] {
		f.Add(userAgent)
	}
	f.Add("x\xff\x00Googlebot/")
	f.Fuzz(func(t *testing.T, userAgent string) {
		if len(userAgent) > 500 {
			t.Skip("comparing all patterns takes too long")
		}
		if got, _ := agents().bots.of(userAgent); got != want(userAgent) {
			t.Errorf("%q: %q, and not %q", userAgent, got, want(userAgent))
		}
	})
}
