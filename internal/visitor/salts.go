package visitor

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

const (
	// It is a new date first where clocks are 14 hours ahead of UTC, and an old
	// one no more at last where they are 12 hours behind it.
	ahead  = 14 * time.Hour
	behind = 12 * time.Hour
	// saltsAhead is how long before its first use a salt is made, so that a
	// store that is away then is not missed.
	saltsAhead = time.Hour
	// clocksApart is how far the clocks of processes may be apart.
	clocksApart = time.Hour

	saltBytes = 32
	// saltsInterval is how often Salts looks which there must be, and
	// saltsAgain how soon it tries again when the store does not answer.
	saltsInterval = 5 * time.Minute
	saltsAgain    = 10 * time.Second
	saltsTime     = 10 * time.Second
	// saltsPage is how many salts are read at a time; there are two or three.
	saltsPage = 100
)

// SaltRecords is where salts are kept; store.Records is it.
type SaltRecords interface {
	RecordsAfter(ctx context.Context, kind store.RecordKind, after string, limit int) ([]store.Record, error)
	SwapRecord(ctx context.Context, kind store.RecordKind, record *store.Record) error
	DropRecord(ctx context.Context, kind store.RecordKind, record store.Record) error
}

// Salts makes the IDs of visitors from salts, of which each date has one. All
// processes have the same, because they are in the store: the first that needs
// one makes it. As soon as it is a date nowhere on earth any more its salt is
// destroyed, which is about 51 hours after it was made; from then on nobody
// can tell whether an ID of that date is that of a given address.
//
// Start it once; Stop may be called at any time, and again. All methods are
// safe for concurrent use.
type Salts struct {
	records SaltRecords
	log     *slog.Logger
	now     func() time.Time

	// salts are those in use. The map is never changed, but replaced.
	salts atomic.Pointer[map[date][]byte]

	ctx     context.Context
	cancel  context.CancelFunc
	looking sync.WaitGroup
	failing bool // of Start, and then of the goroutine that looks
}

// date is a day by its name on a calendar.
type date struct {
	year  int
	month time.Month
	day   int
}

func dateOf(t time.Time) date {
	year, month, day := t.Date()
	return date{year, month, day}
}

// String gives the date as YYYY-MM-DD, which is the name of its salt.
func (d date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.year, d.month, d.day) }

// NewSalts makes Salts. They know no salt before Start.
func NewSalts(records SaltRecords, log *slog.Logger) *Salts {
	s := &Salts{records: records, log: log, now: time.Now}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.salts.Store(&map[date][]byte{})
	return s
}

// Start reads the salts, makes those that are missing, and goes on to see to
// it that the right ones are there. A store that is away for the moment is
// waited for behind it.
func (s *Salts) Start() error {
	err := s.look()
	if err != nil && !errors.Is(err, store.ErrUnavailable) {
		return err
	}
	rest := saltsInterval
	if err != nil {
		rest = s.tell(err)
	}
	s.looking.Go(func() { s.watch(rest) })
	return nil
}

// Stop ends that and waits for its end. The salts stay in the store.
func (s *Salts) Stop(ctx context.Context) error {
	s.cancel()
	ended := make(chan struct{})
	go func() {
		s.looking.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("looking after the salts of visitors did not end: %w", ctx.Err())
	}
}

// watch looks again and again until Stop, first after a rest.
func (s *Salts) watch(rest time.Duration) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(rest):
		}
		err := s.look()
		if s.ctx.Err() != nil {
			return
		}
		rest = s.tell(err)
	}
}

// tell logs that looking begins to fail, and that it is well again, and gives
// how long to rest.
func (s *Salts) tell(err error) time.Duration {
	failed := s.failing
	s.failing = err != nil
	switch {
	case err != nil && !failed:
		s.log.Warn("the salts of visitors cannot be looked after; those that are known stay in use", "error", err)
	case err == nil && failed:
		s.log.Info("the salts of visitors are looked after again")
	}
	if err != nil {
		return saltsAgain
	}
	return saltsInterval
}

// look brings the salts in the store and those in use to what they must be
// now: one for each date that it is anywhere on earth, or soon will be. What
// is over is forgotten here even if the store does not answer.
func (s *Salts) look() error {
	now := s.now().UTC()
	first, last := dateOf(now.Add(-behind)), dateOf(now.Add(ahead+saltsAhead))
	salts := maps.Clone(*s.salts.Load())
	maps.DeleteFunc(salts, func(d date, _ []byte) bool { return d.String() < first.String() })
	// What was read or made counts even if something went wrong after it.
	defer func() { s.salts.Store(&salts) }()

	ctx, cancel := context.WithTimeout(s.ctx, saltsTime)
	defer cancel()
	stored, err := s.stored(ctx)
	if err != nil {
		return fmt.Errorf("read the salts of visitors: %w", err)
	}
	failed := s.destroy(ctx, stored, first)
	ending := dateOf(now.Add(clocksApart - behind)) // what is before it is over soon
	for d := first; d.String() <= last.String(); d = dateOf(time.Date(d.year, d.month, d.day+1, 0, 0, 0, 0, time.UTC)) {
		record, ok := stored[d.String()]
		if !ok && salts[d] != nil && d.String() < ending.String() {
			// A process whose clock is ahead has destroyed it. It stays so.
			continue
		}
		if len(record.Body) != saltBytes {
			if ok {
				s.log.Warn("a salt of visitors is damaged and is replaced", "date", d, "bytes", len(record.Body), "must", saltBytes)
			}
			// One that the store has lost is put there again, since its IDs
			// have been in use.
			record = store.Record{Name: d.String(), Rev: record.Rev, Body: salts[d]}
			if record.Body == nil {
				record.Body = make([]byte, saltBytes)
				_, _ = rand.Read(record.Body) // never fails
			}
			if record, err = s.keep(ctx, record); err != nil {
				return errors.Join(failed, fmt.Errorf("make the salt of visitors of %s: %w", d, err))
			}
		}
		salts[d] = record.Body
	}
	return failed
}

// destroy destroys the salts of all dates before the first.
func (s *Salts) destroy(ctx context.Context, stored map[string]store.Record, first date) error {
	var failed error
	for _, name := range slices.Sorted(maps.Keys(stored)) {
		if name >= first.String() {
			break
		}
		// Another process may have been faster.
		if err := s.records.DropRecord(ctx, store.SaltKind, stored[name]); err != nil && !errors.Is(err, store.ErrConflict) {
			failed = fmt.Errorf("destroy the salt of visitors of %s: %w", name, err)
		}
	}
	return failed
}

// stored reads the salts that there are, by their names.
func (s *Salts) stored(ctx context.Context) (map[string]store.Record, error) {
	stored := map[string]store.Record{}
	for after := ""; ; {
		page, err := s.records.RecordsAfter(ctx, store.SaltKind, after, saltsPage)
		if err != nil {
			return nil, err
		}
		for _, record := range page {
			stored[record.Name] = record
			after = record.Name
		}
		if len(page) < saltsPage {
			return stored, nil
		}
	}
}

// keep writes a salt, or gives the one that another process has written
// in the meantime.
func (s *Salts) keep(ctx context.Context, record store.Record) (store.Record, error) {
	err := s.records.SwapRecord(ctx, store.SaltKind, &record)
	if !errors.Is(err, store.ErrConflict) {
		return record, err
	}
	stored, err := s.stored(ctx)
	if err != nil {
		return record, err
	}
	winner, ok := stored[record.Name]
	if !ok || len(winner.Body) != saltBytes {
		return record, errors.New("somebody has destroyed it at once; are the clocks of all machines right?")
	}
	return winner, nil
}

// ID gives the ID of a visitor: the same for all that an address and a user
// agent do on a site on one date of the site's time zone, and another one for
// everything else. It begins with "~". It is not ok if there is no salt of the
// date, because the store was away for too long, or now is not the time of
// this process.
func (s *Salts) ID(now time.Time, zone *time.Location, site string, addr netip.Addr, userAgent string) (id string, ok bool) {
	salt, ok := (*s.salts.Load())[dateOf(now.In(zone))]
	if !ok {
		return "", false
	}
	mac := hmac.New(sha256.New, salt)
	var buffer [512]byte
	text := appendPart(buffer[:0], site)
	// An address is the same in the forms of IPv4 and IPv6, and without a zone.
	bytes := addr.As16()
	text = append(text, bytes[:]...)
	text = append(text, userAgent...)
	mac.Write(text)
	var sum [sha256.Size]byte
	return "~" + base64.RawURLEncoding.EncodeToString(mac.Sum(sum[:0])[:16]), true
}

// appendPart appends a text so that its end is told from what follows.
func appendPart(b []byte, part string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}
