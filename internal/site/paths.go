package site

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of the patterns of a site's paths.
const (
	MaxPatterns = 50
	// MaxPattern is the most bytes of one of them.
	MaxPattern = 200
)

// Wildcards of a pattern.
const (
	oneSegment  = "*"
	allSegments = "**"
)

// PathRules make of the paths of a site's events those that are kept, so that
// what is one page to the site's owner is one path. The zero value leaves them
// as they are. A path is what events have: it begins with / and has no query.
type PathRules struct {
	// StripSlash takes slashes off the end, but not off the path "/".
	StripSlash bool `json:"strip_slash,omitempty"`
	// Lower makes all letters small.
	Lower bool `json:"lower,omitempty"`
	// Patterns replace the paths that they match, after that; the first that
	// matches does. A segment "*" is any one segment that is not empty, and
	// "**" at the end one segment or more: "/user/*/edit", "/archive/**".
	Patterns []string `json:"patterns,omitempty"`
}

// Validate tells what is wrong with the rules.
func (p *PathRules) Validate() error {
	if len(p.Patterns) > MaxPatterns {
		return fmt.Errorf("%d patterns of paths: a site can have %d", len(p.Patterns), MaxPatterns)
	}
	for _, pattern := range p.Patterns {
		if problem := p.check(pattern); problem != "" {
			return fmt.Errorf("pattern %.100q %s", pattern, problem)
		}
	}
	return nil
}

// check tells what is wrong with a pattern; "" is nothing.
func (p *PathRules) check(pattern string) string {
	segments := strings.Split(pattern, "/")
	last := len(segments) - 1
	switch {
	case segments[0] != "" || last == 0:
		return "does not begin with /"
	case len(pattern) > MaxPattern:
		return fmt.Sprintf("has %d bytes, and %d is the most", len(pattern), MaxPattern)
	case !utf8.ValidString(pattern) || strings.ContainsFunc(pattern, unicode.IsControl) || strings.ContainsAny(pattern, "?#"):
		return "has a character that no path has: paths are without ?, # and control characters"
	case p.Lower && lower(pattern) != pattern:
		return "has capital letters, and the paths have none when they are compared: write " + lower(pattern)
	case p.StripSlash && stripSlash(pattern) != pattern:
		return "ends with /, and the paths do not when they are compared: write " + stripSlash(pattern)
	case slices.Contains(segments[:last], allSegments):
		return "has ** before its end: it stands for all that follows"
	}
	for _, s := range segments {
		if strings.Contains(s, "*") && s != oneSegment && s != allSegments {
			return fmt.Sprintf("has a * in %.40q, and it stands for a whole segment: write /*/", s)
		}
	}
	return ""
}

// Apply gives the path that is kept of a path in valid UTF-8. It is never
// longer than the path and the longest pattern, and applying the rules to it
// again changes nothing. It allocates only where the path changes.
func (p *PathRules) Apply(path string) string {
	if p.Lower {
		path = lower(path)
	}
	if p.StripSlash {
		path = stripSlash(path)
	}
	// What was replaced already stays: a pattern may match others as well.
	if slices.Contains(p.Patterns, path) {
		return path
	}
	for _, pattern := range p.Patterns {
		if matches(pattern, path) {
			return pattern
		}
	}
	return path
}

// lower makes letters small, except the few whose small form is longer.
func lower(path string) string {
	return strings.Map(func(r rune) rune {
		small := unicode.ToLower(r)
		if utf8.RuneLen(small) > utf8.RuneLen(r) {
			return r
		}
		return small
	}, path)
}

func stripSlash(path string) string {
	if stripped := strings.TrimRight(path, "/"); stripped != "" || path == "" {
		return stripped
	}
	return "/"
}

// matches tells whether a pattern matches a path, segment by segment.
func matches(pattern, path string) bool {
	for {
		want, wantRest, wantMore := strings.Cut(pattern, "/")
		if want == allSegments && !wantMore {
			return path != ""
		}
		segment, rest, more := strings.Cut(path, "/")
		switch {
		case more != wantMore:
			return false
		case segment != want && (want != oneSegment || segment == ""):
			return false
		case !more:
			return true
		}
		pattern, path = wantRest, rest
	}
}
