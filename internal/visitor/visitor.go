// Package visitor tells who is behind a request from the client's address and
// user agent, and keeps neither: whether it is a person, a bot or a program,
// what the person uses and where they are, and an ID that is the same for a
// visitor's day and cannot be made again later. docs/visitors.md tells the
// whole of it.
package visitor

import (
	"net/http"
)

// Kind is what sends a request.
type Kind int

const (
	// Program is what is neither a browser nor a known bot: a server, a
	// library, a command, nobody knows. What it sends is taken as it is.
	Program Kind = iota
	// Person is somebody with a browser, an app's too.
	Person
	// Bot is what opens pages by itself.
	Bot
)

// The reasons for which events are not counted as those of people.
const (
	// Crawler reads pages: for search engines, archives, research, marketing.
	Crawler = "crawler"
	// AI reads pages for language models or their users.
	AI = "ai"
	// Feed reads feeds.
	Feed = "feed"
	// Headless is a browser that a program drives.
	Headless = "headless"
	// Monitor measures pages, or whether they are there.
	Monitor = "monitor"
	// Preview shows a link to the readers of a message.
	Preview = "preview"
	// Scanner looks for weaknesses, or what pages contain that they should not.
	Scanner = "scanner"
	// HTTPClient is a Program where a browser should be.
	HTTPClient = "http_client"
	// DataCenter is a browser in a data centre.
	DataCenter = "data_center"
)

// Agent is what a user agent tells of who sends a request.
type Agent struct {
	Kind Kind
	// Reason tells what sort of Bot it is; empty for the others.
	Reason string
	// Browser, OS and Device are what a Person uses, as "Chrome", "Windows",
	// "desktop"; each empty if it is not known. Device is one of desktop,
	// mobile, tablet, tv, console, headset.
	Browser, OS, Device string
}

// Hints are what a browser tells beside its user agent, as it tells it.
type Hints struct {
	// Brands, Mobile and Platform are the headers Sec-CH-UA, Sec-CH-UA-Mobile
	// and Sec-CH-UA-Platform.
	Brands, Mobile, Platform string
}

// HintsOf reads the hints of a request.
func HintsOf(h http.Header) Hints {
	return Hints{h.Get("Sec-Ch-Ua"), h.Get("Sec-Ch-Ua-Mobile"), h.Get("Sec-Ch-Ua-Platform")}
}
