package visitor

import "strings"

// name is what stands in user agents for something.
type name struct{ token, name string }

// named gives the name of the first of the tokens that the user agent has, or
// else what is given.
func named(userAgent string, names []name, otherwise string) string {
	for _, n := range names {
		if strings.Contains(userAgent, n.token) {
			return n.name
		}
	}
	return otherwise
}

// claimsBrowser tells whether a user agent is made like those of browsers.
func claimsBrowser(userAgent string) bool {
	return strings.HasPrefix(userAgent, "Mozilla/") || strings.HasPrefix(userAgent, "Opera/") || isPhone(userAgent)
}

// isPhone tells whether it is that of a phone of the time before phones had
// the browsers of computers.
func isPhone(userAgent string) bool {
	for _, token := range []string{"Profile/MIDP", "UP.Browser/", "UCWEB/", "DoCoMo/", "Opera Mini/"} {
		if strings.Contains(userAgent, token) {
			return true
		}
	}
	return false
}

// browsers are those that the parser does not tell from the browsers that they
// are made of. Apps with a browser of their own are browsers too, because a
// site's owner wants to know of them.
var browsers = []name{
	{"FBAN/", "Facebook"}, {"FBAV/", "Facebook"}, {"FB_IAB", "Facebook"},
	{"Instagram ", "Instagram"},
	{"MicroMessenger/", "WeChat"},
	{" Line/", "LINE"},
	{"musical_ly", "TikTok"}, {"BytedanceWebview", "TikTok"}, {"TikTok", "TikTok"},
	{"Snapchat", "Snapchat"},
	{"Pinterest", "Pinterest"},
	{"LinkedInApp", "LinkedIn"},
	{"Twitter", "Twitter"},
	{"GSA/", "Google App"},
	{"NAVER(", "Naver"},
	{"KAKAOTALK", "KakaoTalk"},
	{"DuckDuckGo/", "DuckDuckGo"}, {"Ddg/", "DuckDuckGo"},
	{"Brave", "Brave"},
	{"Ecosia", "Ecosia"},
	{"Opera Mini/", "Opera Mini"},
	{"UCBrowser/", "UC Browser"}, {"UBrowser/", "UC Browser"}, {"UCWEB/", "UC Browser"},
	{"MiuiBrowser/", "Mi Browser"},
	{"MQQBrowser/", "QQ Browser"}, {"QQBrowser/", "QQ Browser"},
	{"VivoBrowser/", "Vivo Browser"},
	{"HeyTapBrowser/", "HeyTap Browser"},
	{"Whale/", "Whale"},
	{"coc_coc_browser/", "Coc Coc"},
	{"OculusBrowser/", "Quest Browser"},
	{"Puffin/", "Puffin"},
	{"PaleMoon/", "Pale Moon"},
	{"SeaMonkey/", "SeaMonkey"},
	{"Konqueror/", "Konqueror"},
	{"Electron/", "Electron"},
}

// brands are the browsers that have the user agent of another one, and give
// their name in the hints.
var brands = []name{
	{`"Brave"`, "Brave"},
	{`"DuckDuckGo"`, "DuckDuckGo"},
	{`"Opera`, "Opera"},
	{`"Microsoft Edge"`, "Edge"},
	{`"Vivaldi"`, "Vivaldi"},
	{`"YaBrowser"`, "Yandex Browser"}, {`"Yandex"`, "Yandex Browser"},
	{`"Samsung Internet"`, "Samsung Internet"},
}

func browserOf(userAgent string, hints Hints, parsed string) string {
	browser := named(userAgent, browsers, "")
	if browser == "" {
		browser = named(hints.Brands, brands, "")
	}
	switch {
	case browser != "":
		return browser
	case strings.Contains(userAgent, "; wv)"):
		return "Android WebView"
	case parsed == "Samsung Browser":
		return "Samsung Internet"
	case parsed == "" && strings.Contains(userAgent, "Chrome/"):
		return "Chrome"
	case parsed == "" && strings.Contains(userAgent, "AppleWebKit/"):
		return "Safari"
	}
	return parsed
}

// systems are those that the parser does not know, or takes for others.
var systems = []name{
	{"Windows Phone", "Windows Phone"}, {"IEMobile", "Windows Phone"},
	{"KAIOS/", "KaiOS"},
	{"HarmonyOS", "HarmonyOS"}, {"OpenHarmony", "HarmonyOS"},
	{"Tizen", "Tizen"},
	{"Web0S", "webOS"}, {"webOS", "webOS"}, {"hpwOS", "webOS"},
	{"PlayStation", "PlayStation"}, {"PLAYSTATION", "PlayStation"},
	{"Nintendo", "Nintendo"},
	{"Roku", "Roku"},
	{"CrOS", "ChromeOS"},
	{"; Adr ", "Android"}, // of UC Browser
	{"FreeBSD", "FreeBSD"}, {"OpenBSD", "OpenBSD"}, {"NetBSD", "NetBSD"},
	{"BlackBerry", "BlackBerry"}, {"BB10", "BlackBerry"}, {"PlayBook", "BlackBerry"},
	{"SymbianOS", "Symbian"}, {"Symbian/", "Symbian"}, {"SymbOS", "Symbian"}, {"Series60", "Symbian"},
	{"Bada/", "Bada"},
}

// broad are the names of systems that tell the least, for what has none of the
// others.
var broad = []name{
	{"Android", "Android"},
	{"iPhone", "iOS"}, {"iPad", "iOS"}, {"iPod", "iOS"},
	{"Windows", "Windows"},
	{"Macintosh", "macOS"}, {"Mac OS X", "macOS"}, {"Mac_PowerPC", "macOS"},
	{"Linux", "Linux"}, {"X11", "Linux"},
}

// platforms are the systems as hints call them, by which a browser that asks
// for pages as on a desktop is known all the same.
var platforms = []name{
	{"Android", "Android"},
	{"Chrome OS", "ChromeOS"}, {"Chromium OS", "ChromeOS"},
	{"iOS", "iOS"},
	{"macOS", "macOS"},
	{"Windows", "Windows"},
}

func osOf(userAgent string, hints Hints, parsed string) string {
	if platform := named(hints.Platform, platforms, ""); platform != "" {
		return platform
	}
	if parsed == "MacOS" {
		parsed = "macOS"
	}
	if parsed == "" {
		parsed = named(userAgent, broad, "")
	}
	return named(userAgent, systems, parsed)
}

// devices are what user agents of devices that are neither a computer nor a
// phone have.
var devices = []name{
	{"PlayStation", "console"}, {"PLAYSTATION", "console"}, {"Xbox", "console"}, {"Nintendo", "console"},
	{"OculusBrowser", "headset"}, {"; Quest", "headset"},
	{"SmartTV", "tv"}, {"SMART-TV", "tv"}, {"Smart TV", "tv"}, {"GoogleTV", "tv"}, {"Google TV", "tv"}, {"AppleTV", "tv"},
	{"HbbTV", "tv"}, {"Web0S", "tv"}, {"CrKey", "tv"}, {"Roku", "tv"}, {"BRAVIA", "tv"}, {"; AFT", "tv"}, {"NetCast", "tv"},
	{" TV ", "tv"}, {"NETTV", "tv"}, {"Large Screen", "tv"},
	{"iPad", "tablet"}, {"Tablet", "tablet"}, {"PlayBook", "tablet"}, {"Kindle", "tablet"},
}

// deviceOf tells what sort of device it is. A tablet that asks for pages as on
// a desktop cannot be told from one, as iPads do.
func deviceOf(userAgent string, hints Hints, system string) string {
	device := named(userAgent, devices, "")
	switch {
	case device == "" && hints.Mobile == "?1":
		return "mobile"
	case device == "tablet" && strings.Contains(userAgent, "Tablet PC"):
		return "desktop" // what Windows has on computers with a pen
	case device != "":
		return device
	}
	switch system {
	case "iOS", "Windows Phone", "KaiOS", "BlackBerry", "Symbian", "Bada":
		return "mobile"
	case "Android", "HarmonyOS", "Tizen":
		if strings.Contains(userAgent, "Mobile") || strings.Contains(userAgent, "Mini") {
			return "mobile"
		}
		return "tablet" // by the convention that phones say that they are mobile
	}
	if strings.Contains(userAgent, "Mobile") || strings.Contains(userAgent, "Mobi/") || isPhone(userAgent) {
		return "mobile"
	}
	return "desktop"
}
