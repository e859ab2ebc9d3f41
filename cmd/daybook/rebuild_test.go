package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/daybook-analytics/daybook/internal/admin"
	"github.com/daybook-analytics/daybook/internal/reconcile"
	"github.com/daybook-analytics/daybook/internal/web"
)

// TestFollow tells of each way in which a job in a running daybook can end, or
// not, what to do.
func TestFollow(t *testing.T) {
	now := time.Now()
	running := reconcile.Job{ID: "JOB", State: reconcile.Running, Updated: now, Days: 10}
	with := func(change func(*reconcile.Job)) *reconcile.Job {
		job := running
		change(&job)
		return &job
	}
	for _, tt := range []struct {
		name string
		// next is what the daybook says when it is asked; nil ends it.
		next      *reconcile.Job
		interrupt bool
		code      int
		tells     string
	}{
		{"done", with(func(j *reconcile.Job) { j.State, j.Finished = reconcile.Done, 10 }), false, 0, "10 days"},
		{"refused", with(func(j *reconcile.Job) { j.State, j.Refused = reconcile.Done, 1 }), false, 1, "1 left as they are"},
		{"unreadable", with(func(j *reconcile.Job) { j.State, j.Unreadable = reconcile.Done, 1 }), false, 1, "1 with errors"},
		{"failed", with(func(j *reconcile.Job) { j.State, j.Error = reconcile.Failed, "the disk is full" }), false, 1, "the disk is full; once that is mended go on with `daybook rebuild --resume JOB`"},
		{"stopped", with(func(j *reconcile.Job) { j.State = reconcile.Stopped }), false, 1, "go on with `daybook rebuild --resume JOB`"},
		{"cancelled", with(func(j *reconcile.Job) { j.State = reconcile.Cancelled }), false, 1, "was cancelled"},
		{"lost", with(func(j *reconcile.Job) { j.Updated = now.Add(-2 * reconcile.StaleAfter) }), false, 1, "its process is gone: go on with `daybook rebuild --resume JOB`"},
		{"interrupted", &running, true, 1, "goes on in the running daybook: `daybook jobs show JOB` tells how far it is, `daybook jobs cancel JOB` ends it"},
		{"gone", nil, false, 1, "if it does not go on, then go on with `daybook rebuild --resume JOB`"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := web.NewRouter(slog.New(slog.DiscardHandler))
			rt.Handle("/admin/rebuilds/{id}", web.Methods{http.MethodGet: func(w http.ResponseWriter, _ *http.Request) error {
				if tt.next == nil {
					panic(http.ErrAbortHandler)
				}
				web.WriteJSON(w, http.StatusOK, tt.next)
				return nil
			}})
			dir := t.TempDir()
			server := web.NewServerOn("admin", func() (net.Listener, error) { return admin.Listen(dir) }, rt, nil, slog.New(slog.DiscardHandler))
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := server.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			socket, err := admin.SocketPath(dir)
			if err != nil {
				t.Fatal(err)
			}
			client, err := admin.Dial(t.Context(), socket)
			if err != nil {
				t.Fatal(err)
			}

			var out bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.interrupt {
				cancel()
			}
			env := &env{ctx: ctx, stdout: &out, stderr: &out}
			code := exitCode(new(rebuildCmd).follow(env, client, &running), &out)
			if code != tt.code || !strings.Contains(out.String(), tt.tells) {
				t.Errorf("exit code %d, want %d; want %q in\n%s", code, tt.code, tt.tells, &out)
			}
		})
	}
}
