package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"fairlead/internal/terminal"
)

// refresh is how often a watched status is asked for again.
const refresh = time.Second

// What a terminal is told (ECMA-48; the alternate screen is xterm's, and every terminal's by now).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, no cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeAndWipe = "\x1b[H\x1b[J"
)

// Watch prints the status about each second until ctx ends: in place if inPlace is set, else one below the other. While
// nobody answers it says so, and goes on asking.
func Watch(ctx context.Context, c *Client, to io.Writer, style terminal.Style, inPlace bool) error {
	if inPlace {
		fmt.Fprint(to, enterScreen)
		defer fmt.Fprint(to, leaveScreen)
	}
	again := time.NewTicker(refresh)
	defer again.Stop()
	for {
		var page bytes.Buffer
		if inPlace {
			page.WriteString(homeAndWipe)
		}
		status, err := c.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintln(&page, style.Paint(terminal.Red, err.Error()))
		default:
			_ = ShowStatus(&page, style, status, time.Now()) // a buffer takes everything
		}
		if !inPlace {
			page.WriteByte('\n')
		}
		if _, err := to.Write(page.Bytes()); err != nil {
			return fmt.Errorf("control: %w", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}
