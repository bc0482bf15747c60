package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// amount is a number with a unit, as people write durations.
var amount = regexp.MustCompile(`^(-?[0-9]+(?:\.[0-9]+)?)\s*([a-zµ]*)$`)

// units are the words that people use for units, and what Go calls them. A bare number most probably means seconds.
var units = map[string]string{
	"": "s", "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"ms": "ms", "msec": "ms", "msecs": "ms", "milli": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms",
	"us": "us", "µs": "us", "usec": "us", "microseconds": "us", "ns": "ns",
	"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
	"h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
	"d": "d", "day": "d", "days": "d",
}

// guessDuration tells which Go duration text probably means.
func guessDuration(text string) (string, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	m := amount.FindStringSubmatch(text)
	if m == nil {
		text = strings.ReplaceAll(text, " ", "")
		_, err := time.ParseDuration(text)
		return text, err == nil
	}
	unit, ok := units[m[2]]
	if unit == "d" {
		days, err := strconv.ParseFloat(m[1], 64)
		return strconv.FormatFloat(days*24, 'f', -1, 64) + "h", err == nil
	}
	return m[1] + unit, ok
}

// suggestDuration says how text is written as a duration; if that can't be told it gives an example.
func suggestDuration(text string, example time.Duration) string {
	if guess, ok := guessDuration(text); ok {
		return fmt.Sprintf("write %q", guess)
	}
	if example == 0 {
		example = 2 * time.Second
	}
	return fmt.Sprintf(`write such as %q, "500ms" or "1m30s"`, plain(example))
}

// plain writes a duration as people do: 10h, not 10h0m0s.
func plain(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
