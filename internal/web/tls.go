package web

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateAge is how old what was read of the files may be when a client
// connects: a renewed certificate is in use that much later.
const certificateAge = 10 * time.Second

// certificate is a certificate and its key in two files, which are read again
// when they change.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // protects what follows
	checked time.Time  // when the files were read last
	// certPEM and keyPEM are what they held then, right or wrong, and
	// current is the last of it that was right.
	certPEM, keyPEM []byte
	current         *tls.Certificate
}

// UseTLS makes the server speak TLS with the certificate (with those between
// it and the root) and the key in files of the form PEM. They may be replaced
// while the server runs: new connections get the new certificate at most ten
// seconds later. While the new ones cannot be read, or do not belong together,
// the old ones stay in use and the log says why. Call it before Start.
func (s *Server) UseTLS(certFile, keyFile string) error {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: s.log}
	if err := c.read(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	return nil
}

// get gives the certificate for a new connection.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateAge {
		if err := c.read(); err != nil {
			c.log.Error("the TLS certificate is not renewed, the old one stays in use", "error", err)
		}
	}
	return c.current, nil
}

// read reads the files. What was in them before is no news, and no error
// again. The caller holds mu, unless nobody else has the certificate yet.
func (c *certificate) read() error {
	c.checked = time.Now()
	certPEM, err := os.ReadFile(c.certFile)
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS key: %w", err)
	}
	if bytes.Equal(certPEM, c.certPEM) && bytes.Equal(keyPEM, c.keyPEM) {
		return nil
	}
	c.certPEM, c.keyPEM = certPEM, keyPEM
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("TLS certificate in %s with its key in %s: %w", c.certFile, c.keyFile, err)
	}
	if until := pair.Leaf.NotAfter; time.Now().After(until) {
		c.log.Warn("the TLS certificate has expired", "file", c.certFile, "at", until)
	}
	c.current = &pair
	return nil
}
