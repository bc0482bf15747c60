package demo

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"fairlead/internal/terminal"
)

// feedWaiting is how many lines may wait for a terminal that is slow, or stopped by Ctrl-S.
const feedWaiting = 4096

// feed prints lines in the order in which they were said, and holds nobody up who says one.
type feed struct {
	style terminal.Style
	lines chan string
	lost  atomic.Int64
	done  chan struct{}
}

func newFeed(to io.Writer, style terminal.Style) *feed {
	f := &feed{style: style, lines: make(chan string, feedWaiting), done: make(chan struct{})}
	go f.run(to)
	return f
}

func (f *feed) run(to io.Writer) {
	defer close(f.done)
	for line := range f.lines {
		if n := f.lost.Swap(0); n > 0 {
			fmt.Fprintf(to, "(%d lines lost: they came too fast)\n", n)
		}
		io.WriteString(to, line)
	}
}

// say prints a line with the time of day.
func (f *feed) say(c terminal.Colour, format string, args ...any) {
	now := time.Now().Format("15:04:05.000")
	f.print(f.style.Paint(terminal.Faint, now) + "  " + f.style.Paint(c, fmt.Sprintf(format, args...)) + "\n")
}

// print prints text as it is.
func (f *feed) print(text string) {
	select {
	case f.lines <- text:
	default:
		f.lost.Add(1)
	}
}

// close prints what waits. Nobody may say anything any more.
func (f *feed) close() {
	close(f.lines)
	<-f.done
}
