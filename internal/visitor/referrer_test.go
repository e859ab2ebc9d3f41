package visitor

import (
	"strings"
	"testing"
)

func TestReferrer(t *testing.T) {
	for _, c := range []struct{ referrer, own, want string }{
		{"https://www.google.com/", "shop.example", "Google"},
		{"https://www.google.co.uk/search?q=my+secret+illness", "shop.example", "Google"},
		{"https://news.google.com/articles/1", "shop.example", "Google News"},
		{"https://mail.google.com/mail/u/0/", "shop.example", "Gmail"},
		{"https://l.facebook.com/l.php?u=https%3A%2F%2Fshop.example", "shop.example", "Facebook"},
		{"https://lm.facebook.com/", "shop.example", "Facebook"},
		{"https://t.co/abc", "shop.example", "Twitter"},
		{"https://out.reddit.com/", "shop.example", "Reddit"},
		{"https://de.wikipedia.org/wiki/Daybook", "shop.example", "Wikipedia"},
		{"https://duckduckgo.com/", "shop.example", "DuckDuckGo"},
		{"https://chatgpt.com/", "shop.example", "ChatGPT"},
		{"https://www.youtube.com/watch?v=1", "shop.example", "YouTube"},
		{"HTTPS://WWW.Bing.COM./", "shop.example", "Bing"},
		{"android-app://com.google.android.gm/", "shop.example", "Gmail"},
		{"android-app://com.example.reader", "shop.example", "com.example.reader"},

		{"https://www.other.example/path?session=1#top", "shop.example", "other.example"},
		{"http://anna:secret@other.example:8080/", "shop.example", "other.example"},
		{"https://blog.shop.example/", "shop.example", "blog.shop.example"},
		{"https://other.example?token=secret", "shop.example", "other.example"},
		{`https://other.example\@google.com/`, "shop.example", "other.example"},
		{"https://other.example/%zz", "shop.example", "other.example"},
		{"https://xn--bcher-kva.example/", "shop.example", "xn--bcher-kva.example"},
		{"https://bücher.example/", "shop.example", "bücher.example"},
		{"https://a_b.example/", "shop.example", "a_b.example"},

		// Numbers of machines.
		{"https://[2001:db8::1]:8080/", "shop.example", ""},
		{"http://192.0.2.1/router", "shop.example", ""},
		{"http://anna@192.0.2.1:8080", "shop.example", ""},
		{"http://3221225985/", "shop.example", ""},
		{"http://0xc0.0x2.1/", "shop.example", ""},
		{"192.0.2.1", "shop.example", ""},
		{"192.0.2.1/router", "shop.example", ""},
		{"192.0.2.1.", "shop.example", ""},
		{"2001:db8::1", "shop.example", ""},
		{"[2001:db8::1]", "shop.example", ""},
		{"fe80::1%eth0", "shop.example", ""},

		// What follows a host though nothing separates it as it should.
		{"https%3A%2F%2Fmail.example%2F%3Fq%3Dsecret%26email%3Djoe%40x.example", "shop.example", "https"},
		{"https://a.example%2Fpath%3Ftoken%3Dabc", "shop.example", "a.example"},
		{"https://a.example;sid=123/", "shop.example", "a.example"},
		{"https://a.example&token=x", "shop.example", "a.example"},
		{"https://a.example and more", "shop.example", "a.example"},
		{"https://shop.example;sid=123/", "shop.example", ""},
		{"https://notgoogle.com/", "shop.example", "notgoogle.com"},
		{"https://google.com.evil.example/", "shop.example", "google.com.evil.example"},

		{"https://shop.example/cart", "shop.example", ""},
		{"https://www.shop.example/cart", "shop.example", ""},
		{"https://Shop.Example:8443/cart", "www.shop.example", ""},
		{"http://localhost:3000/", "localhost:3000", ""},
		{"https://www.google.com/", "www.google.com", ""},
		{"https://", "shop.example", ""},
		{"https:///path", "shop.example", ""},
		{"https://other.example/", "", "other.example"},

		{"", "shop.example", ""},
		{"newsletter", "shop.example", "newsletter"},
		{"Spring sale", "shop.example", "Spring sale"},
		{"other.example", "shop.example", "other.example"},
		{"campaign: spring", "shop.example", "campaign"},
		{"other.example/reset/secret", "shop.example", "other.example"},
		{"/account?token=secret", "shop.example", ""},
		{"newsletter?user=anna", "shop.example", "newsletter"},
		{"newsletter%3Fuser=anna", "shop.example", "newsletter"},
		{"session=abc123", "shop.example", "session"},
		{"version 1.2", "shop.example", "version 1.2"},
		{"mailto:anna@example.org", "shop.example", "mailto"},
		{"tel:+4930123456", "shop.example", "tel"},
		{"anna@example.org", "shop.example", ""},
		{"javascript:alert(1)", "shop.example", "javascript"},
	} {
		if got := Referrer(c.referrer, c.own); got != c.want {
			t.Errorf("Referrer(%q, %q) = %q, and not %q", c.referrer, c.own, got, c.want)
		}
	}
}

// The names of the lists are themselves kept as they are, since they are sent
// again with the events of an export.
func TestReferrerNames(t *testing.T) {
	for host, name := range referrers {
		if got := Referrer(name, ""); got != name {
			t.Errorf("Referrer(%q) = %q", name, got)
		}
		if got := Referrer("https://"+host, ""); got != name {
			t.Errorf("Referrer(https://%s) = %q, and not %q", host, got, name)
		}
	}
}

// Nothing stays of a referrer but its host or a name, and that stays.
func FuzzReferrer(f *testing.F) {
	f.Add("https://u:p@host.example:1/p?q#f", "shop.example")
	f.Add("a://@:@//?#", "")
	f.Add(`x:\\y`, "y")
	f.Add("http://[::1]/x", "")
	f.Add("http://[::1", "")
	f.Add("http://1.2.3.4./", "")
	f.Add("https%3A%2F%2Fa.example", "")
	f.Fuzz(func(t *testing.T, referrer, own string) {
		got := Referrer(referrer, own)
		if strings.ContainsAny(got, "?#@/\\%=") {
			t.Errorf("Referrer(%q, %q) = %q", referrer, own, got)
		}
		if again := Referrer(got, own); again != got {
			t.Errorf("Referrer(%q, %q) = %q, and of that %q", referrer, own, got, again)
		}
	})
}

func BenchmarkReferrer(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Referrer("https://www.some.thing.example/path?q=1", "shop.example")
	}
}
