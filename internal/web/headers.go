package web

import "net/http"

// What every answer says to browsers, unless its handler says something else:
// it is what it is declared as, nobody embeds it, and it may load nothing. The
// values are shared by all answers, so that they cost no memory for each; a
// handler replaces them (Header.Set) and never writes into them.
var (
	contentTypeOptions = []string{"nosniff"}
	referrerPolicy     = []string{"no-referrer"}
	contentPolicy      = []string{"default-src 'none'; frame-ancestors 'none'"}
	resourcePolicy     = []string{"same-origin"}
	strictTransport    = []string{"max-age=63072000"} // two years
)

// secure sets these headers. Over TLS they ask browsers to come by TLS only.
func secure(h http.Header, overTLS bool) {
	h["X-Content-Type-Options"] = contentTypeOptions
	h["Referrer-Policy"] = referrerPolicy
	h["Content-Security-Policy"] = contentPolicy
	h["Cross-Origin-Resource-Policy"] = resourcePolicy
	if overTLS {
		h["Strict-Transport-Security"] = strictTransport
	}
}
