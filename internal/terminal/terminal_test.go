package terminal

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Second: "0s", 5: "<1µs", 250 * time.Microsecond: "250µs", 1234 * time.Microsecond: "1.2ms",
		9999 * time.Microsecond: "9.9ms", 12 * time.Millisecond: "12ms", 999999 * time.Microsecond: "999ms",
		time.Second: "1s", 1500 * time.Millisecond: "1.5s", 59900 * time.Millisecond: "59s", 3*time.Minute + 59*time.Second: "3m",
		time.Hour: "1h", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1200: "1.2 kB", 35e6: "35 MB", 1<<64 - 1: "18 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain äß": "plain äß", "\x1b[31mred": `\x1b[31mred`, "a\nb\tc": `a\nb\tc`, "\xff\xfe": `\xff\xfe`, "\ufffd": "\ufffd",
		"\u202egnp": `\u202egnp`,
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable(Column{Title: "name"}, Column{Title: "role"}, Column{Title: "n", Right: true}, Column{Title: "why", Most: 6},
		Column{Title: "kept", Keep: true})
	table.Row(Cell{Text: "fe1"}, Cell{}, Cell{Text: "12"}, Cell{Text: "a long reason"})
	table.Row(Cell{Text: "fé22", Colour: Green}, Cell{}, Cell{Text: "3"})
	var got strings.Builder
	if err := table.Write(&got, Style{}); err != nil {
		t.Fatal(err)
	}
	want := "NAME   N  WHY     KEPT\nfe1   12  a lon…\nfé22   3\n"
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	got.Reset()
	if err := table.Write(&got, Coloured()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "\x1b[32mfé22\x1b[0m   3\n") {
		t.Errorf("in colour: %q", got.String())
	}
}

func TestStyleOfAFile(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if IsTerminal(file) || StyleOf(file).Paint(Red, "x") != "x" {
		t.Error("a file was taken for a terminal")
	}
}

func TestRate(t *testing.T) {
	for rate, want := range map[float64]string{0: "0", 0.04: "0", 0.25: "0.3", 3: "3", 9.96: "10", 12.4: "12", 12000: "12000"} {
		if got := Rate(rate); got != want {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
}

func TestPlural(t *testing.T) {
	if Plural(1, "pool") != "1 pool" || Plural(0, "pool") != "0 pools" {
		t.Error(Plural(1, "pool"), Plural(0, "pool"))
	}
}
