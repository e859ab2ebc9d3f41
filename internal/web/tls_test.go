package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// makeCertificate makes a certificate for the host x and its key, as PEM.
func makeCertificate(t *testing.T, serial int64, until time.Time) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"x"},
		NotBefore: until.AddDate(-1, 0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func writeFile(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsClient makes connections that accept any certificate.
func (p *pipes) tlsClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: true,
	}}
}

// TestCertificateIsRenewed replaces the files of a server, one after the other
// and not always by something right, and looks at what new connections get.
func TestCertificateIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		rt, _ := newTestRouter()
		p := newPipes()
		s := NewServerOn("test", p.listen, rt, nil, slog.New(slog.NewTextHandler(&log, nil)))
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		cert, key := makeCertificate(t, 1, time.Now().AddDate(0, 1, 0))
		writeFile(t, certFile, cert)
		writeFile(t, keyFile, key)
		if err := s.UseTLS(certFile, keyFile); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}

		// wantSerial connects anew after the time in which the server may not
		// notice.
		wantSerial := func(what string, want int64) {
			t.Helper()
			time.Sleep(certificateAge)
			client := p.tlsClient()
			defer client.CloseIdleConnections()
			resp, err := client.Get("https://x/healthz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); got != want {
				t.Errorf("%s: the certificate is number %d, want %d", what, got, want)
			}
			if resp.Header.Get("Strict-Transport-Security") == "" || resp.ProtoMajor != 2 {
				t.Errorf("%s: answered %s with %v", what, resp.Proto, resp.Header)
			}
		}
		wantSerial("at first", 1)
		if log := log.String(); strings.Contains(log, "level=ERROR") || !strings.Contains(log, "tls=true") {
			t.Errorf("logged: %s", log)
		}
		cert, key = makeCertificate(t, 2, time.Now().AddDate(0, -1, 0))
		writeFile(t, certFile, cert)
		wantSerial("without its key", 1)
		wantSerial("still without its key", 1)
		if n := strings.Count(log.String(), "certificate in "+certFile+" with its key in "+keyFile+": tls: private key does not match"); n != 1 {
			t.Errorf("what is wrong was logged %d times, want once: %s", n, &log)
		}
		writeFile(t, keyFile, key)
		wantSerial("renewed", 2)
		if want := "has expired"; !strings.Contains(log.String(), want) {
			t.Errorf("logged is not %q: %s", want, &log)
		}
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		wantSerial("removed", 2)
		if want := keyFile + ": no such file"; !strings.Contains(log.String(), want) {
			t.Errorf("logged is not %q: %s", want, &log)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWrongCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := makeCertificate(t, 1, time.Now().AddDate(0, 1, 0))
	_, otherKey := makeCertificate(t, 2, time.Now().AddDate(0, 1, 0))
	for name, content := range map[string][]byte{"cert": cert, "key": key, "other": otherKey, "empty": nil} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	for _, test := range []struct{ cert, key, want string }{
		{"cert", "key", ""},
		{"none", "key", "test: TLS certificate: open " + dir + "/none: no such file or directory"},
		{"cert", "none", "test: TLS key: open " + dir + "/none: no such file or directory"},
		{"cert", "other", "test: TLS certificate in " + dir + "/cert with its key in " + dir + "/other: tls: private key does not match public key"},
		{"empty", "key", "test: TLS certificate in " + dir + "/empty with its key in " + dir + "/key: tls: failed to find any PEM data in certificate input"},
		{"cert", "cert", "with its key in " + dir + "/cert: tls: found a certificate rather than a key"},
	} {
		rt, _ := newTestRouter()
		s, _ := newServerOnPipes(rt, nil)
		err := s.UseTLS(filepath.Join(dir, test.cert), filepath.Join(dir, test.key))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s and %s: %v, want %q", test.cert, test.key, err, test.want)
		}
	}
}

// TestSlowClientsOverTLS has clients that would hold a connection for ever
// before HTTP begins, or within HTTP/2.
func TestSlowClientsOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := newTestRouter()
		received := make(chan error, 1)
		rt.Handle("/upload", Methods{http.MethodPost: func(_ http.ResponseWriter, r *http.Request) error {
			_, err := io.Copy(io.Discard, r.Body)
			received <- err
			return err
		}})
		dir := t.TempDir()
		cert, key := makeCertificate(t, 1, time.Now().AddDate(0, 1, 0))
		writeFile(t, filepath.Join(dir, "cert"), cert)
		writeFile(t, filepath.Join(dir, "key"), key)
		s, p := newServerOnPipes(rt, nil)
		if err := s.UseTLS(filepath.Join(dir, "cert"), filepath.Join(dir, "key")); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}

		begun := time.Now()
		silent := p.dial()
		defer silent.Close()
		if answer := ended(silent); answer != "" || time.Since(begun) != headerTimeout {
			t.Errorf("a silent client was answered %q after %v, want %v", answer, time.Since(begun), headerTimeout)
		}

		begun = time.Now()
		client := p.tlsClient()
		var sending sync.WaitGroup
		body, trickled := net.Pipe()
		sending.Go(func() { trickle(trickled) })
		sending.Go(func() {
			resp, err := client.Post("https://x/upload", "text/plain", body)
			if err == nil {
				resp.Body.Close()
			}
		})
		if err := <-received; err == nil || time.Since(begun) != readTimeout {
			t.Errorf("a slow body was ended with %v after %v, want %v", err, time.Since(begun), readTimeout)
		}
		body.Close()
		sending.Wait()
		client.CloseIdleConnections()
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestConnectionsAreBounded has one more client than a server has room for.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt, _ := newTestRouter()
		s, p := newServerOnPipes(rt, nil)
		s.connections = 2
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		first, second := p.dial(), p.dial()
		answered := make(chan string)
		go func() {
			conn := p.dial()
			defer conn.Close()
			fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			answered <- ended(conn)
		}()
		synctest.Wait()
		select {
		case answer := <-answered:
			t.Errorf("a third client was answered %q", answer)
		default:
		}
		first.Close()
		if answer := <-answered; !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("after another one had left, the third client was answered %q", answer)
		}
		third := p.dial()
		synctest.Wait() // the server waits for room

		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		second.Close()
		third.Close()
	})
}
