package access

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/daybook-analytics/daybook/internal/store"
)

// Keys makes, lists and revokes keys. It is safe for concurrent use, also by
// several processes on one store.
type Keys struct{ records store.Records }

// NewKeys makes the Keys of a store.
func NewKeys(records store.Records) *Keys { return &Keys{records} }

// Create makes a key of the site, scope, publicness and note given, and its
// token, which nobody can ask for again.
func (k *Keys) Create(ctx context.Context, key Key) (made *Key, token string, err error) {
	if err := key.Validate(); err != nil {
		return nil, "", err
	}
	for {
		token, key.ID = newToken(key.Scope)
		key.Hash = sha256.Sum256([]byte(token))
		key.Created, key.Revoked = time.Now().UTC().Truncate(time.Second), nil
		err := k.swap(ctx, &key, 0)
		if errors.Is(err, store.ErrConflict) {
			continue // another key has this ID
		}
		if err != nil {
			return nil, "", err
		}
		return &key, token, nil
	}
}

// Each calls fn for each key, revoked ones too, in the order of their IDs. An
// error of fn ends it and is returned. A record that cannot be read is a key of
// no site and scope, which is Damaged.
func (k *Keys) Each(ctx context.Context, fn func(*Key) error) error {
	return eachRecord(ctx, k.records, store.KeyKind, func(record store.Record) error {
		key, err := parseKey(record)
		if err != nil {
			key = &Key{ID: record.Name, Damaged: err}
		}
		return fn(key)
	})
}

// Revoke revokes the key with an ID, and gives it; store.ErrNotFound if there
// is none. One that is revoked already stays as it is.
func (k *Keys) Revoke(ctx context.Context, id string) (*Key, error) {
	for {
		records, err := k.records.Records(ctx, store.KeyKind, []string{id})
		if err != nil {
			return nil, fmt.Errorf("read key %s: %w", id, err)
		}
		record, ok := records[id]
		if !ok {
			return nil, fmt.Errorf("key %.40q: %w", id, store.ErrNotFound)
		}
		key, err := parseKey(record)
		if err != nil || key.Revoked != nil {
			return key, err
		}
		now := time.Now().UTC().Truncate(time.Second)
		key.Revoked = &now
		if err := k.swap(ctx, key, record.Rev); !errors.Is(err, store.ErrConflict) {
			return key, err
		}
	}
}

// RevokeSite revokes all keys of one site, and tells how many were good, also
// with an error.
func (k *Keys) RevokeSite(ctx context.Context, site string) (revoked int, err error) {
	err = k.Each(ctx, func(key *Key) error {
		if key.Site != site || key.Revoked != nil {
			return nil
		}
		_, err := k.Revoke(ctx, key.ID)
		if err == nil {
			revoked++
		}
		return err
	})
	return revoked, err
}

func (k *Keys) swap(ctx context.Context, key *Key, rev uint64) error {
	body, err := json.Marshal(key)
	if err != nil {
		return err
	}
	err = k.records.SwapRecord(ctx, store.KeyKind, &store.Record{Name: key.ID, Rev: rev, Body: body})
	if err != nil {
		return fmt.Errorf("write key %s: %w", key.ID, err)
	}
	return nil
}

// recordsAtOnce is how many records are read at once.
const recordsAtOnce = 1000

// eachRecord calls fn for each record of a kind, in order.
func eachRecord(ctx context.Context, records store.Records, kind store.RecordKind, fn func(store.Record) error) error {
	for after := ""; ; {
		page, err := records.RecordsAfter(ctx, kind, after, recordsAtOnce)
		if err != nil {
			return fmt.Errorf("list the %ss: %w", kind, err)
		}
		for _, record := range page {
			if err := fn(record); err != nil {
				return err
			}
			after = record.Name
		}
		if len(page) < recordsAtOnce {
			return nil
		}
	}
}
