package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// eachKind runs a test for each kind of records.
func eachKind(test func(*testing.T, store.RecordKind)) func(*testing.T) {
	return func(t *testing.T) {
		for _, kind := range store.RecordKinds {
			t.Run(string(kind), func(t *testing.T) { test(t, kind) })
		}
	}
}

// testRecords proves what there is on the records of a kind.
func (b Backend) testRecords(t *testing.T, kind store.RecordKind) {
	s, reopen := b.openTwice(t)
	// want holds the records that are there, in the order of their names.
	var want []store.Record
	same := func(got, want store.Record) bool {
		return got.Name == want.Name && got.Rev == want.Rev && bytes.Equal(got.Body, want.Body)
	}
	list := func(t *testing.T, after string, limit int) []store.Record {
		t.Helper()
		records, err := s.RecordsAfter(t.Context(), kind, after, limit)
		check(t, err)
		return records
	}
	wantRecords := func(t *testing.T) {
		t.Helper()
		if got := list(t, "", 100); !slices.EqualFunc(got, want, same) {
			t.Fatalf("records are %v, want %v", got, want)
		}
		names := []string{"nowhere"}
		for _, record := range want {
			names = append(names, record.Name)
		}
		got, err := s.Records(t.Context(), kind, names)
		check(t, err)
		wantEqual(t, "number of records", len(got), len(want))
		for _, record := range want {
			if !same(got[record.Name], record) {
				t.Fatalf("record is %v, want %v", got[record.Name], record)
			}
		}
	}
	conflict := func(t *testing.T, name string, rev uint64) {
		t.Helper()
		record := store.Record{Name: name, Rev: rev, Body: []byte("changed")}
		wantErr(t, s.SwapRecord(t.Context(), kind, &record), store.ErrConflict)
		wantEqual(t, "rev after the conflict", record.Rev, rev)
		if rev > 0 {
			wantErr(t, s.DropRecord(t.Context(), kind, record), store.ErrConflict)
		}
		wantRecords(t)
	}

	t.Run("None", func(t *testing.T) {
		wantRecords(t)
		conflict(t, site, 1)
		wantErr(t, s.DropRecord(t.Context(), kind, store.Record{Name: site}), store.ErrConflict)
		got, err := s.Records(t.Context(), kind, nil)
		check(t, err)
		wantEqual(t, "records of no name", len(got), 0)
	})
	t.Run("New", func(t *testing.T) {
		for name, body := range map[string][]byte{"b": []byte("{}"), "a": nil, "a.b": []byte("\x00\xff"), "A": bytes.Repeat([]byte("x"), store.MaxRecordBytes)} {
			record := store.Record{Name: name, Body: body}
			began := time.Now()
			check(t, s.SwapRecord(t.Context(), kind, &record))
			wantNextRev(t, record.Rev, 0, began)
			want = append(want, record)
		}
		slices.SortFunc(want, func(a, b store.Record) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
		wantRecords(t)
	})
	t.Run("Swap", func(t *testing.T) {
		record := want[2]
		rev := record.Rev
		conflict(t, "a.b", 0)
		conflict(t, "a.b", rev+1)
		record.Body = []byte("Europe/Berlin")
		check(t, s.SwapRecord(t.Context(), kind, &record))
		wantNextRev(t, record.Rev, rev, time.Time{})
		want[2] = record
		want[2].Body = bytes.Clone(record.Body)
		wantRecords(t)
		conflict(t, "a.b", rev)

		// What was given and what was got belongs to the caller.
		record.Body[0] = 'X'
		got, err := s.Records(t.Context(), kind, []string{"a.b"})
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
			after = page[len(page)-1].Name
		}
		wantEqual(t, "number of records behind the last", len(list(t, after, 3)), 0)
		wantEqual(t, "name behind one that is not there", list(t, "a.a", 1)[0].Name, "a.b")
	})
	t.Run("Invalid", func(t *testing.T) {
		for _, record := range []store.Record{{Name: "long", Body: make([]byte, store.MaxRecordBytes+1)}, {Body: []byte("{}")}} {
			if err := s.SwapRecord(t.Context(), kind, &record); err == nil {
				t.Errorf("a record of the name %q of %d bytes was written", record.Name, len(record.Body))
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
		check(t, s.DropRecord(t.Context(), kind, want[2]))
		dropped := want[2]
		want = slices.Delete(want, 2, 3)
		wantRecords(t)
		conflict(t, dropped.Name, dropped.Rev)
		s = reopen()
		wantRecords(t)

		// One that is made again is not taken for the one that was dropped.
		passRev(dropped.Rev)
		again := store.Record{Name: dropped.Name}
		began := time.Now()
		check(t, s.SwapRecord(t.Context(), kind, &again))
		wantNextRev(t, again.Rev, 0, began)
		want = slices.Insert(want, 2, again)
		conflict(t, dropped.Name, dropped.Rev)
	})
}

// testRecordKinds proves that records of one name and different kinds do not
// see each other.
func (b Backend) testRecordKinds(t *testing.T) {
	s, reopen := b.openTwice(t)
	want := map[store.RecordKind]store.Record{}
	wantRecords := func(t *testing.T) {
		t.Helper()
		for _, kind := range store.RecordKinds {
			var list []store.Record
			named := map[string]store.Record{}
			if record, ok := want[kind]; ok {
				list, named[site] = []store.Record{record}, record
			}
			got, err := s.RecordsAfter(t.Context(), kind, "", 10)
			check(t, err)
			wantEqual(t, fmt.Sprintf("list of the kind %s", kind), got, list)
			gotNamed, err := s.Records(t.Context(), kind, []string{site})
			check(t, err)
			wantEqual(t, fmt.Sprintf("record of the kind %s", kind), gotNamed, named)
		}
	}
	for _, kind := range store.RecordKinds {
		record := store.Record{Name: site, Body: []byte(kind)}
		check(t, s.SwapRecord(t.Context(), kind, &record))
		want[kind] = record
		wantRecords(t)
	}
	for _, kind := range store.RecordKinds {
		check(t, s.DropRecord(t.Context(), kind, want[kind]))
		delete(want, kind)
		wantRecords(t)
		s = reopen()
		wantRecords(t)
	}
}

// testConcurrentRecords proves that of writers with the same rev one wins,
// and that whoever has written reads what he wrote or something newer.
func (b Backend) testConcurrentRecords(t *testing.T, kind store.RecordKind) {
	const perWriter = 8
	s := b.open(t)
	race(t, func(w int) error {
		var last uint64
		for n := 0; n < perWriter; {
			records, err := s.Records(t.Context(), kind, []string{site})
			if err != nil {
				return err
			}
			record := records[site]
			if record.Rev < last {
				return fmt.Errorf("rev %d is read after rev %d was written", record.Rev, last)
			}
			record.Name = site
			record.Body = fmt.Append(record.Body, w, "\n")
			switch err := s.SwapRecord(t.Context(), kind, &record); {
			case err == nil:
				n++
				last = record.Rev
			case !errors.Is(err, store.ErrConflict):
				return err
			}
		}
		return nil
	})
	records, err := s.Records(t.Context(), kind, []string{site})
	check(t, err)
	for w := range writers {
		wantEqual(t, fmt.Sprint("writes of writer ", w), bytes.Count(records[site].Body, fmt.Append(nil, w, "\n")), perWriter)
	}
}
