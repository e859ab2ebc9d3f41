package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sync/errgroup"

	"github.com/daybook-analytics/daybook/internal/pebbledb"
	"github.com/daybook-analytics/daybook/internal/store"
)

// runAnswers is the yardstick of a server that answers questions: a handler of
// net/http that reads the whole answer from Pebble.
func runAnswers(args []string) error {
	flags := flag.NewFlagSet("answers", flag.ContinueOnError)
	addr := flags.String("addr", "", "address to listen on")
	dir := flags.String("dir", "", "directory of a Pebble that has the answers under their questions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	db, err := pebbledb.Open("answers", *dir, &pebble.Options{}, problems)
	if err != nil {
		return err
	}
	err = http.ListenAndServe(*addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			return
		}
		body, closer, err := db.Get([]byte(r.URL.RequestURI()))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(body) // an error means that the client has gone
		_ = closer.Close()   // which cannot fail
	}))
	return errors.Join(err, db.Close())
}

// readFlags are those of the children that read the raw events of some days of
// a site, on as many goroutines as there are processors, and print how many
// there were.
type readFlags struct {
	data, site string
	dates      []string
}

func parseReadFlags(name string, args []string) (*readFlags, error) {
	f := &readFlags{}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&f.data, "data", "", "directory of the installation, which no daybook runs on")
	flags.StringVar(&f.site, "site", "", "site to read")
	dates := flags.String("dates", "", "dates to read, with commas between them")
	err := flags.Parse(args)
	f.dates = strings.Split(*dates, ",")
	return f, err
}

// each reads the dates, each by a call of read, which gives the number of its
// events.
func (f *readFlags) each(read func(date string) (int, error)) error {
	var events atomic.Int64
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, date := range f.dates {
		group.Go(func() error {
			n, err := read(date)
			events.Add(int64(n))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	_, err := fmt.Println(events.Load())
	return err
}

// runPlainEvents is the yardstick of whoever reads raw events: it goes over
// their keys and values in Pebble, and looks into each value.
func runPlainEvents(args []string) error {
	f, err := parseReadFlags("plain-events", args)
	if err != nil {
		return err
	}
	db, err := pebbledb.Open("store", filepath.Join(f.data, "store"), &pebble.Options{ReadOnly: true}, problems)
	if err != nil {
		return err
	}
	var sum atomic.Uint64 // so that reading the values is not left out
	err = f.each(func(date string) (n int, err error) {
		// The beginning of the keys of a day, as docs/format/pebble.md has it.
		prefix := "e" + f.site + "\x00\x01" + date + "\x00"
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix + "\x01"), UpperBound: []byte(prefix + "\x02")})
		if err != nil {
			return 0, err
		}
		var seen uint64
		for ok := it.First(); ok; ok = it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				return n, errors.Join(err, it.Close())
			}
			seen += uint64(len(value)) + uint64(value[len(value)-1])
			n++
		}
		sum.Add(seen)
		return n, it.Close()
	})
	return errors.Join(err, db.Close())
}

// runScanEvents reads raw events as all of Daybook does: by the store's scan,
// which decodes them.
func runScanEvents(args []string) error {
	f, err := parseReadFlags("scan-events", args)
	if err != nil {
		return err
	}
	ctx := context.Background()
	st, err := openStore(ctx, f.data)
	if err != nil {
		return err
	}
	err = f.each(func(date string) (n int, err error) {
		err = st.ScanDay(ctx, f.site, []string{date}, nil, nil, func(*store.Event) error {
			n++
			return nil
		})
		return n, err
	})
	return errors.Join(err, st.Close())
}
