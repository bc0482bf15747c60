package check

import (
	"fmt"
	"io"
	"time"

	"fairlead/internal/config"
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
			terminal.Cell{Text: f.State.String(), Colour: colour(f)}, terminal.Cell{Text: f.Role.Learnt(f.RoleFrom)}, terminal.Cell{Text: f.Version},
			took(f.Connect), took(f.Greeting), terminal.Cell{Text: f.Reason})
	}
	return t.Write(to, style)
}

// ShowDiscovered prints what discovery finds for people.
func ShowDiscovered(to io.Writer, style terminal.Style, all []Discovered) error {
	for i, d := range all {
		gap := ""
		if i > 0 {
			gap = "\n"
		}
		title := gap + style.Paint(terminal.Bold, "pool") + " " + terminal.Clean(d.Pool)
		if !d.Good() {
			fmt.Fprintf(to, "%s: %s\n", title, style.Paint(terminal.Red, "no list that would be used; what is known would stay in force"))
			for _, reason := range d.Reasons {
				if _, err := fmt.Fprintf(to, "  %s\n", terminal.Clean(reason)); err != nil {
					return err
				}
			}
			continue
		}
		fmt.Fprintf(to, "%s: %s lists %s\n", title, terminal.Clean(d.Seed), terminal.Plural(len(d.Members), "backend"))
		if err := d.table().Write(to, style); err != nil {
			return err
		}
	}
	return nil
}

func (d Discovered) table() *terminal.Table {
	t := terminal.NewTable(terminal.Column{Title: "name", Most: widestName}, terminal.Column{Title: "address", Most: widestName},
		terminal.Column{Title: "role"}, terminal.Column{Title: "alive"}, terminal.Column{Title: "version"},
		terminal.Column{Title: "configured as", Most: widestName}, terminal.Column{Title: "listeners"})
	for _, m := range d.Members {
		alive := terminal.Cell{}
		if m.Alive != nil {
			alive = terminal.Cell{Text: "yes", Colour: terminal.Green}
			if !*m.Alive {
				alive = terminal.Cell{Text: "no", Colour: terminal.Red}
			}
		}
		configured := m.Configured
		if configured == m.Address || d.Type == config.DNS {
			configured = ""
		}
		t.Row(terminal.Cell{Text: m.Name}, terminal.Cell{Text: m.Address}, terminal.Cell{Text: m.Role.Learnt(m.RoleFrom)}, alive,
			terminal.Cell{Text: m.Version}, terminal.Cell{Text: configured}, m.listeners())
	}
	return t
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
