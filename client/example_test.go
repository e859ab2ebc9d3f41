package client_test

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/daybook-analytics/daybook/client"
)

func Example() {
	events, err := client.New("https://daybook.example", client.Options{
		Key:  os.Getenv("DAYBOOK_KEY"),
		Site: "shop",
		OnDrop: func(d client.Drop) {
			log.Printf("%d events are not counted: %v", len(d.Events), d.Reason)
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	if err := events.Track(client.Event{Type: "signup", User: "user-1"}); err != nil {
		log.Print(err)
	}

	// When the program ends:
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := events.Close(ctx); err != nil {
		log.Print(err)
	}
}

// A web server counts its page views: of people only, each visitor of a day
// once, without a cookie. Daybook stores neither address nor user agent.
func ExampleClient_Track() {
	var events *client.Client // from client.New

	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		address, _, _ := net.SplitHostPort(r.RemoteAddr)
		err := events.Track(client.Event{
			Type:      client.PageView,
			Path:      "https://shop.example" + r.URL.String(),
			Referrer:  r.Referer(),
			UserAgent: r.UserAgent(),
			ClientIP:  address,
		})
		if errors.Is(err, client.ErrFull) {
			log.Print("Daybook is away: this page view is not counted")
		}
	})
}

// What is dropped can be written to a file, which `daybook import` sends once
// the reason is gone. The events keep their IDs, so that those that were
// counted nevertheless are not counted again.
func ExampleDrop() {
	file, err := os.OpenFile("dropped.ndjson", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.New("https://daybook.example", client.Options{
		OnDrop: func(d client.Drop) {
			for _, event := range d.Events {
				if _, err := file.Write(append(event, '\n')); err != nil {
					log.Print(err)
				}
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
}
