// Package statuspage is the page that shows in a browser what a running fairlead does. It is one document without anything
// from outside; all that it shows it reads from /status and /history, beside it, about once a second.
//
//	mux.Handle("GET /{$}", statuspage.Handler())
package statuspage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

var (
	//go:embed page.html
	frame string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// document is the page as it is sent.
var document = []byte(strings.NewReplacer("/*page.css*/", style, "/*page.js*/", script).Replace(frame))

// policy lets nothing run or load but what stands in the document itself, and lets that talk to this server alone. Text
// can't become markup (trusted types), whatever the script does.
var policy = "default-src 'none'; script-src " + hash(script) + "; style-src " + hash(style) + "; connect-src 'self'; img-src data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// hash names a text in a Content-Security-Policy (CSP Level 3, hash-source).
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Handler answers with the page.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(document) // the peer may have gone
	})
}
