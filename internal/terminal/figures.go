package terminal

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// Duration is a duration in as few letters as people need: 250µs, 1.2ms, 35s, 3m, 5h, 12d. 0 is 0s; what is
// negative counts as 0.
func Duration(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < time.Microsecond:
		return "<1µs"
	case d < time.Millisecond:
		return figure(d, time.Microsecond, "µs")
	case d < time.Second:
		return figure(d, time.Millisecond, "ms")
	case d < time.Minute:
		return figure(d, time.Second, "s")
	case d < time.Hour:
		return whole(d, time.Minute, "m")
	case d < 2*day:
		return whole(d, time.Hour, "h")
	}
	return whole(d, day, "d")
}

// figure has one decimal below 10, and never rounds up to the next unit.
func figure(d, unit time.Duration, name string) string {
	if d < 10*unit {
		return strconv.FormatFloat(float64(d/(unit/10))/10, 'f', -1, 64) + name
	}
	return whole(d, unit, name)
}

func whole(d, unit time.Duration, name string) string {
	return strconv.FormatInt(int64(d/unit), 10) + name
}

// Bytes is an amount of bytes with a decimal unit: 812 B, 1.2 kB, 35 MB.
func Bytes(n uint64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 1000 && unit < len(byteUnits)-1 {
		value /= 1000
		unit++
	}
	if value < 10 {
		return fmt.Sprintf("%.1f %s", value, byteUnits[unit])
	}
	return fmt.Sprintf("%.0f %s", value, byteUnits[unit])
}

var byteUnits = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// Rate is a number of events a second: 0, 0.2, 3.5, 812, 12000.
func Rate(perSecond float64) string {
	if perSecond >= 10 {
		return strconv.FormatFloat(perSecond, 'f', 0, 64)
	}
	return strconv.FormatFloat(math.Round(perSecond*10)/10, 'f', -1, 64)
}

// Plural is a number with its noun, in the plural unless it is one.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
