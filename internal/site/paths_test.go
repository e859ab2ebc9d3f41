package site

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPathRules(t *testing.T) {
	slash, small := PathRules{StripSlash: true}, PathRules{Lower: true}
	patterns := PathRules{Patterns: []string{"/user/new", "/user/*", "/user/*/edit", "/user/*/post/*", "/a/**", "/*/x"}}
	every := PathRules{StripSlash: true, Lower: true, Patterns: []string{"/user/*"}}
	for _, c := range []struct {
		rules      PathRules
		path, want string
	}{
		{PathRules{}, "/Any/Path/", "/Any/Path/"},
		{slash, "/", "/"},
		{slash, "/a/", "/a"},
		{slash, "/a//", "/a"},
		{slash, "//", "/"},
		{slash, "/a", "/a"},
		{slash, "", ""},
		{small, "/Über/UNS", "/über/uns"},
		{small, "/Ⱥ/A", "/Ⱥ/a"}, // its small form is longer
		{patterns, "/user/4711", "/user/*"},
		{patterns, "/user/new", "/user/new"},
		{patterns, "/user/*", "/user/*"},
		{patterns, "/user", "/user"},
		{patterns, "/user/", "/user/"},
		{patterns, "/user/1/", "/user/1/"},
		{patterns, "/user/1/edit", "/user/*/edit"},
		{patterns, "/user/1/edit/2", "/user/1/edit/2"},
		{patterns, "/user//edit", "/user//edit"},
		{patterns, "/user/1/post/2", "/user/*/post/*"},
		{patterns, "/User/1", "/User/1"},
		{patterns, "/users/1", "/users/1"},
		{patterns, "/a", "/a"},
		{patterns, "/a/", "/a/"},
		{patterns, "/a/1", "/a/**"},
		{patterns, "/a/1/2/3", "/a/**"},
		{patterns, "/b/x", "/*/x"},
		{patterns, "/a/x", "/a/**"}, // the first that matches
		{patterns, "/", "/"},
		{patterns, "", ""},
		{every, "/USER/1/", "/user/*"},
	} {
		check(t, c.rules.Validate())
		if got := c.rules.Apply(c.path); got != c.want {
			t.Errorf("%+v: %q is %q, want %q", c.rules, c.path, got, c.want)
		}
		if n := testing.AllocsPerRun(10, func() { c.rules.Apply(c.want) }); n != 0 {
			t.Errorf("%+v: %q, which stays, allocates %.0f times", c.rules, c.want, n)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestBadPathRules(t *testing.T) {
	for says, rules := range map[string]PathRules{
		`pattern "user/*" does not begin with /`:     {Patterns: []string{"user/*"}},
		`pattern "" does not begin with /`:           {Patterns: []string{""}},
		`pattern "*" does not begin with /`:          {Patterns: []string{"*"}},
		`has a * in "user-*"`:                        {Patterns: []string{"/user-*"}},
		`has a * in "***"`:                           {Patterns: []string{"/***"}},
		"has ** before its end":                      {Patterns: []string{"/**/edit"}},
		"write /user/*":                              {Lower: true, Patterns: []string{"/User/*"}},
		"ends with /, and the paths do not":          {StripSlash: true, Patterns: []string{"/user/*/"}},
		"has a character that no path has":           {Patterns: []string{"/a?b"}},
		`pattern "/a\x00" has a character`:           {Patterns: []string{"/a\x00"}},
		`pattern "/\xff" has a character`:            {Patterns: []string{"/\xff"}},
		fmt.Sprintf("has %d bytes", MaxPattern+1):    {Patterns: []string{"/" + strings.Repeat("a", MaxPattern)}},
		fmt.Sprintf("%d patterns of", MaxPatterns+1): {Patterns: make([]string, MaxPatterns+1)},
	} {
		if err := rules.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want an error with %s", err, says)
		}
	}
	check(t, (&PathRules{Patterns: []string{"/", "/**", "/user/*/", "/" + strings.Repeat("a", MaxPattern-1)}}).Validate())
}

// TestSmallStaysSmall holds what Apply needs of Unicode: small letters have no
// smaller ones.
func TestSmallStaysSmall(t *testing.T) {
	for r := range rune(unicode.MaxRune) {
		if once := lower(string(r)); lower(once) != once || len(once) > utf8.RuneLen(r) && utf8.ValidRune(r) {
			t.Errorf("%q is %q, and that is %q", r, once, lower(once))
		}
	}
}

// refMatches is what a pattern means, written down another way.
func refMatches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	if last := len(want) - 1; want[last] == "**" {
		if len(got) <= last || len(got) == last+1 && got[last] == "" {
			return false
		}
		want, got = want[:last], got[:last]
	}
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && (want[i] != "*" || got[i] == "") {
			return false
		}
	}
	return true
}

func TestPathsByModel(t *testing.T) {
	segment := rapid.SampledFrom([]string{"", "a", "B", "user", "*", "**", "é"})
	pattern := rapid.Map(rapid.SliceOfN(segment, 1, 4), func(s []string) string { return "/" + strings.Join(s, "/") })
	rapid.Check(t, func(t *rapid.T) {
		rules := PathRules{StripSlash: rapid.Bool().Draw(t, "strip"), Lower: rapid.Bool().Draw(t, "lower"),
			Patterns: rapid.SliceOfN(pattern, 0, 6).Draw(t, "patterns")}
		if rules.Validate() != nil {
			t.Skip("not valid")
		}
		path := pattern.Draw(t, "path")
		got := rules.Apply(path)
		if again := rules.Apply(got); again != got {
			t.Fatalf("%+v: %q is %q, and that is %q", rules, path, got, again)
		}
		if rules.Lower {
			path = lower(path)
		}
		if rules.StripSlash {
			path = stripSlash(path)
		}
		want, is := path, false
		for _, p := range rules.Patterns {
			is = is || p == path
		}
		for i := len(rules.Patterns) - 1; i >= 0 && !is; i-- {
			if refMatches(rules.Patterns[i], path) {
				want = rules.Patterns[i]
			}
		}
		if got != want {
			t.Fatalf("%+v: %q is %q, want %q", rules, path, got, want)
		}
	})
}

// FuzzApply: rules applied twice give what they gave, which is no longer.
func FuzzApply(f *testing.F) {
	f.Add(true, true, "/user/*,/a/**", "/USER/1/")
	f.Add(false, false, "/user/*,/user/**", "/user/**/")
	f.Add(false, true, "/*/*,/a/**,/b", "/ȺȾ//")
	f.Fuzz(func(t *testing.T, strip, lower bool, patterns, path string) {
		rules := PathRules{StripSlash: strip, Lower: lower}
		if patterns != "" {
			rules.Patterns = strings.Split(patterns, ",")
		}
		valid := rules.Validate() == nil
		once := rules.Apply(path)
		if !valid || !utf8.ValidString(path) {
			return
		}
		if twice := rules.Apply(once); twice != once {
			t.Errorf("%+v: %q is %q, and that is %q", rules, path, once, twice)
		}
		if len(once) > max(len(path), MaxPattern) {
			t.Errorf("%+v: %d bytes are %d", rules, len(path), len(once))
		}
	})
}

func BenchmarkApply(b *testing.B) {
	rules := PathRules{StripSlash: true, Lower: true}
	for n := range 10 {
		rules.Patterns = append(rules.Patterns, fmt.Sprintf("/section%d/*/item/*", n))
	}
	for b.Loop() {
		rules.Apply("/section9/4711/item/4712/")
	}
}
