package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

var (
	desktop = look{width: 1280, height: 800}
	phone   = look{width: 360, height: 740, dark: true}
)

// openPage shows the status page of a fairlead, and waits until it shows all backends.
func openPage(p *process, l look, backends int) *browser {
	p.t.Helper()
	b := newBrowser(p.t, l)
	b.open("http://" + p.admin + "/")
	b.await(p, fmt.Sprintf(`document.querySelectorAll("tr.backend").length === %d`, backends))
	return b
}

// stateShown is an expression that tells whether a backend's row shows a state, as an attribute and as a word.
func stateShown(backend, state string) string {
	return fmt.Sprintf(`(row => !!row && row.dataset.state === %[2]q && row.querySelector(".state b").textContent === %[2]q)(document.querySelector('tr[data-backend=%[1]q]'))`,
		backend, state)
}

// TestPageShowsADeath: a backend dies, and the page shows it with its next look, which is a second away at most.
func TestPageShowsADeath(t *testing.T) {
	one, two, three := startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"}), startFE(t, fakefe.Config{Name: "three"})
	p := start(t, inFront(one, two, three))
	b := openPage(p, desktop, 3)
	b.await(p, stateShown("two", "up"))
	if every := evaluate[int](b, `Number(document.documentElement.dataset.refresh)`); every <= 0 || every > 1000 {
		t.Fatalf("the page looks every %d ms", every)
	}
	// The clock of the page's requests is the page's own: nobody hurries it.
	const looks = `performance.getEntriesByType("resource").filter(r => r.name.endsWith("/status")).length`
	b.await(p, looks+" >= 3")
	if mean := evaluate[float64](b, `(all => (all[all.length-1].startTime - all[0].startTime) / (all.length-1))(performance.getEntriesByType("resource").filter(r => r.name.endsWith("/status")))`); mean < 900 {
		t.Errorf("the page looks every %.0f ms on average", mean)
	}

	killed := time.Now()
	suffer(t, two, fakefe.Kill)
	p.poll("/status to show the death", func() bool { return backend(t, p.status(), "two").State == balancer.Down })
	known, before := time.Since(killed), evaluate[int](b, looks)
	b.await(p, stateShown("two", "down"))
	shown, after := time.Since(killed), evaluate[int](b, looks)
	if after-before > 2 { // one may have been under way, and one may have begun since it was shown
		t.Errorf("the page shows the death after %d further looks", after-before)
	}
	t.Logf("killed; known after %v, shown after %v", known.Round(time.Millisecond), shown.Round(time.Millisecond))
	if got := evaluate[string](b, `document.querySelector('tr[data-backend="two"] td:nth-child(2)').textContent`); !strings.Contains(got, "refuses connections") {
		t.Errorf("the reason is not shown: %q", got)
	}
	if got := evaluate[string](b, `document.getElementById("news").textContent`); !strings.HasPrefix(got, "two is down") {
		t.Errorf("who does not see the page is told %q", got)
	}
	b.await(p, `document.title.startsWith("2/3 up")`)

	suffer(t, one, fakefe.Kill)
	suffer(t, three, fakefe.Kill)
	b.await(p, `!document.getElementById("trouble").hidden && document.getElementById("trouble").textContent.includes("no backend of pool")`)
	b.wellBehaved(p.admin)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	for end := time.Now().Add(patience); !evaluate[bool](b, `document.documentElement.dataset.link === "lost"`); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			t.Fatal("the page does not tell that nobody answers")
		}
	}
}

// TestPageDrawsThePast: sessions and bytes become lines.
func TestPageDrawsThePast(t *testing.T) {
	p := start(t, inFront(startFE(t, fakefe.Config{Name: "one"})))
	b := openPage(p, desktop, 1)
	if got := evaluate[string](b, `document.querySelector("tr.backend .chart").getAttribute("aria-label") || "none yet"`); got != "Sessions: no data yet" && got != "none yet" {
		t.Logf("at the start: %s", got) // the first point may be there already
	}
	c := connect(t, p.open("mysql"))
	ask(t, c, "select 1")
	b.await(p, `document.querySelector("tr.backend .chart").getAttribute("aria-label") === "Sessions, last 15 minutes: now 1, lowest 0, highest 1" ||
		document.querySelector("tr.backend .chart").getAttribute("aria-label") === "Sessions, last 15 minutes: now 1, lowest 1, highest 1"`)
	b.await(p, `document.querySelector("tr.backend .chart .line").getAttribute("d").startsWith("M")`)
	b.await(p, `document.querySelector("tr.backend .strip").getAttribute("aria-label").includes("up ")`)
	b.wellBehaved(p.admin)
}

// TestPageTellsOfOrdersAndUpgrades: what the table of the command tells, the page does as well.
func TestPageTellsOfOrdersAndUpgrades(t *testing.T) {
	onLinux(t)
	p := start(t, inFront(startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"}))+"[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n")
	p.command("drain", "--close-idle", "--deadline", "90m", "two").wants(t, 0, "two is draining", "")
	connect(t, p.open("mysql"))
	p.upgrade()
	b := openPage(p, desktop, 2)
	const row = `document.querySelector('tr[data-backend="%s"] %s').textContent`
	b.await(p, fmt.Sprintf(row, "two", "td:nth-child(2)")+`.includes("(close-idle, cut in 1 h) drain ordered by")`)
	b.await(p, fmt.Sprintf(row, "one", `td[data-label="Sessions"] .value`)+` === "0 + 1"`)
	b.await(p, fmt.Sprintf(`document.getElementById("about").textContent.endsWith("process %d from before the upgrade has 1 session left")`, p.cmd.Process.Pid))
	b.wellBehaved(p.admin)
}

// TestPageEscapes: what servers and files call themselves is text, and nothing of it runs.
func TestPageEscapes(t *testing.T) {
	const version = `8<img src=x onerror=document.hacked=1>`
	fe := startFE(t, fakefe.Config{Version: version})
	text := strings.Replace(inFront(fe), `name = "fe1"`, `name = '"><script>document.hacked=2'`, 1)
	p := start(t, text)
	b := openPage(p, desktop, 1)
	b.await(p, `document.querySelector("tr.backend .muted").textContent.includes("onerror")`)
	evaluate[any](b, `document.querySelector(".open").click()`)
	b.await(p, `document.querySelector("tr.more").textContent.includes("onerror")`)
	if evaluate[bool](b, `!!document.hacked || document.querySelectorAll("img, main script").length > 0`) {
		t.Error("a server's words have become markup")
	}
	if got := evaluate[string](b, `document.querySelector("tr.backend .open").textContent`); got != `"><script>document.hacked=2` {
		t.Errorf("the name is shown as %q", got)
	}
	// The policy holds, even if a later change should write markup.
	if !evaluate[bool](b, `(() => { try { document.querySelector("main").innerHTML = "<b>x</b>"; return false } catch { return true } })()`) {
		t.Error("markup can be written")
	}
}

// manyBackends is a configuration of backends that nobody listens at.
func manyBackends(n int) string {
	text := "[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n[[pool]]\nname = \"fe\"\n"
	for i := range n {
		text += fmt.Sprintf("[[pool.backend]]\nname = \"a-rather-long-name-of-a-front-end.department.example-%d\"\naddress = \"127.0.0.1:%d\"\n", i, i+1)
	}
	return text
}

// TestPageOnAPhone: everything can be reached by scrolling in one direction, in the dark, with many backends.
func TestPageOnAPhone(t *testing.T) {
	p := launch(t, manyBackends(60))
	b := openPage(p, phone, 60)
	evaluate[any](b, `document.querySelector(".open").click()`)
	b.await(p, `!!document.querySelector("tr.more dd")`)
	if wide := evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
		t.Errorf("the page is %d pixels wider than the screen", wide)
	}
	evaluate[any](b, `(i => { i.value = "example-59"; i.dispatchEvent(new Event("input", { bubbles: true })) })(document.getElementById("words"))`)
	if n := evaluate[int](b, `[...document.querySelectorAll("tr.backend")].filter(r => !r.hidden).length`); n != 1 {
		t.Errorf("the filter leaves %d rows", n)
	}
	b.wellBehaved(p.admin)
}

// contrasts is an expression that lists texts whose contrast to what is behind them is less than WCAG 2.2 AA wants, 4.5.
const contrasts = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return { rgb: m.slice(0, 3), a: m.length > 3 ? m[3] : 1 } };
	const light = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.a === 1) return c.rgb } return [255, 255, 255] };
	const poor = [];
	let seen = 0;
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest(".unseen, script, style, noscript")) continue;
		seen++;
		const a = light(parse(getComputedStyle(e).color).rgb), b = light(behind(e)), ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (ratio < 4.5) poor.push(ratio.toFixed(2) + " " + walk.currentNode.data);
	}
	return seen < 20 ? ["only " + seen + " texts were seen"] : poor;
})()`

// TestPageInBothLights: dark and light are not the same, and all can be read in both, bad news too.
func TestPageInBothLights(t *testing.T) {
	well, ill, away := startFE(t, fakefe.Config{Name: "well"}), startFE(t, fakefe.Config{Name: "ill"}), startFE(t, fakefe.Config{Name: "away"})
	p := start(t, inFront(well, ill, away))
	suffer(t, ill, fakefe.Kill)
	p.command("drain", "away").wants(t, 0, "", "")
	var grounds []string
	for _, dark := range []bool{false, true} {
		b := openPage(p, look{width: 1280, height: 900, dark: dark}, 3)
		b.await(p, stateShown("ill", "down"))
		b.await(p, stateShown("away", "draining"))
		evaluate[any](b, `document.querySelectorAll(".open").forEach(o => o.click())`)
		b.await(p, `!!document.querySelector("tr.more dd")`)
		for _, poor := range evaluate[[]string](b, contrasts) {
			t.Errorf("dark %v: contrast %s", dark, poor)
		}
		grounds = append(grounds, evaluate[string](b, `getComputedStyle(document.body).backgroundColor`))
		// No state is told by its colour alone: each has a word and a shape.
		if n := evaluate[int](b, `new Set([...document.querySelectorAll("tr.backend .state path")].map(p => p.getAttribute("d"))).size`); n != 3 {
			t.Errorf("%d shapes for three states", n)
		}
		b.wellBehaved(p.admin)
	}
	if grounds[0] == grounds[1] {
		t.Errorf("light and dark are both %s", grounds[0])
	}
}

// TestPageByKeyboard: with Tab and Enter all can be reached, and one sees where one is.
func TestPageByKeyboard(t *testing.T) {
	p := start(t, inFront(startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"})))
	b := openPage(p, desktop, 2)
	var way []string
	for range 7 {
		b.key(kb.Tab)
		way = append(way, evaluate[string](b, `document.activeElement.textContent`))
		if evaluate[bool](b, `getComputedStyle(document.activeElement).outlineStyle === "none"`) {
			t.Errorf("%s: the focus is not seen", way[len(way)-1])
		}
		if way[len(way)-1] == "two" {
			b.key(kb.Enter)
			b.await(p, `document.activeElement.getAttribute("aria-expanded") === "true" && !document.getElementById(document.activeElement.getAttribute("aria-controls")).hidden`)
		}
	}
	if got := strings.Join(way, " "); got != "one two /status /history /metrics /readyz /healthz" {
		t.Errorf("Tab goes to %s", got)
	}
	for what, expression := range map[string]string{
		"a picture without a word": `[...document.querySelectorAll("svg:not([aria-hidden])")].filter(s => s.checkVisibility() && !s.getAttribute("aria-label")).length === 0`,
		"an input without a label": `[...document.querySelectorAll("input")].every(i => i.labels.length > 0)`,
		"not one first heading":    `document.querySelectorAll("h1").length === 1`,
	} {
		if !evaluate[bool](b, expression) {
			t.Error(what)
		}
	}
}
