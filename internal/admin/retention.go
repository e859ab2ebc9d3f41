package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/retention"
	"github.com/daybook-analytics/daybook/internal/web"
)

const (
	expiriesPath = "/admin/expiries"
	erasuresPath = "/admin/erasures"
)

// Expiry says which raw events are to expire now.
type Expiry struct {
	// Policy is for how long they are kept; nil is as long as the settings of
	// the process that does it say.
	Policy *retention.Policy `json:"policy,omitempty"`
	// DryRun only tells what would go.
	DryRun bool `json:"dry_run,omitempty"`
	// By tells who wants it.
	By string `json:"by,omitempty"`
}

// Expired tells which raw events went, or would go.
type Expired struct {
	Policy retention.Policy    `json:"policy"`
	Sites  []retention.Expired `json:"sites"`
	// Problem says why it ended early; it can be done again.
	Problem string `json:"problem,omitempty"`
}

// Expire is part of Actions.
func (a *Admin) Expire(ctx context.Context, e Expiry) (*Expired, error) {
	policy := a.policy
	if e.Policy != nil {
		policy = *e.Policy
	}
	if err := policy.Validate(); err != nil {
		return nil, invalid(err)
	}
	ctx, cancel := a.untilStop(ctx)
	defer cancel()
	expired := &Expired{Policy: policy}
	var err error
	if e.DryRun {
		expired.Sites, err = a.keeper.Plan(ctx, policy)
	} else {
		expired.Sites, err = a.keeper.Expire(ctx, policy, e.By)
	}
	switch {
	case errors.Is(err, reconcile.ErrBusy):
		return nil, busy(err)
	case err != nil && len(expired.Sites) == 0:
		return nil, err
	case err != nil:
		expired.Problem = err.Error()
	}
	return expired, nil
}

// busy answers who wants to remove raw events while others do.
func busy(err error) error {
	return &web.Error{Status: http.StatusConflict, Message: err.Error(), Cause: err}
}

// Erase is part of Actions.
func (a *Admin) Erase(ctx context.Context, e retention.Erasure) (*retention.Receipt, error) {
	if err := e.Validate(time.Now().In(retention.Farthest)); err != nil {
		return nil, invalid(err)
	}
	if a.queue == nil {
		return nil, errNoQueue
	}
	ctx, cancel := a.untilStop(ctx)
	defer cancel()
	receipt, err := a.keeper.Erase(ctx, e)
	if errors.Is(err, reconcile.ErrBusy) {
		err = busy(err)
	}
	return receipt, err
}

func (a *Admin) registerRetention(e entrance) {
	e.handle(expiriesPath, web.Methods{http.MethodPost: long(a.Expire, func(in *Expiry) *string { return &in.By })})
	e.handle(erasuresPath, web.Methods{http.MethodPost: long(a.Erase, func(in *retention.Erasure) *string { return &in.By })})
}

// long answers a request that takes as long as it takes. What it does ends
// early when the client goes, or the Admin stops, and then says so. by gives
// where a request says who it is from.
func long[In, Out any](do func(context.Context, In) (Out, error), by func(*In) *string) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var in In
		if err := decode(w, r, &in); err != nil {
			return err
		}
		*by(&in) = signed(r.Context(), *by(&in))
		conn := http.NewResponseController(w)
		if err := errors.Join(conn.SetReadDeadline(time.Time{}), conn.SetWriteDeadline(time.Time{})); err != nil {
			return err
		}
		out, err := do(r.Context(), in)
		return answer(w, http.StatusOK, out, err)
	}
}

// Expire is part of Actions.
func (c *Client) Expire(ctx context.Context, e Expiry) (*Expired, error) {
	return ask[*Expired](ctx, c, http.MethodPost, expiriesPath, e)
}

// Erase is part of Actions.
func (c *Client) Erase(ctx context.Context, e retention.Erasure) (*retention.Receipt, error) {
	return ask[*retention.Receipt](ctx, c, http.MethodPost, erasuresPath, e)
}
