package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/daybook-analytics/daybook/internal/access"
	"github.com/daybook-analytics/daybook/internal/web"
)

const keysPath = "/admin/keys"

// NewKey says which key is to be made.
type NewKey struct {
	// Site is the one that it is for, or access.EverySite.
	Site string `json:"site"`
	// Scope is ingest, read or admin.
	Scope access.Scope `json:"scope"`
	// Public tells of an ingest key that it may stand in pages of the site's
	// allowed origins.
	Public bool `json:"public,omitempty"`
	// Note is what its owner wants to remember.
	Note string `json:"note,omitempty"`
}

// Key tells of a key, and not what opens with it. Of one whose record is damaged
// it has the ID, also as the prefix, and as the note what is wrong.
type Key struct {
	ID string `json:"id"`
	// Prefix is what its token begins with.
	Prefix  string       `json:"prefix"`
	Site    string       `json:"site"`
	Scope   access.Scope `json:"scope"`
	Public  bool         `json:"public"`
	Created time.Time    `json:"created,omitzero"`
	// Revoked is when it was revoked; nil while it is good.
	Revoked *time.Time `json:"revoked,omitempty"`
	Note    string     `json:"note,omitempty"`
}

// CreatedKey is a key that was made just now.
type CreatedKey struct {
	Key
	// Token is what its holder sends. Nobody can ask for it again.
	Token string `json:"token"`
}

func newKey(k *access.Key) Key {
	if k.Damaged != nil {
		return Key{ID: k.ID, Prefix: k.ID, Note: k.Damaged.Error()}
	}
	return Key{ID: k.ID, Prefix: k.Prefix(), Site: k.Site, Scope: k.Scope, Public: k.Public, Created: k.Created, Revoked: k.Revoked, Note: k.Note}
}

// CreateKey is part of Actions.
func (a *Admin) CreateKey(ctx context.Context, n NewKey) (*CreatedKey, error) {
	key := access.Key{Site: n.Site, Scope: n.Scope, Public: n.Public, Note: n.Note}
	if err := key.Validate(); err != nil {
		return nil, invalid(err)
	}
	if key.Site != access.EverySite {
		if err := a.checkChangeable(ctx, key.Site); err != nil {
			return nil, err
		}
	}
	if key.Public {
		settings, err := a.sites.Get(ctx, key.Site)
		if err != nil {
			return nil, err
		}
		if len(settings.Origins) == 0 {
			return nil, invalid(fmt.Errorf("a public key is taken from the allowed origins of its site alone, and %s has none: `daybook sites set %s --origins https://…` sets them", key.Site, key.Site))
		}
	}
	made, token, err := a.keys.Create(ctx, key)
	if err != nil {
		return nil, err
	}
	a.changed()
	a.log.Info("key created", "key", made.ID, "site", made.Site, "scope", made.Scope, "public", made.Public, "by", signed(ctx, ""))
	return &CreatedKey{newKey(made), token}, nil
}

// Keys is part of Actions.
func (a *Admin) Keys(ctx context.Context, site string) ([]Key, error) {
	keys := []Key{}
	err := a.keys.Each(ctx, func(k *access.Key) error {
		if site == "" || k.ForSite(site) || k.Damaged != nil {
			keys = append(keys, newKey(k))
		}
		return nil
	})
	return keys, err
}

// RevokeKey is part of Actions.
func (a *Admin) RevokeKey(ctx context.Context, id string) (*Key, error) {
	id, err := access.FindID(id)
	if err != nil {
		return nil, invalid(err)
	}
	revoked, err := a.keys.Revoke(ctx, id)
	if err != nil {
		return nil, err
	}
	a.changed()
	a.log.Info("key revoked", "key", id, "by", signed(ctx, ""))
	key := newKey(revoked)
	return &key, nil
}

// checkNoPublicKeys tells that a site still has public keys, none of which
// would be taken any more without allowed origins.
func (a *Admin) checkNoPublicKeys(ctx context.Context, site string) error {
	var public []string
	err := a.keys.Each(ctx, func(k *access.Key) error {
		if k.Site == site && k.Public && k.Revoked == nil {
			public = append(public, k.Prefix())
		}
		return nil
	})
	if err == nil && len(public) > 0 {
		err = invalid(fmt.Errorf("site %s has public keys, which are taken from its allowed origins alone, and would not be taken any more: revoke them first (%s)", site, strings.Join(public, ", ")))
	}
	return err
}

func (a *Admin) registerKeys(e entrance) {
	e.handle(keysPath, web.Methods{
		http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			keys, err := a.Keys(r.Context(), r.URL.Query().Get("site"))
			return answer(w, http.StatusOK, keys, err)
		},
		http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
			var n NewKey
			if err := decode(w, r, &n); err != nil {
				return err
			}
			key, err := a.CreateKey(r.Context(), n)
			return answer(w, http.StatusCreated, key, err)
		},
	})
	e.handle(keysPath+"/{id}", web.Methods{http.MethodDelete: func(w http.ResponseWriter, r *http.Request) error {
		id := mux.Vars(r)["id"]
		// Paths get into logs.
		if strings.Count(id, "_") > 2 {
			return invalid(errors.New("a whole token must not stand in a URL: its ID is enough"))
		}
		key, err := a.RevokeKey(r.Context(), id)
		return answer(w, http.StatusOK, key, err)
	}})
}

// CreateKey is part of Actions.
func (c *Client) CreateKey(ctx context.Context, n NewKey) (*CreatedKey, error) {
	return ask[*CreatedKey](ctx, c, http.MethodPost, keysPath, n)
}

// Keys is part of Actions.
func (c *Client) Keys(ctx context.Context, site string) ([]Key, error) {
	return ask[[]Key](ctx, c, http.MethodGet, keysPath+"?"+url.Values{"site": {site}}.Encode(), nil)
}

// RevokeKey is part of Actions.
func (c *Client) RevokeKey(ctx context.Context, id string) (*Key, error) {
	id, err := access.FindID(id)
	if err != nil {
		return nil, invalid(err)
	}
	return ask[*Key](ctx, c, http.MethodDelete, keysPath+"/"+id, nil)
}
