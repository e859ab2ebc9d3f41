package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/migrations"
	"github.com/daybook-analytics/daybook/rollup"
)

// Times are stored in milliseconds since 1970.

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMilli()))
}

func readTime(b []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC()
}

func checkpointKey(stream string) []byte { return append([]byte{keyCheckpoint}, stream...) }

func appendCheckpoint(b []byte, c store.Checkpoint) []byte {
	return appendTime(appendPosition(b, c.Position), c.AsOf)
}

func readCheckpoint(stream string, value []byte) (store.Checkpoint, error) {
	position, rest, ok := readPosition(value)
	if !ok || len(rest) != 8 {
		return store.Checkpoint{}, fmt.Errorf("the checkpoint of stream %q is damaged: it has %d bytes where %d belong", stream, len(value), positionLen+8)
	}
	return store.Checkpoint{Stream: stream, Position: position, AsOf: readTime(rest)}, nil
}

// checkpoint gives the checkpoint of a stream, at the zero position when it
// has none.
func (s *Store) checkpoint(stream string) (c store.Checkpoint, err error) {
	err = get(s.db, checkpointKey(stream), func(value []byte) error {
		c, err = readCheckpoint(stream, value)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return store.Checkpoint{Stream: stream}, nil
	}
	return c, err
}

// Checkpoints is part of store.Store.
func (s *Store) Checkpoints(ctx context.Context) (map[string]store.Checkpoint, error) {
	checkpoints := make(map[string]store.Checkpoint)
	err := s.scan(ctx, []byte{keyCheckpoint}, []byte{keyCheckpoint + 1}, func(key, value []byte) error {
		stream := string(key[1:])
		c, err := readCheckpoint(stream, value)
		checkpoints[stream] = c
		return err
	})
	if err != nil {
		return nil, err
	}
	return checkpoints, nil
}

func deadLetterKey(key string) []byte { return append([]byte{keyDeadLetter}, key...) }

// appendDeadLetter appends what the key does not say: time, reason, line.
func appendDeadLetter(b []byte, letter *store.DeadLetter) []byte {
	b = appendTime(b, letter.Time)
	b = binary.AppendUvarint(b, uint64(len(letter.Reason)))
	b = append(b, letter.Reason...)
	return append(b, letter.Line...)
}

func readDeadLetter(key string, value []byte) (store.DeadLetter, error) {
	damaged := func(what string) (store.DeadLetter, error) {
		return store.DeadLetter{}, fmt.Errorf("the dead letter %q is damaged: %s", key, what)
	}
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return damaged("its key has no position")
	}
	position, err := rollup.ParsePosition(key[at+1:])
	if err != nil {
		return damaged(err.Error())
	}
	if len(value) < 8 {
		return damaged("it has no time")
	}
	n, size := binary.Uvarint(value[8:])
	if size <= 0 || n > uint64(len(value)-8-size) {
		return damaged("its reason is cut off")
	}
	text := value[8+size:]
	return store.DeadLetter{
		Stream:   key[:at],
		Position: position,
		Reason:   string(text[:n]),
		Line:     append([]byte(nil), text[n:]...),
		Time:     readTime(value),
	}, nil
}

// DeadLetters is part of store.Store.
func (s *Store) DeadLetters(ctx context.Context, after string, limit int) ([]store.DeadLetter, error) {
	var letters []store.DeadLetter
	lower := deadLetterKey(after)
	if after != "" {
		lower = append(lower, 0) // the first key behind it
	}
	enough := errors.New("enough")
	err := s.scan(ctx, lower, []byte{keyDeadLetter + 1}, func(key, value []byte) error {
		if len(letters) >= limit {
			return enough
		}
		letter, err := readDeadLetter(string(key[1:]), value)
		letters = append(letters, letter)
		return err
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, err
	}
	return letters, nil
}

// DeadLetter is part of store.Store.
func (s *Store) DeadLetter(ctx context.Context, key string) (letter store.DeadLetter, err error) {
	if err := ctx.Err(); err != nil {
		return store.DeadLetter{}, err
	}
	err = get(s.db, deadLetterKey(key), func(value []byte) (err error) {
		letter, err = readDeadLetter(key, value)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("dead letter %q: %w", key, err)
	}
	return letter, err
}

// DeleteDeadLetters is part of store.Store. It is one batch.
func (s *Store) DeleteDeadLetters(ctx context.Context, keys []string) (deleted int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.deletion.Lock()
	defer s.deletion.Unlock()
	// The batch has an index so that a key that is given twice counts once.
	batch := s.db.NewIndexedBatch()
	for _, key := range keys {
		err := get(batch, deadLetterKey(key), func([]byte) error { return nil })
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err == nil {
			err = batch.Delete(deadLetterKey(key), nil)
		}
		if err != nil {
			return 0, errors.Join(err, batch.Close())
		}
		deleted++
	}
	if err := s.write(batch, pebble.Sync); err != nil {
		return 0, err
	}
	return deleted, nil
}

// headsVersion is the version of the schema from which on rollups have heads.
// No other version had to change anything here, so that Migrate only records
// that this program's versions are reached.
const headsVersion = 2

// Migrate is part of store.Store.
func (s *Store) Migrate(ctx context.Context, done func(version int, name string)) error {
	s.migration.Lock()
	defer s.migration.Unlock()
	version, err := s.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	for _, m := range migrations.All() {
		if m.Version <= version {
			continue
		}
		if m.Version == headsVersion {
			if err := s.writeHeads(ctx); err != nil {
				return err
			}
		}
		value := binary.BigEndian.AppendUint64(nil, uint64(m.Version))
		if err := s.set([]byte{keySchema}, value, pebble.Sync); err != nil {
			return err
		}
		done(m.Version, m.Name)
	}
	return nil
}
