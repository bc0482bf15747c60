// Package clock is about times that leave the process that has noted them. Within it they keep Go's monotonic reading, and nothing
// depends on the system's clock, which may jump by seconds or by years; whoever gets only the time of day would be misled.
package clock

import "time"

const (
	// aJump is by how much the time of day and the monotonic reading must have come apart before that is called a jump of the
	// clock. They are not read at the same moment.
	aJump = time.Second
	// onTheWay is how long a time may have been on its way to another process.
	onTheWay = time.Minute
)

// Told is a time of this process for somebody who compares it with the system's clock as it is now: by that clock it is as long
// ago, or as far ahead, as it is in truth. Unless the clock has jumped since then it is the same time. Zero stays zero.
func Told(then, now time.Time) time.Time {
	if then.IsZero() {
		return then
	}
	jumped := now.Round(0).Sub(then.Round(0)) - now.Sub(then)
	if jumped.Abs() < aJump {
		return then
	}
	return then.Add(jumped.Round(aJump)) // of two tellings neither differs from the other
}

// Heard is a time that another process has Told at a time of day, for this process, at its present time: it has a monotonic
// reading from now on, and is not in the future. A clock that has jumped on the way is made up for. Zero stays zero.
func Heard(then, told, now time.Time) time.Time {
	if then.IsZero() {
		return then
	}
	way := now.Sub(told)
	if told.IsZero() || way >= 0 && way < onTheWay {
		told = now
	}
	return now.Add(min(0, then.Sub(told)))
}

// Kept is a time of day by which this process goes from now on: it stays as far from the present time as it is by the system's
// clock now, whatever that does later. Zero stays zero.
func Kept(at, now time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return now.Add(at.Sub(now))
}
