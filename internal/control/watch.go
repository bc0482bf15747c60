package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"fairlead/internal/terminal"
)

// refresh is how often what is watched is asked for again.
const refresh = time.Second

// What a terminal is told (ECMA-48; the alternate screen is xterm's, and every terminal's by now).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // the alternate screen, no cursor, long lines are cut
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	homeAndWipe = "\x1b[H\x1b[J"
)

// Screen is where something is watched.
type Screen struct {
	To    io.Writer
	Style terminal.Style
	// Rows, when set, tells how many lines there are now, and makes pages appear in place of each other; without it they
	// come one below the other. 0 means that nobody knows.
	Rows func() int
}

// Watch lets draw write a page about each second until ctx ends. While draw fails it tells the error, and goes on. A page
// that is longer than the screen is cut, and says so.
func Watch(ctx context.Context, s Screen, draw func(ctx context.Context, to io.Writer, rows int) error) error {
	if s.Rows != nil {
		fmt.Fprint(s.To, enterScreen)
		defer fmt.Fprint(s.To, leaveScreen)
	}
	again := time.NewTicker(refresh)
	defer again.Stop()
	for {
		var page bytes.Buffer
		rows := 0
		if s.Rows != nil {
			rows = s.Rows()
		}
		err := draw(ctx, &page, rows)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			page.Reset()
			fmt.Fprintln(&page, s.Style.Paint(terminal.Red, err.Error()))
		}
		if err := s.show(page.Bytes(), rows); err != nil {
			return fmt.Errorf("control: %w", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// show puts a page onto the screen.
func (s Screen) show(page []byte, rows int) error {
	var out bytes.Buffer
	if s.Rows == nil {
		out.Write(page)
		out.WriteByte('\n')
	} else {
		out.WriteString(homeAndWipe)
		out.Write(fit(page, rows, s.Style))
	}
	_, err := s.To.Write(out.Bytes())
	return err
}

// fit cuts a page to so many rows, the last of which says how much is missing. Nothing ends in a line feed, which would
// scroll the first line away.
func fit(page []byte, rows int, style terminal.Style) []byte {
	page = bytes.TrimRight(page, "\n")
	lines := bytes.Split(page, []byte("\n"))
	if rows < 2 || len(lines) <= rows {
		return page
	}
	kept := bytes.Join(lines[:rows-1], []byte("\n"))
	more := fmt.Sprintf("… %s more: without --watch all can be seen", terminal.Plural(len(lines)-rows+1, "line"))
	return append(append(kept, '\n'), style.Paint(terminal.Faint, more)...)
}
