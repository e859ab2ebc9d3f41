package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/transfer"
	"github.com/daybook-analytics/daybook/internal/web"
)

// These paths are also for curl; docs/format/export.md tells of the formats.
const (
	exportPath        = "/admin/export"
	importRollupsPath = "/admin/import-rollups"
)

// errStopping answers what cannot be ended because the process is.
var errStopping = &web.Error{Status: http.StatusServiceUnavailable, Message: "this daybook is stopping"}

// untilStop gives a context that ends when the Admin stops, too.
func (a *Admin) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(a.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// Export is part of Actions.
func (a *Admin) Export(ctx context.Context, spec transfer.Spec, out io.Writer) (transfer.Exported, error) {
	if err := spec.Validate(); err != nil {
		return transfer.Exported{}, invalid(err)
	}
	if err := a.checkSite(ctx, spec.Site); err != nil {
		return transfer.Exported{}, err
	}
	ctx, cancel := a.untilStop(ctx)
	defer cancel()
	sum, err := transfer.Export(ctx, a.store, spec, out)
	if err != nil && a.ctx.Err() != nil {
		err = errStopping
	}
	return sum, err
}

// ImportRollups is part of Actions.
func (a *Admin) ImportRollups(ctx context.Context, in io.Reader) (transfer.Imported, error) {
	ctx, cancel := a.untilStop(ctx)
	defer cancel()
	sum, err := transfer.Import(ctx, a.store, in)
	switch {
	case err == nil:
	case a.ctx.Err() != nil:
		err = errStopping
	case errors.As(err, new(*transfer.InputError)):
		err = invalid(err)
	}
	return sum, err
}

func (a *Admin) registerTransfer(e entrance) {
	e.handle(exportPath, web.Methods{http.MethodGet: a.serveExport})
	e.handle(importRollupsPath, web.Methods{http.MethodPost: func(w http.ResponseWriter, r *http.Request) error {
		done, err := a.unlimited(w)
		if err != nil {
			return err
		}
		defer done()
		sum, err := a.ImportRollups(r.Context(), r.Body)
		return answer(w, http.StatusOK, sum, err)
	}})
}

// unlimited lets a request take as long as it takes: only operators ask. It
// ends with the Admin, even while the client neither reads nor
// writes.
func (a *Admin) unlimited(w http.ResponseWriter) (done func() bool, err error) {
	conn := http.NewResponseController(w)
	deadline := func(t time.Time) error { return errors.Join(conn.SetReadDeadline(t), conn.SetWriteDeadline(t)) }
	if err := deadline(time.Time{}); err != nil {
		return nil, err
	}
	return context.AfterFunc(a.ctx, func() { _ = deadline(time.Now()) }), nil
}

// endTrailer stands behind an export, and tells one that is whole from one
// that was cut off.
const endTrailer = "Daybook-Export"

type exportEnd struct {
	transfer.Exported
	// Error says why it came too early.
	Error string `json:"error,omitempty"`
}

// maxEndError keeps the trailer within what HTTP clients read of one.
const maxEndError = 1000

var contentTypes = map[string]string{
	transfer.NDJSON: "application/x-ndjson",
	transfer.CSV:    "text/csv; charset=utf-8",
	transfer.JSON:   "application/json; charset=utf-8",
}

func (a *Admin) serveExport(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	spec := transfer.Spec{
		Range:  reconcile.Range{Site: query.Get("site"), From: query.Get("from"), To: query.Get("to")},
		What:   query.Get("what"),
		Format: query.Get("format"),
	}
	if err := checkDays(spec.Range, query.Get("all") == "true"); err != nil {
		return invalid(err)
	}
	done, err := a.unlimited(w)
	if err != nil {
		return err
	}
	defer done()

	// A request that is wrong, or one for nothing, is answered as others are;
	// the answer to any other begins with the first bytes.
	out := &exportWriter{w: w, contentType: contentTypes[spec.Format]}
	sum, err := a.Export(r.Context(), spec, out)
	if err != nil && !out.begun {
		return answer(w, 0, nil, err)
	}
	out.begin()
	end := exportEnd{Exported: sum}
	if err != nil {
		end.Error = err.Error()[:min(len(err.Error()), maxEndError)]
	}
	trailer, err := json.Marshal(end)
	if err != nil {
		return err
	}
	w.Header().Set(endTrailer, string(trailer))
	return nil
}

// exportWriter begins the answer with the first bytes of it.
type exportWriter struct {
	w           http.ResponseWriter
	contentType string
	begun       bool
}

func (e *exportWriter) begin() {
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", e.contentType)
		e.w.Header().Set("Trailer", endTrailer)
		e.w.WriteHeader(http.StatusOK)
	}
}

func (e *exportWriter) Write(b []byte) (int, error) {
	e.begin()
	return e.w.Write(b)
}

// Export is part of Actions.
func (c *Client) Export(ctx context.Context, spec transfer.Spec, out io.Writer) (transfer.Exported, error) {
	query := daysQuery(spec.Range)
	query.Set("what", spec.What)
	query.Set("format", spec.Format)
	resp, err := c.send(ctx, http.MethodGet, exportPath+"?"+query.Encode(), nil)
	if err != nil {
		return transfer.Exported{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(out, resp.Body); err != nil {
		return transfer.Exported{}, fmt.Errorf("the export is not whole: %w", err)
	}
	var end exportEnd
	if err := json.Unmarshal([]byte(resp.Trailer.Get(endTrailer)), &end); err != nil {
		return transfer.Exported{}, c.failed(errors.New("the answer ends too early"))
	}
	if end.Error != "" {
		return end.Exported, errors.New(end.Error)
	}
	return end.Exported, nil
}

// daysQuery gives a choice of days as parameters of a request.
func daysQuery(days reconcile.Range) url.Values {
	query := url.Values{"site": {days.Site}, "from": {days.From}, "to": {days.To}}
	if days.Site == "" {
		query.Set("all", "true")
	}
	return query
}

// ImportRollups is part of Actions.
func (c *Client) ImportRollups(ctx context.Context, in io.Reader) (sum transfer.Imported, err error) {
	// Whether to close in is not for the request to say.
	resp, err := c.do(ctx, http.MethodPost, importRollupsPath, io.NopCloser(in))
	if err != nil {
		return sum, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&sum); err != nil {
		return sum, c.failed(err)
	}
	return sum, nil
}
