package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/store"
	"github.com/daybook-analytics/daybook/internal/web"
)

// These paths are also for curl and scripts; docs/operations.md tells of them.
const (
	rebuildsPath        = "/admin/rebuilds"
	reconciliationsPath = "/admin/reconciliations"
	verifyPath          = "/admin/verify"
	statusPath          = "/admin/status"
)

func rebuildPath(id string) string { return rebuildsPath + "/" + url.PathEscape(id) }

const defaultList = 100

type resumeRequest struct {
	Parallel int `json:"parallel,omitempty"`
}

// registerREST adds the actions that are for scripts too.
func (a *Admin) registerREST(e entrance) {
	a.registerJobs(e)
	a.registerTransfer(e)
	a.registerRetention(e)
	a.registerSites(e)
	a.registerKeys(e)
}

func (a *Admin) registerJobs(e entrance) {
	list := func(jobs func(context.Context, int) ([]*reconcile.Job, error)) web.Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			limit, err := parseLimit(r)
			if err != nil {
				return err
			}
			list, err := jobs(r.Context(), limit)
			if list == nil {
				list = []*reconcile.Job{}
			}
			return answer(w, http.StatusOK, list, err)
		}
	}
	one := func(do func(ctx context.Context, id string) (*reconcile.Job, error)) web.Handler {
		return func(w http.ResponseWriter, r *http.Request) error {
			job, err := do(r.Context(), mux.Vars(r)["id"])
			return answer(w, http.StatusOK, job, err)
		}
	}
	e.handle(rebuildsPath, web.Methods{
		http.MethodGet: list(a.Rebuilds),
		http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
			var rebuild Rebuild
			if err := decode(w, r, &rebuild); err != nil {
				return err
			}
			rebuild.By = signed(r.Context(), rebuild.By)
			job, err := a.StartRebuild(r.Context(), rebuild)
			return answer(w, http.StatusAccepted, job, err)
		},
	})
	e.handle(rebuildsPath+"/{id}", web.Methods{
		http.MethodGet:    one(a.Rebuild),
		http.MethodDelete: one(a.CancelRebuild),
	})
	e.handle(rebuildsPath+"/{id}/resume", web.Methods{http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
		var resume resumeRequest
		if r.ContentLength != 0 {
			if err := decode(w, r, &resume); err != nil {
				return err
			}
		}
		job, err := a.ResumeRebuild(r.Context(), mux.Vars(r)["id"], resume.Parallel)
		return answer(w, http.StatusAccepted, job, err)
	}})
	e.handle(reconciliationsPath, web.Methods{http.MethodGet: list(a.Reconciliations)})
	e.handle(verifyPath, web.Methods{http.MethodGet: a.serveVerify})
	e.handle(statusPath, web.Methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
		status, err := e.status(r.Context())
		return answer(w, http.StatusOK, status, err)
	}})
}

// answer answers with what an action gave.
func answer(w http.ResponseWriter, status int, out any, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &web.Error{Status: http.StatusNotFound, Message: err.Error()}
	case errors.Is(err, reconcile.ErrNotResumable):
		return &web.Error{Status: http.StatusConflict, Message: err.Error()}
	case err != nil:
		return err
	}
	web.WriteJSON(w, status, out)
	return nil
}

// decode reads the body of a request: without its dry_run, misspelt, a request
// would do what it should only tell of.
func decode(w http.ResponseWriter, r *http.Request, in any) error {
	return web.ReadJSON(w, r, maxBody, in)
}

func parseLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return defaultList, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > MaxJobs {
		return 0, web.Invalid("limit", text, "is not a number of jobs", fmt.Sprintf("1 to %d", MaxJobs))
	}
	return limit, nil
}

// verifyLine is a line of the answer to GET /admin/verify: a day, or the end,
// which tells an answer that is whole from one that was cut off.
type verifyLine struct {
	*Verified
	End bool `json:"end,omitempty"`
	// Error says of the end why it came too early.
	Error string `json:"error,omitempty"`
}

// serveVerify answers with a line for each day as soon as it is checked.
func (a *Admin) serveVerify(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	days := reconcile.Range{Site: query.Get("site"), From: query.Get("from"), To: query.Get("to")}
	if err := checkDays(days, query.Get("all") == "true"); err != nil {
		return invalid(err)
	}
	var (
		out   = http.NewResponseController(w)
		lines = json.NewEncoder(w)
		begun bool
	)
	write := func(line verifyLine) error {
		if !begun {
			begun = true
			// It may take as long as it takes: only operators ask, and the
			// end of the process ends it.
			if err := out.SetWriteDeadline(time.Time{}); err != nil {
				return err
			}
			w.Header().Set("Content-Type", "application/x-ndjson")
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
		return out.Flush()
	}
	err := a.Verify(r.Context(), days, func(day Verified) error { return write(verifyLine{Verified: &day}) })
	if err != nil && !begun {
		return answer(w, 0, nil, err)
	}
	end := verifyLine{End: true}
	if err != nil {
		end.Error = err.Error()
	}
	// An error here means that the client has gone.
	_ = write(end)
	return nil
}

// StartRebuild is part of Actions.
func (c *Client) StartRebuild(ctx context.Context, r Rebuild) (*reconcile.Job, error) {
	return ask[*reconcile.Job](ctx, c, http.MethodPost, rebuildsPath, r)
}

// ResumeRebuild is part of Actions.
func (c *Client) ResumeRebuild(ctx context.Context, id string, parallel int) (*reconcile.Job, error) {
	return ask[*reconcile.Job](ctx, c, http.MethodPost, rebuildPath(id)+"/resume", resumeRequest{parallel})
}

// CancelRebuild is part of Actions.
func (c *Client) CancelRebuild(ctx context.Context, id string) (*reconcile.Job, error) {
	return ask[*reconcile.Job](ctx, c, http.MethodDelete, rebuildPath(id), nil)
}

// Rebuild is part of Actions.
func (c *Client) Rebuild(ctx context.Context, id string) (*reconcile.Job, error) {
	return ask[*reconcile.Job](ctx, c, http.MethodGet, rebuildPath(id), nil)
}

// Rebuilds is part of Actions.
func (c *Client) Rebuilds(ctx context.Context, limit int) ([]*reconcile.Job, error) {
	return ask[[]*reconcile.Job](ctx, c, http.MethodGet, rebuildsPath+"?limit="+strconv.Itoa(limit), nil)
}

// Reconciliations is part of Actions.
func (c *Client) Reconciliations(ctx context.Context, limit int) ([]*reconcile.Job, error) {
	return ask[[]*reconcile.Job](ctx, c, http.MethodGet, reconciliationsPath+"?limit="+strconv.Itoa(limit), nil)
}

// Status is part of Actions.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return ask[*Status](ctx, c, http.MethodGet, statusPath, nil)
}

// Verify is part of Actions.
func (c *Client) Verify(ctx context.Context, days reconcile.Range, fn func(Verified) error) error {
	resp, err := c.send(ctx, http.MethodGet, verifyPath+"?"+daysQuery(days).Encode(), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var line verifyLine
		switch err := lines.Decode(&line); {
		case err != nil:
			return c.failed(fmt.Errorf("the answer ends too early: %w", err))
		case line.End && line.Error != "":
			return errors.New(line.Error)
		case line.End:
			return nil
		case line.Verified == nil:
			return c.failed(errors.New("its answer has a line that is no day: use a command of the same version"))
		}
		if err := fn(*line.Verified); err != nil {
			return err
		}
	}
}
