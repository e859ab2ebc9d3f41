package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/daybook-analytics/daybook/internal/store"
)

// testSiteRecords proves what there is on the records of sites.
func (b Backend) testSiteRecords(t *testing.T) {
	s, reopen := b.openTwice(t)
	// want holds the records that are there, in the order of their sites.
	var want []store.SiteRecord
	same := func(got, want store.SiteRecord) bool {
		return got.Site == want.Site && got.Rev == want.Rev && bytes.Equal(got.Body, want.Body)
	}
	list := func(t *testing.T, after string, limit int) []store.SiteRecord {
		t.Helper()
		records, err := s.SiteRecordsAfter(t.Context(), after, limit)
		check(t, err)
		return records
	}
	wantRecords := func(t *testing.T) {
		t.Helper()
		if got := list(t, "", 100); !slices.EqualFunc(got, want, same) {
			t.Fatalf("records are %v, want %v", got, want)
		}
		sites := []string{"nowhere"}
		for _, record := range want {
			sites = append(sites, record.Site)
		}
		got, err := s.SiteRecords(t.Context(), sites)
		check(t, err)
		wantEqual(t, "number of records", len(got), len(want))
		for _, record := range want {
			if !same(got[record.Site], record) {
				t.Fatalf("record is %v, want %v", got[record.Site], record)
			}
		}
	}
	conflict := func(t *testing.T, site string, rev uint64) {
		t.Helper()
		record := store.SiteRecord{Site: site, Rev: rev, Body: []byte("changed")}
		wantErr(t, s.SwapSiteRecord(t.Context(), &record), store.ErrConflict)
		wantEqual(t, "rev after the conflict", record.Rev, rev)
		if rev > 0 {
			wantErr(t, s.DropSiteRecord(t.Context(), record), store.ErrConflict)
		}
		wantRecords(t)
	}

	t.Run("None", func(t *testing.T) {
		wantRecords(t)
		conflict(t, site, 1)
		wantErr(t, s.DropSiteRecord(t.Context(), store.SiteRecord{Site: site}), store.ErrConflict)
		got, err := s.SiteRecords(t.Context(), nil)
		check(t, err)
		wantEqual(t, "records of no site", len(got), 0)
	})
	t.Run("New", func(t *testing.T) {
		for name, body := range map[string][]byte{"b": []byte("{}"), "a": nil, "a.b": []byte("\x00\xff"), "A": bytes.Repeat([]byte("x"), store.MaxSiteRecordBytes)} {
			record := store.SiteRecord{Site: name, Body: body}
			check(t, s.SwapSiteRecord(t.Context(), &record))
			wantEqual(t, "rev after the write", record.Rev, 1)
			want = append(want, record)
		}
		slices.SortFunc(want, func(a, b store.SiteRecord) int { return bytes.Compare([]byte(a.Site), []byte(b.Site)) })
		wantRecords(t)
	})
	t.Run("Swap", func(t *testing.T) {
		conflict(t, "a.b", 0)
		conflict(t, "a.b", 2)
		record := want[2]
		record.Body = []byte("Europe/Berlin")
		check(t, s.SwapSiteRecord(t.Context(), &record))
		wantEqual(t, "rev after the write", record.Rev, 2)
		want[2] = record
		want[2].Body = bytes.Clone(record.Body)
		wantRecords(t)
		conflict(t, "a.b", 1)

		// What was given and what was got belongs to the caller.
		record.Body[0] = 'X'
		got, err := s.SiteRecords(t.Context(), []string{"a.b"})
		check(t, err)
		got["a.b"].Body[0] = 'Y'
		list(t, "a", 1)[0].Body[0] = 'Z'
		wantRecords(t)
	})
	t.Run("Pages", func(t *testing.T) {
		after := ""
		for i := 0; i < len(want); i += 3 {
			page := list(t, after, 3)
			if !slices.EqualFunc(page, want[i:min(i+3, len(want))], same) {
				t.Fatalf("page behind %q is %v", after, page)
			}
			after = page[len(page)-1].Site
		}
		wantEqual(t, "number of records behind the last", len(list(t, after, 3)), 0)
		wantEqual(t, "site behind one that is not there", list(t, "a.a", 1)[0].Site, "a.b")
	})
	t.Run("Invalid", func(t *testing.T) {
		for _, record := range []store.SiteRecord{{Site: "long", Body: make([]byte, store.MaxSiteRecordBytes+1)}, {Body: []byte("{}")}} {
			if err := s.SwapSiteRecord(t.Context(), &record); err == nil {
				t.Errorf("a record of site %q of %d bytes was written", record.Site, len(record.Body))
			}
		}
		wantRecords(t)
	})
	t.Run("OpenedAgain", func(t *testing.T) {
		s = reopen()
		wantRecords(t)
	})
	t.Run("Erased", func(t *testing.T) {
		_, _, err := s.EraseDays(t.Context(), "a.b", "")
		check(t, err)
		wantRecords(t)
		sites, err := s.Sites(t.Context(), "", 10)
		check(t, err)
		wantEqual(t, "sites with events or rollups", len(sites), 0)
	})
	t.Run("Drop", func(t *testing.T) {
		check(t, s.DropSiteRecord(t.Context(), want[2]))
		dropped := want[2]
		want = slices.Delete(want, 2, 3)
		wantRecords(t)
		conflict(t, dropped.Site, dropped.Rev)
		s = reopen()
		wantRecords(t)
	})
}

// testConcurrentSiteRecords proves that of writers with the same rev one wins,
// and that whoever has written reads what he wrote or something newer.
func (b Backend) testConcurrentSiteRecords(t *testing.T) {
	const perWriter = 8
	s := b.open(t)
	race(t, func(w int) error {
		var last uint64
		for n := 0; n < perWriter; {
			records, err := s.SiteRecords(t.Context(), []string{site})
			if err != nil {
				return err
			}
			record := records[site]
			if record.Rev < last {
				return fmt.Errorf("rev %d is read after rev %d was written", record.Rev, last)
			}
			record.Site = site
			record.Body = fmt.Append(record.Body, w, "\n")
			switch err := s.SwapSiteRecord(t.Context(), &record); {
			case err == nil:
				n++
				last = record.Rev
			case !errors.Is(err, store.ErrConflict):
				return err
			}
		}
		return nil
	})
	records, err := s.SiteRecords(t.Context(), []string{site})
	check(t, err)
	wantEqual(t, "rev", records[site].Rev, writers*perWriter)
	for w := range writers {
		wantEqual(t, fmt.Sprint("writes of writer ", w), bytes.Count(records[site].Body, fmt.Append(nil, w, "\n")), perWriter)
	}
}
