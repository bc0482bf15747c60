package check

import (
	"io"
	"time"

	"fairlead/internal/terminal"
	"fairlead/probe"
)

// widestName keeps names of backends on the screen.
const widestName = 40

// Show prints findings for people. Reasons are whole: they are what was asked for.
func Show(to io.Writer, style terminal.Style, all []Finding) error {
	t := terminal.NewTable(terminal.Column{Title: "pool"}, terminal.Column{Title: "backend", Most: widestName},
		terminal.Column{Title: "address"}, terminal.Column{Title: "state"}, terminal.Column{Title: "role"},
		terminal.Column{Title: "version"}, terminal.Column{Title: "connect", Right: true},
		terminal.Column{Title: "greeting", Right: true}, terminal.Column{Title: "reason"})
	for _, f := range all {
		address := ""
		if f.Address.IsValid() && f.Address.String() != f.Backend {
			address = f.Address.String()
		}
		t.Row(terminal.Cell{Text: f.Pool}, terminal.Cell{Text: f.Backend}, terminal.Cell{Text: address},
			terminal.Cell{Text: f.State.String(), Colour: colour(f)}, terminal.Cell{Text: f.Role}, terminal.Cell{Text: f.Version},
			took(f.Connect), took(f.Greeting), terminal.Cell{Text: f.Reason})
	}
	return t.Write(to, style)
}

func colour(f Finding) terminal.Colour {
	switch {
	case f.State == probe.Unfit:
		return terminal.Red
	case f.State == probe.Fit && !f.Misconfigured:
		return terminal.Green
	}
	return terminal.Yellow
}

func took(d time.Duration) terminal.Cell {
	if d <= 0 {
		return terminal.Cell{}
	}
	return terminal.Cell{Text: terminal.Duration(d)}
}
