package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// maxQuote bounds what a reason quotes of a server's text, in bytes.
const maxQuote = 200

// fault is why a probe did not end well.
type fault struct {
	step    Step
	verdict Verdict // Unfit, Leaving, or Undecided where it is no evidence
	failure string  // one of the constants
	text    string
	// answered says that the server spoke for itself, so that another address would not help.
	answered bool
	// config says that somebody should look at the configuration.
	config bool
}

func unfit(step Step, failure, format string, args ...any) *fault {
	return &fault{step: step, verdict: Unfit, failure: failure, text: fmt.Sprintf(format, args...)}
}

func (f *fault) byServer() *fault {
	f.answered = true
	return f
}

// misconfigured is a fault that says nothing about the backend.
func misconfigured(step Step, format string, args ...any) *fault {
	return &fault{step: step, failure: failConfig, text: fmt.Sprintf(format, args...), answered: true, config: true}
}

// unreadable is a fault for a file of the configuration that could not be read: its own, unless this machine is short of
// what reading takes.
func unreadable(step Step, key string, err error) *fault {
	if f := localTrouble(step, err); f != nil {
		return f
	}
	return misconfigured(step, "%s: %v", key, err)
}

func (f *fault) reason() string { return string(f.step) + ": " + f.text }

// Error makes a fault an error for those who don't want a verdict.
func (f *fault) Error() string { return "probe: " + f.reason() }

// localTrouble finds errors that are this machine's own and never count against a backend: out of descriptors,
// ports, memory, or no such address here to connect from.
func localTrouble(step Step, err error) *fault {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL),
		errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		text := "this machine's own trouble: " + rootCause(err)
		if errors.Is(err, syscall.EMFILE) {
			text += " (raise the limit of open files, LimitNOFILE= or ulimit -n)"
		}
		return &fault{step: step, failure: failLocal, answered: true, text: text}
	case errors.Is(err, context.Canceled):
		return &fault{step: step, failure: failCanceled, answered: true, text: "canceled"}
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// howClosed says in words what isClosed found.
func howClosed(err error) string {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return "the server reset the connection"
	}
	return "the server closed the connection"
}

// rootCause is the innermost text of a network error: what came before it is in the reason already.
func rootCause(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return printable(err.Error())
}

// quoted quotes text from a peer: printable, on one line, bounded.
func quoted(text string) string {
	if len(text) > maxQuote {
		return strconv.Quote(cut(text)) + "…"
	}
	return strconv.Quote(text)
}

// printable is quoted without the quotation marks, for text that is hardly ever strange.
func printable(text string) string {
	q := strconv.Quote(cut(text))
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func cut(text string) string {
	if len(text) <= maxQuote {
		return text
	}
	end := maxQuote
	for end > maxQuote-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// span is a duration for people.
func span(d time.Duration) string {
	if d >= time.Second {
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}
