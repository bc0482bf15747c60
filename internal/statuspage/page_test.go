package statuspage

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDocument: the page is whole, names nothing from elsewhere, and its policy knows its script and its style.
func TestDocument(t *testing.T) {
	answer := httptest.NewRecorder()
	Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
	page := answer.Body.String()
	if strings.Contains(page, "/*page.") || strings.Count(page, "<script>") != 1 || strings.Count(page, "<style>") != 1 {
		t.Error("script or style are not in the page")
	}
	for _, outside := range []string{"https:", "src=", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write", "eval("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page has %s", outside)
		}
	}
	between := func(begin, end string) string {
		_, rest, _ := strings.Cut(page, begin)
		text, _, _ := strings.Cut(rest, end)
		return text
	}
	policy := answer.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src " + hash(between("<script>", "</script>")) + ";", "connect-src 'self'",
		"style-src " + hash(between("<style>", "</style>")) + ";", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%s\nis missing in %s", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Error(policy)
	}
	if n := len(document); n > 50<<10 {
		t.Errorf("the page has %d bytes", n)
	}
	if bytes.Contains(document, []byte("\r")) {
		t.Error("browsers change carriage returns before they hash")
	}
}
