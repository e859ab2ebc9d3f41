package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/daybook-analytics/daybook/internal/site"
	"github.com/daybook-analytics/daybook/internal/store"
)

// Scope is what a key is for.
type Scope string

// The scopes. An admin key may do all that the others may.
const (
	Ingest Scope = "ingest" // send events
	Read   Scope = "read"   // ask for statistics
	Admin  Scope = "admin"  // what operators do
)

// Scopes lists all of them.
func Scopes() []Scope { return []Scope{Ingest, Read, Admin} }

// EverySite is all sites, as the site of a key. No site has this name.
const EverySite = "*"

// Key is what is kept of a key. Its token, which its holder has, is not.
type Key struct {
	// ID names the key and is no secret; it is a part of the token.
	ID string `json:"-"`
	// Site is the one that it is for, or EverySite.
	Site  string `json:"site"`
	Scope Scope  `json:"scope"`
	// Public tells of an ingest key that it may stand in pages. It is taken from
	// the allowed origins of its site only.
	Public bool `json:"public,omitempty"`
	// Note is what its owner wants to remember.
	Note string `json:"note,omitempty"`
	// Hash is the SHA-256 of the token. Tokens are random, so that a slow hash
	// would add nothing.
	Hash    [sha256.Size]byte `json:"hash"`
	Created time.Time         `json:"created"`
	// Revoked is when it was revoked; nil while it is good. It is kept all the
	// same: a role that keys were made for does not become open to everybody.
	Revoked *time.Time `json:"revoked,omitempty"`
	// Damaged tells why it cannot be read; nil if it can.
	Damaged error `json:"-"`
}

// A token is "db_", the scope, the ID and the secret, with underscores between
// them, so that people and scanners for secrets can tell what it is.
const (
	tokenPrefix = "db"
	idLen       = 10 // characters of base32, 50 bits: IDs are unique all the same, see Keys.Create
	secretLen   = 26 // characters of base32, 130 bits

	base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" // that of rand.Text
)

// newToken makes a token, and gives the ID in it.
func newToken(scope Scope) (token, id string) {
	id = rand.Text()[:idLen]
	return strings.Join([]string{tokenPrefix, string(scope), id, rand.Text()[:secretLen]}, "_"), id
}

// idOf gives the ID in what may be a token; "" if it has not the form of one.
func idOf(token string) string {
	prefix, rest, _ := strings.Cut(token, "_")
	scope, rest, _ := strings.Cut(rest, "_")
	id, secret, _ := strings.Cut(rest, "_")
	if prefix != tokenPrefix || !slices.Contains(Scopes(), Scope(scope)) || len(id) != idLen || len(secret) != secretLen {
		return ""
	}
	return id
}

// FindID gives the ID of the key that somebody names by its ID, by what its token
// begins with, or by the token itself. The error does not repeat what was
// given, which may be a secret.
func FindID(name string) (string, error) {
	id := name
	if parts := strings.Split(name, "_"); parts[0] == tokenPrefix && len(parts) >= 3 {
		id = parts[2]
	}
	if len(id) != idLen || strings.Trim(id, base32Alphabet) != "" {
		return "", fmt.Errorf("this names no key: give its ID, %d capital letters and digits, or what its token begins with, as in %s_read_ABCDEFGHIJ", idLen, tokenPrefix)
	}
	return id, nil
}

// opens tells whether the token is that of the key, in a time that does not
// depend on how much of it is right.
func (k *Key) opens(token string) bool {
	hash := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(hash[:], k.Hash[:]) == 1
}

// For tells whether the key is for a scope.
func (k *Key) For(scope Scope) bool { return k.Scope == scope || k.Scope == Admin }

// ForSite tells whether the key is for a site.
func (k *Key) ForSite(site string) bool { return k.Site == site || k.Site == EverySite }

// Prefix is what a token begins with: it tells which key it is, and opens
// nothing.
func (k *Key) Prefix() string {
	return strings.Join([]string{tokenPrefix, string(k.Scope), k.ID}, "_")
}

// Validate tells what is wrong with a key.
func (k *Key) Validate() error {
	const maxNote = 200
	switch {
	case !slices.Contains(Scopes(), k.Scope):
		return fmt.Errorf("there is no scope %.40q: it is ingest, read or admin", k.Scope)
	case k.Public && k.Scope != Ingest:
		return fmt.Errorf("a key of scope %s cannot be public: only ingest keys may stand in pages", k.Scope)
	case k.Public && k.Site == EverySite:
		return errors.New("a public key is for one site, whose allowed origins it is bound to")
	case k.Site != EverySite && !site.ValidID(k.Site):
		return fmt.Errorf("a key is for a site, or for %s, which is all of them; there can be no site %.40q", EverySite, k.Site)
	case len(k.Note) > maxNote:
		return fmt.Errorf("the note is %d bytes long, and %d is the most", len(k.Note), maxNote)
	case strings.ContainsFunc(k.Note, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the note has characters that cannot be printed")
	}
	return nil
}

// parseKey reads a key's record.
func parseKey(record store.Record) (*Key, error) {
	k := new(Key)
	if err := json.Unmarshal(record.Body, k); err != nil {
		return nil, fmt.Errorf("the record of key %.40q cannot be read: %w", record.Name, err)
	}
	// What is no key must not be one of a scope that closes nothing.
	if err := k.Validate(); err != nil {
		return nil, fmt.Errorf("the record of key %.40q cannot be used: %w", record.Name, err)
	}
	k.ID = record.Name
	return k, nil
}
