package visitor

import (
	_ "embed"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// The lists of patterns. In each a line is a reason, a tab and a regular
// expression; `#` begins a comment. The first line that fits a user agent
// counts.
var (
	// listedBots is what others keep up to date; scripts/update-lists makes it.
	//go:embed lists/bots.txt
	listedBots string
	// ownBots is what it lacks. It comes first.
	//go:embed lists/bots-own.txt
	ownBots string
)

// Beside the reasons for Bots, lines of the lists have these.
const (
	// program is that of Programs.
	program = "program"
	// people leaves the same pattern of the other list out, because people's
	// browsers fit it.
	people = "people"
)

// bots finds the patterns that fit a user agent. There are many, but nearly
// all contain a fixed string: they are found by its first bytes, and compared
// in full only where these are.
type bots struct {
	patterns []botPattern // in the order of the lists
	// byStart has the patterns by the first bytes of their fixed string.
	byStart map[[startLength]byte][]int
}

// startLength is how many bytes of a fixed string are looked up.
const startLength = 3

type botPattern struct {
	reason, fixed string
	// full is the whole pattern; nil if that is the fixed string.
	full *regexp.Regexp
}

// newBots reads lists, which are part of the program: a line that is wrong is
// a mistake in it, and panics.
func newBots(lists ...string) *bots {
	b := &bots{byStart: map[[startLength]byte][]int{}}
	left := map[string]bool{}
	for _, list := range lists {
		for line := range strings.Lines(list) {
			line = strings.TrimSuffix(line, "\n")
			if line == "" || line[0] == '#' {
				continue
			}
			reason, pattern, _ := strings.Cut(line, "\t")
			if reason == people {
				left[pattern] = true
			} else if !left[pattern] {
				b.add(reason, pattern)
			}
		}
	}
	return b
}

func (b *bots) add(reason, pattern string) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		panic(fmt.Sprintf("pattern %q of bots: %v", pattern, err))
	}
	alternatives := []*syntax.Regexp{parsed}
	if parsed.Op == syntax.OpAlternate {
		alternatives = parsed.Sub
	}
	for _, one := range alternatives {
		p := botPattern{reason: reason, fixed: fixed(one)}
		if len(p.fixed) < startLength {
			panic(fmt.Sprintf("pattern %q of bots has no fixed string of %d bytes", pattern, startLength))
		}
		if one.Op != syntax.OpLiteral {
			p.full = regexp.MustCompile(one.String())
		}
		start := [startLength]byte([]byte(p.fixed))
		b.byStart[start] = append(b.byStart[start], len(b.patterns))
		b.patterns = append(b.patterns, p)
	}
}

// fixed gives the longest string that whatever fits the expression contains.
func fixed(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return string(re.Rune)
		}
	case syntax.OpConcat, syntax.OpCapture:
		longest := ""
		for _, part := range re.Sub {
			if s := fixed(part); len(s) > len(longest) {
				longest = s
			}
		}
		return longest
	}
	return ""
}

// of gives the reason of the first pattern that fits.
func (b *bots) of(userAgent string) (reason string, ok bool) {
	var buffer [16]int
	for _, n := range b.appendLikely(buffer[:0], userAgent) {
		if p := &b.patterns[n]; p.full == nil || p.full.MatchString(userAgent) {
			return p.reason, true
		}
	}
	return "", false
}

// appendLikely appends the patterns whose fixed strings a user agent contains,
// in the order of the lists and each once: whoever sends an agent of nothing
// but such strings must not have an expression tried at each of them.
func (b *bots) appendLikely(likely []int, userAgent string) []int {
	for i := range len(userAgent) - startLength + 1 {
		rest := userAgent[i:]
		for _, n := range b.byStart[[startLength]byte{rest[0], rest[1], rest[2]}] {
			if strings.HasPrefix(rest, b.patterns[n].fixed) {
				likely = append(likely, n)
			}
		}
	}
	slices.Sort(likely)
	return slices.Compact(likely)
}

// namesItselfBot tells whether what says that it is a browser says also that
// it is a bot: by a word for it, or by the address of a page about it after a
// plus, as only bots have it.
func namesItselfBot(userAgent string) bool {
	lower := strings.ToLower(userAgent)
	if strings.Contains(lower, "+http") {
		return true
	}
	lower = withoutModel(lower)
	for _, word := range []string{"crawl", "spider", "scraper"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	for rest := lower; ; {
		before, after, ok := strings.Cut(rest, "bot")
		if !ok {
			return false
		}
		if strings.HasSuffix(before, "cu") { // the maker of phones, which apps name anywhere
			rest = after
			continue
		}
		if after == "" || after[0] < 'a' || after[0] > 'z' { // words go on behind it, as in "bottom"
			return true
		}
		rest = after
	}
}

// withoutModel gives a user agent in lower case without what Android says of
// the device, "(Linux; Android 14; CUBOT X18)", since models have all sorts of
// names.
func withoutModel(lower string) string {
	before, rest, _ := strings.Cut(lower, "(linux; ")
	device, behind, ok := strings.Cut(rest, ")")
	if ok && !strings.Contains(device, "compatible;") && (strings.Contains(device, "android ") || strings.Contains(device, "adr ")) { // UC Browser writes "Adr"
		return before + behind
	}
	return lower
}
