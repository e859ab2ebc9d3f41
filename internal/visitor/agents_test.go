package visitor

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

var agents = sync.OnceValue(NewAgents)

// What people use is told right of what is about today, and of what is about
// still.
func TestPeople(t *testing.T) {
	const (
		windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
		mac     = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
		iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
		android = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
		webview = "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/138.0.7204.63 Mobile Safari/537.36"
	)
	for _, c := range []struct{ browser, os, device, userAgent string }{
		{"Chrome", "Windows", "desktop", windows + "Chrome/140.0.0.0 Safari/537.36"},
		{"Edge", "Windows", "desktop", windows + "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0"},
		{"Opera", "Windows", "desktop", windows + "Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0"},
		{"Vivaldi", "Windows", "desktop", windows + "Chrome/138.0.0.0 Safari/537.36 Vivaldi/7.5.3735.47"},
		{"Yandex Browser", "Windows", "desktop", windows + "Chrome/138.0.0.0 YaBrowser/25.6.0.0 Safari/537.36"},
		{"Whale", "Windows", "desktop", windows + "Whale/4.32 Chrome/138.0.0.0 Safari/537.36"},
		{"Electron", "Windows", "desktop", windows + "Slack/4.44 Chrome/138.0.0.0 Electron/36.2 Safari/537.36"},
		{"Firefox", "Windows", "desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		{"IE", "Windows", "desktop", "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko"},
		{"Safari", "macOS", "desktop", mac + "Version/18.5 Safari/605.1.15"},
		{"DuckDuckGo", "macOS", "desktop", mac + "Version/18.5 Safari/605.1.15 Ddg/18.5"},
		{"Chrome", "ChromeOS", "desktop", "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"},
		{"Firefox", "Linux", "desktop", "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
		{"Firefox", "FreeBSD", "desktop", "Mozilla/5.0 (X11; FreeBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0"},

		{"Safari", "iOS", "mobile", iphone + "Version/18.5 Mobile/15E148 Safari/604.1"},
		{"Safari", "iOS", "tablet", "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"},
		{"Chrome", "iOS", "mobile", iphone + "CriOS/138.0.7204.53 Mobile/15E148 Safari/604.1"},
		{"Firefox", "iOS", "mobile", iphone + "FxiOS/140.0 Mobile/15E148 Safari/605.1.15"},
		{"Edge", "iOS", "mobile", iphone + "Version/18.0 EdgiOS/138.0 Mobile/15E148 Safari/605.1.15"},
		{"DuckDuckGo", "iOS", "mobile", iphone + "Version/18.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15"},
		{"Google App", "iOS", "mobile", iphone + "GSA/375.0 Mobile/15E148 Safari/604.1"},

		{"Chrome", "Android", "mobile", android + "Chrome/140.0.0.0 Mobile Safari/537.36"},
		{"Chrome", "Android", "tablet", android + "Chrome/140.0.0.0 Safari/537.36"},
		{"Samsung Internet", "Android", "mobile", android + "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36"},
		{"Edge", "Android", "mobile", android + "Chrome/140.0.0.0 Mobile Safari/537.36 EdgA/140.0.0.0"},
		{"Opera", "Android", "mobile", android + "Chrome/138.0.0.0 Mobile Safari/537.36 OPR/90.0.0.0"},
		{"Firefox", "Android", "mobile", "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"},
		{"Firefox", "Android", "tablet", "Mozilla/5.0 (Android 15; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0"},
		{"Instagram", "Android", "mobile", "Mozilla/5.0 (Linux; Android 9; CUBOT_X19 Build/PPR1.180610.011; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/79.0.3945.116 Mobile Safari/537.36 Instagram 131.0.0.23.116 Android (28/9; 480dpi; 1080x2016; CUBOT/CUBOT; CUBOT_X19; CUBOT_X19; mt6771; de_DE)"},
		{"Firefox", "Android", "mobile", "Mozilla/5.0 (Android 9; CUBOT X19; Mobile; rv:68.0) Gecko/68.0 Firefox/68.0"},
		{"Chrome", "Android", "mobile", "Mozilla/5.0 (Linux; Android 14; CUBOT X18) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"},
		{"Chrome", "Android", "mobile", "Mozilla/5.0 (Linux; Android 15; moto g robot) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"},
		{"Chrome", "Android", "mobile", "Mozilla/5.0 (Linux; Android 14; Smart Robot 5 Build/UP1A.231005.007) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"},
		{"UC Browser", "Android", "mobile", "UCWEB/2.0 (Linux; U; Adr 5.1; en-US; CUBOT NOTE S) U2/1.0.0 UCBrowser/10.7.0.636 U2/1.0.0 Mobile"},
		{"UC Browser", "Android", "mobile", "Mozilla/5.0 (Linux; U; Android 14; en-US; RMX3710) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/123.0.6312.80 UCBrowser/14.2 Mobile Safari/537.36"},
		{"Mi Browser", "Android", "mobile", "Mozilla/5.0 (Linux; U; Android 14; zh-cn; 23078RKD5C Build/UKQ1) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/123.0 Mobile Safari/537.36 XiaoMi/MiuiBrowser/19.5"},
		{"Huawei Browser", "HarmonyOS", "mobile", "Mozilla/5.0 (Linux; Android 14; HarmonyOS) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114 HuaweiBrowser/15.0 Mobile Safari/537.36"},
		{"Amazon Silk", "Android", "tablet", "Mozilla/5.0 (Linux; Android 11; KFTRWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/138.1.1 like Chrome/138.0.0.0 Safari/537.36"},
		{"Opera Mini", "Android", "mobile", "Opera/9.80 (Android; Opera Mini/36.2/191.256; U; en) Presto/2.12.423 Version/12.16"},
		{"Firefox", "KaiOS", "mobile", "Mozilla/5.0 (Mobile; Nokia 8110 4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5"},
		{"Edge", "Windows Phone", "mobile", "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0 Mobile Safari/537.36 Edge/15.15063"},

		// The browsers of apps.
		{"Android WebView", "Android", "mobile", webview},
		{"Facebook", "Android", "mobile", webview + " [FB_IAB/FB4A;FBAV/520.0.0.43.109;]"},
		{"Facebook", "Android", "mobile", webview + " [FBAN/EMA;FBLC/en_US;FBAV/449.0.0.11.109;] MetaIAB Facebook"},
		{"Facebook", "iOS", "mobile", iphone + "Mobile/22F76 [FBAN/FBIOS;FBAV/520.0.0.38.101;FBDV/iPhone14,5;FBID/phone;FBLC/en_US;FBOP/80]"},
		{"Instagram", "iOS", "mobile", iphone + "Mobile/22F76 Instagram 386.0.0.33.84 (iPhone14,5; iOS 18_5; en_US; en; scale=3.00; 1170x2532; 752373190)"},
		{"LINE", "iOS", "mobile", iphone + "Mobile/15E148 Safari Line/15.9.0"},
		{"WeChat", "iOS", "mobile", iphone + "Mobile/15E148 MicroMessenger/8.0.60(0x18003c2b) NetType/WIFI Language/zh_CN"},
		{"TikTok", "iOS", "mobile", iphone + "Mobile/22F76 musical_ly_40.4.0 BytedanceWebview/d8a21c6"},
		{"Snapchat", "iOS", "mobile", iphone + "Mobile/15E148 Snapchat/13.45 (like Safari/8621)"},
		{"LinkedIn", "iOS", "mobile", iphone + "Mobile/15E148 LinkedInApp"},
		{"Pinterest", "Android", "mobile", webview + " [Pinterest/Android]"},
		{"Safari", "iOS", "mobile", iphone + "Mobile/15E148 Feedly/120.0"},

		// Neither computers nor phones.
		{"Samsung Internet", "Tizen", "tv", "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/6.0 Chrome/108.0.5359.1 TV Safari/537.36"},
		{"Chrome", "webOS", "tv", "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/108.0.5359.211 Safari/537.36 WebAppManager"},
		{"Safari", "PlayStation", "console", "Mozilla/5.0 (PlayStation; PlayStation 5/7.20) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15"},
		{"Edge", "Windows", "console", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138 Safari/537.36 Edge/44.19041"},
		{"Quest Browser", "Android", "headset", "Mozilla/5.0 (Linux; Android 12; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/38.0 Chrome/138.0 VR Safari/537.36"},
	} {
		want := Agent{Kind: Person, Browser: c.browser, OS: c.os, Device: c.device}
		if got := agents().Of(c.userAgent, Hints{}); got != want {
			t.Errorf("%s\n got %+v\nwant %+v", c.userAgent, got, want)
		}
	}
}

// Hints tell what user agents do not.
func TestHints(t *testing.T) {
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	for _, c := range []struct {
		brands, mobile, platform string
		want                     Agent
	}{
		{`"Chromium";v="140", "Google Chrome";v="140"`, "?0", `"Linux"`, Agent{Kind: Person, Browser: "Chrome", OS: "Linux", Device: "desktop"}},
		{`"Brave";v="140", "Chromium";v="140"`, "?0", `"Linux"`, Agent{Kind: Person, Browser: "Brave", OS: "Linux", Device: "desktop"}},
		{`"Chromium";v="140", "Google Chrome";v="140"`, "?1", `"Android"`, Agent{Kind: Person, Browser: "Chrome", OS: "Android", Device: "mobile"}},
		{`"Chromium";v="140", "Google Chrome";v="140"`, "?0", `"Android"`, Agent{Kind: Person, Browser: "Chrome", OS: "Android", Device: "tablet"}},
		{`"Chromium";v="140", "HeadlessChrome";v="140"`, "?0", `"Linux"`, Agent{Kind: Bot, Reason: Headless}},
	} {
		h := http.Header{}
		h.Set("Sec-CH-UA", c.brands)
		h.Set("Sec-CH-UA-Mobile", c.mobile)
		h.Set("Sec-CH-UA-Platform", c.platform)
		if got := agents().Of(chrome, HintsOf(h)); got != c.want {
			t.Errorf("%s %s %s\n got %+v\nwant %+v", c.brands, c.mobile, c.platform, got, c.want)
		}
	}
}

// Bots are known with the reason that fits them best.
func TestBots(t *testing.T) {
	const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	for userAgent, reason := range map[string]string{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": Crawler,
		"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": Crawler,
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)": Crawler,
		"Scrapy/2.11.0 (+https://scrapy.org)":                                     Crawler,
		"Mozilla/5.0 (compatible; NobodyKnowsIt/1.0; +https://it.example/about)":  Crawler,
		chrome + " unheardof-crawler/1.0":                                         Crawler,
		"Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36 (compatible; UnheardOfBot/1.0)": Crawler,
		"Mozilla/5.0 (Linux; Android 14; UnheardOf; +https://it.example) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":          Crawler,
		chrome + " UnheardOfBot/1.0": Crawler,
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)":                 AI,
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)":                AI,
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; ChatGPT-User/1.0; +https://openai.com/bot":              AI,
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot": AI,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36":          Headless,
		"Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1":                 Headless,
		"Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)":                                                 Monitor,
		"Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)":                                                                  Monitor,
		chrome + " PTST/250101.1":                                                               Monitor,
		chrome + " Chrome-Lighthouse":                                                           Monitor,
		"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)":                            Preview,
		"WhatsApp/2.23.20.0 A":                                                                  Preview,
		"TelegramBot (like TwitterBot)":                                                         Preview,
		"Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)":                     Preview,
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)":             Preview,
		"Twitterbot/1.0":                                                                        Preview,
		"LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)": Preview,
		"Mozilla/5.0 zgrab/0.x":                                                                 Scanner,
		"FreshRSS/1.24.3 (Linux; https://freshrss.org)":                                         Feed,
	} {
		want := Agent{Kind: Bot, Reason: reason}
		if got := agents().Of(userAgent, Hints{}); got != want {
			t.Errorf("%s\n got %+v\nwant %+v", userAgent, got, want)
		}
	}
}

// What is no browser and no known bot is a program, whatever it is called.
func TestPrograms(t *testing.T) {
	for _, userAgent := range []string{
		"", "-", "curl/8.5.0", "Go-http-client/2.0", "python-requests/2.32.3", "node", "axios/1.7.2", "okhttp/4.12.0", "Wget/1.24.5",
		"GuzzleHttp/7", "PostmanRuntime/7.39.0", "Java/21.0.1", "daybook-go/1.0", "ShopBot-Backend/2.0 (+https://shop.example)",
		"Mozilla/5.0", "Mozilla/5.0 (compatible;)", "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)", "MyApp/1 CFNetwork/1474 Darwin/23.0.0",
	} {
		if got := agents().Of(userAgent, Hints{}); got != (Agent{}) {
			t.Errorf("%q is %+v", userAgent, got)
		}
	}
}

// readSample reads the user agents of a file in testdata.
func readSample(t testing.TB, file string) []string {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var sample []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := lines.Text(); !strings.HasPrefix(line, "#") {
			sample = append(sample, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return sample
}

// Of the bots of another project's tests nearly all are filtered when they
// open a page or the pixel, and of its people hardly anybody: those who are
// neither known as a bot nor as a person are programs, which do not open pages
// as people do.
//
// The bounds are those of filters that are any good: a bot that calls itself
// one gets through once in twenty, and one in a hundred people is lost, since
// among uap-core's are browsers of the last millennium and apps without a page.
func TestShareFiltered(t *testing.T) {
	for _, c := range []struct {
		file        string
		least, most float64
	}{
		{"bots.txt", 0.95, 1},
		{"people.txt", 0, 0.01},
	} {
		sample := readSample(t, c.file)
		if len(sample) != 200 {
			t.Fatalf("%s has %d user agents", c.file, len(sample))
		}
		kinds := map[string]int{}
		filtered := 0
		for _, userAgent := range sample {
			agent := agents().Of(userAgent, Hints{})
			if agent.Kind == Program {
				agent.Reason = HTTPClient
			}
			kinds[agent.Reason]++
			if agent.Kind != Person {
				filtered++
			}
			if (agent.Kind == Person) != (c.file == "people.txt") {
				t.Logf("%s: wrong, %+v: %s", c.file, agent, userAgent)
			}
		}
		share := float64(filtered) / float64(len(sample))
		t.Logf("%s: %d of %d filtered, %.1f %%; by reason: %v", c.file, filtered, len(sample), share*100, kinds)
		if share < c.least || share > c.most {
			t.Errorf("%s: %.1f %% are filtered, and it must be %.0f to %.0f %%", c.file, share*100, c.least*100, c.most*100)
		}
	}
}

// The cache gives what a look would, keeps what is in use, and is bounded.
func TestCache(t *testing.T) {
	a := NewAgents()
	const steady = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
	kept := func() (unsafe.Pointer, bool) {
		for key := range a.young {
			if key.userAgent == steady {
				return unsafe.Pointer(unsafe.StringData(key.userAgent)), true
			}
		}
		return nil, false
	}
	for i := range 3 * maxAgents {
		userAgent := fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", i, i)
		for range 2 {
			if got := a.Of(userAgent, Hints{}); got.Browser != "Firefox" {
				t.Fatalf("%s: %+v", userAgent, got)
			}
		}
		if got := a.Of(steady, Hints{}); got.OS != "Windows" {
			t.Fatalf("%+v", got)
		}
		if n := len(a.young) + len(a.old); n > 2*maxAgents {
			t.Fatalf("%d agents are kept", n)
		}
		if i%500 != 0 {
			continue
		}
		if _, ok := kept(); !ok {
			t.Fatal("what is in use was forgotten")
		}
	}
	if at, _ := kept(); at == unsafe.Pointer(unsafe.StringData(steady)) {
		t.Error("the cache has the caller's string and not one of its own")
	}
	size := len(a.young)
	a.Of(steady, Hints{Brands: strings.Repeat("x", maxCached)})
	if len(a.young) != size {
		t.Error("very long hints are kept")
	}
	long := "Mozilla/5.0 (" + strings.Repeat("x", maxLooked)
	a.Of(long, Hints{})
	if _, ok := a.young[agentKey{userAgent: long[:maxLooked]}]; !ok {
		t.Error("of a very long user agent what is looked at is not kept")
	}
	if n := testing.AllocsPerRun(100, func() { a.Of(steady, Hints{}) }); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

func TestAgentsAtOnce(t *testing.T) {
	a := NewAgents()
	sample := readSample(t, "people.txt")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				for _, userAgent := range sample {
					if got, want := a.Of(userAgent, Hints{}), a.look(userAgent, Hints{}); got != want {
						t.Errorf("%s: %+v, and not %+v", userAgent, got, want)
					}
				}
			}
		})
	}
	all.Wait()
}

// Whatever comes as a user agent, bots have a reason, people a device, and
// nobody else has either.
func FuzzAgents(f *testing.F) {
	for _, file := range []string{"bots.txt", "people.txt"} {
		for _, userAgent := range readSample(f, file)[:20] {
			f.Add(userAgent, `"Brave";v="1"`, "?1", `"Android"`)
		}
	}
	f.Add("Mozilla/5.0 bot", "", "", "")
	f.Add(strings.Repeat("bo", 5000), "", "", "")
	f.Fuzz(func(t *testing.T, userAgent, brands, mobile, platform string) {
		agent := agents().Of(userAgent, Hints{brands, mobile, platform})
		if (agent.Kind == Bot) != (agent.Reason != "") || (agent.Kind == Person) != (agent.Device != "") {
			t.Errorf("%+v", agent)
		}
		if agent.Kind != Person && agent.Browser+agent.OS+agent.Device != "" {
			t.Errorf("%+v", agent)
		}
	})
}

func BenchmarkAgentsHit(b *testing.B) {
	a := NewAgents()
	sample := readSample(b, "people.txt")
	for _, userAgent := range sample {
		a.Of(userAgent, Hints{})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		a.Of(sample[i%len(sample)], Hints{})
		i++
	}
}

func BenchmarkAgentsMiss(b *testing.B) {
	a := NewAgents()
	sample := readSample(b, "people.txt")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		a.look(sample[i%len(sample)], Hints{})
		i++
	}
}

// What takes longest is an agent that contains many fixed strings and fits none
// of their expressions.
func BenchmarkAgentsWorst(b *testing.B) {
	a := NewAgents()
	for _, c := range []struct{ name, userAgent string }{
		{"one", "Mozilla/5.0 " + strings.Repeat("rawler", maxLooked)},
		{"all", "Mozilla/5.0 " + allFixed(a.bots)},
	} {
		b.Run(c.name, func(b *testing.B) {
			userAgent := c.userAgent[:maxLooked]
			for b.Loop() {
				a.look(userAgent, Hints{})
			}
		})
	}
}

func BenchmarkReadBots(b *testing.B) {
	for b.Loop() {
		newBots(ownBots, listedBots)
	}
}
