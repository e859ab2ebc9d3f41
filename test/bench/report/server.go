package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daybook-analytics/daybook/internal/loadgen"
)

// prepare makes the data, unless it is there.
func (b *bench) prepare(ctx context.Context) error {
	marker := filepath.Join(b.data, "complete")
	if end, err := os.ReadFile(marker); err == nil {
		b.end, err = time.Parse(time.DateOnly, string(end))
		return err
	}
	if err := os.RemoveAll(b.data); err != nil {
		return err
	}
	b.end = time.Now().UTC().AddDate(0, 0, -1).Truncate(24 * time.Hour)
	s, err := b.start(ctx)
	if err != nil {
		return err
	}
	err = func() error {
		begun := time.Now()
		for day := range days {
			date := b.end.AddDate(0, 0, day+1-days).Format(time.DateOnly)
			_, err := loadgen.Run(ctx, loadgen.Options{
				To: "http://" + s.ingest, Events: eventsPerDay, Sites: 1, Days: 1, End: date,
				Users: users, Paths: paths, ZipfS: 1.1, Seed: 1, Batch: 1000, Parallel: 4,
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "\rmaking the data: day %d of %d", day+1, days)
		}
		fmt.Fprintf(os.Stderr, "\rmade the data in %s     \n", time.Since(begun).Round(time.Second))
		// The months are built by the night, or with a rebuild.
		begun = time.Now()
		rebuild := exec.CommandContext(ctx, b.binary, "rebuild", "--data", b.data, "--site", site, "--exact")
		if text, err := rebuild.CombinedOutput(); err != nil {
			return fmt.Errorf("daybook rebuild: %w\n%s", err, text)
		}
		fmt.Fprintf(os.Stderr, "rebuilt it in %s\n", time.Since(begun).Round(time.Second))
		return nil
	}()
	if err := s.stop(err); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte(b.end.Format(time.DateOnly)), 0o644)
}

// server is a running process of Daybook.
type server struct {
	cmd            *exec.Cmd
	ingest, report string
	client         *http.Client
	log            bytes.Buffer
}

// start starts a process and waits until it is ready.
func (b *bench) start(ctx context.Context) (*server, error) {
	s := &server{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}}
	var err error
	if s.ingest, err = freeAddr(); err != nil {
		return nil, err
	}
	if s.report, err = freeAddr(); err != nil {
		return nil, err
	}
	s.cmd = exec.CommandContext(ctx, b.binary, "serve", "--data", b.data,
		"--ingest-addr", s.ingest, "--report-addr", s.report, "--check-schedule", "off", "--nightly-schedule", "off")
	s.cmd.Stderr = &s.log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		resp, err := s.client.Get("http://" + s.report + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, s.stop(errors.New("it is not ready after a minute"))
		}
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stop ends the process, and joins what went wrong there to err.
func (s *server) stop(err error) error {
	s.client.CloseIdleConnections()
	signalErr := s.cmd.Process.Signal(syscall.SIGTERM)
	waitErr := s.cmd.Wait()
	if err = errors.Join(err, signalErr, waitErr); err != nil {
		return fmt.Errorf("%w\nthe server's log:\n%s", err, s.log.Bytes())
	}
	return nil
}

type request struct {
	path, body string // with a body it is a POST
	etag       string
}

type answer struct {
	body []byte
	etag string
}

// ask sends one request and reads the answer, which must be 200, or 304 where
// an ETag was given.
func (s *server) ask(ctx context.Context, r request) (*answer, error) {
	method, want := http.MethodGet, http.StatusOK
	if r.body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.report+r.path, bytes.NewReader([]byte(r.body)))
	if err != nil {
		return nil, err
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.etag != "" {
		req.Header.Set("If-None-Match", r.etag)
		want = http.StatusNotModified
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s where %d was expected: %s", method, r.path, resp.Status, want, body)
	}
	return &answer{body: body, etag: resp.Header.Get("ETag")}, nil
}

// each sends n requests by all clients at once and tells how long each took.
func (s *server) each(ctx context.Context, n int, question func(i int) request) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	var (
		next atomic.Int64
		wait sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for range clients {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				begun := time.Now()
				_, err := s.ask(ctx, question(i))
				took[i] = time.Since(begun)
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wait.Wait()
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return took, nil
}

var allocBytes = regexp.MustCompile(`(?m)^go_memstats_alloc_bytes_total (\S+)$`)

// allocated is how many bytes the process has allocated so far.
func (s *server) allocated(ctx context.Context) (int64, error) {
	metrics, err := s.ask(ctx, request{path: "/metrics"})
	if err != nil {
		return 0, err
	}
	m := allocBytes.FindSubmatch(metrics.body)
	if m == nil {
		return 0, errors.New("/metrics has no go_memstats_alloc_bytes_total")
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	return int64(n), err
}
