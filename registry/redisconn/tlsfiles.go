package redisconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// TLSFiles says what a rediss:// connection is made with, beyond the URL. Certificates
// are renewed while a node runs, so the files are read again when they have changed;
// connections that are open stay. The files' form is PEM.
type TLSFiles struct {
	CA         string // file of the authorities that may vouch for the servers; default: the system's
	Cert       string // file of this client's certificate, and the chain behind it; default: none
	Key        string // file of the certificate's key; required with Cert
	ServerName string // what the servers' certificates are issued for; default: the host that is dialed
}

// TLSError says which part of TLSFiles can't be used.
type TLSError struct {
	Field string // of TLSFiles: "CA", "Cert", "Key" or "ServerName"
	Err   error
}

// Error says what is wrong with what.
func (e *TLSError) Error() string { return "TLS to Redis: " + e.Field + " " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *TLSError) Unwrap() error { return e.Err }

// maxPEM bounds the size of a file, in bytes.
const maxPEM = 1 << 20

// Check returns all that is wrong with the files for a URL that uses TLS, or does not.
// Each error is a *TLSError.
func (f TLSFiles) Check(usesTLS bool) []error {
	var wrong []error
	fault := func(field, format string, args ...any) {
		wrong = append(wrong, &TLSError{field, fmt.Errorf(format, args...)})
	}
	if !usesTLS {
		for _, set := range []struct{ field, value string }{{"CA", f.CA}, {"Cert", f.Cert}, {"Key", f.Key}, {"ServerName", f.ServerName}} {
			if set.value != "" {
				fault(set.field, "is %q, but the Redis URL does not use TLS; allowed: only with rediss://, rediss+sentinel:// and rediss+cluster://", set.value)
			}
		}
		return wrong
	}
	switch {
	case f.Cert != "" && f.Key == "":
		fault("Key", "is missing; allowed: a certificate with its key, or neither")
	case f.Key != "" && f.Cert == "":
		fault("Cert", "is missing; allowed: a certificate with its key, or neither")
	case f.Cert != "":
		if _, err := f.readCert(); err != nil {
			wrong = append(wrong, err)
		}
	}
	if f.CA != "" {
		if _, err := f.readCA(); err != nil {
			wrong = append(wrong, err)
		}
	}
	return wrong
}

func (f TLSFiles) readCA() (*x509.CertPool, error) {
	text, err := readPEM(f.CA)
	if err != nil {
		return nil, &TLSError{"CA", err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, &TLSError{"CA", fmt.Errorf("is %q, which holds no certificate; allowed: certificates in PEM form", f.CA)}
	}
	return pool, nil
}

func (f TLSFiles) readCert() (*tls.Certificate, error) {
	cert, err := readPEM(f.Cert)
	if err != nil {
		return nil, &TLSError{"Cert", err}
	}
	key, err := readPEM(f.Key)
	if err != nil {
		return nil, &TLSError{"Key", err}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &TLSError{"Cert", fmt.Errorf("is %q, which with the key in %q can't be used: %w; allowed: a certificate and its key in PEM form", f.Cert, f.Key, err)}
	}
	return &pair, nil
}

func readPEM(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err == nil {
		defer file.Close()
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(file, maxPEM+1)); err == nil && len(text) <= maxPEM {
			return text, nil
		}
	}
	var path *os.PathError
	switch {
	case err == nil:
		err = fmt.Errorf("it is larger than %d bytes", maxPEM)
	case errors.As(err, &path):
		err = path.Err
	}
	return nil, fmt.Errorf("is %q, which can't be read: %w; allowed: a file in PEM form", name, err)
}

// source checks the files and returns what makes the settings of each handshake of
// them, or nil if base, TLS as the URL wants it, is.
func (f TLSFiles) source(base *tls.Config) (*tlsSource, error) {
	if wrong := f.Check(base != nil); len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	if base == nil {
		return nil, nil
	}
	if base.InsecureSkipVerify && f.CA != "" {
		return nil, &TLSError{"CA", fmt.Errorf("is %q, but the Redis URL's skip_verify trusts every server; allowed: one of the two", f.CA)}
	}
	s := &tlsSource{files: f, base: base}
	_, err := s.config()
	return s, err
}

// tlsSource makes the settings of handshakes from files as they are now.
type tlsSource struct {
	files TLSFiles
	base  *tls.Config

	mu   sync.Mutex
	seen [3]stamp // of the files when they were read
	read *tls.Config
}

// stamp changes with a file, also if it is a link that leads to another file, as in a
// directory that Kubernetes keeps up to date.
type stamp struct {
	modified time.Time
	size     int64
}

func (f TLSFiles) stamps() (now [3]stamp) {
	for i, name := range []string{f.CA, f.Cert, f.Key} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			now[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return now
}

// config returns the settings for one handshake, of the caller's own. If the files have
// changed and can't be used, half of them perhaps being written, the ones read before
// count on, and the next handshake tries again.
func (s *tlsSource) config() (*tls.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.files.stamps()
	if s.read == nil || now != s.seen {
		fresh, err := s.readFiles()
		if err != nil && s.read == nil {
			return nil, err
		}
		if err == nil {
			s.read, s.seen = fresh, now
		}
	}
	return s.read.Clone(), nil
}

func (s *tlsSource) readFiles() (*tls.Config, error) {
	fresh := s.base.Clone()
	fresh.ServerName = s.files.ServerName
	if s.files.CA != "" {
		pool, err := s.files.readCA()
		if err != nil {
			return nil, err
		}
		fresh.RootCAs = pool
	}
	if s.files.Cert != "" {
		pair, err := s.files.readCert()
		if err != nil {
			return nil, err
		}
		fresh.Certificates = []tls.Certificate{*pair}
	}
	return fresh, nil
}
