"use strict";
// Everything that is shown is set as text, never as markup: names and reasons are other people's words.

const REFRESH = 1000;   // ms from one look at /status to the next
const PATIENCE = 5000;  // ms until an answer is not waited for any more
const FILTER_FROM = 9;  // backends from which on a filter is worth its room
const $ = id => document.getElementById(id);

// ---- figures for people, as the command line has them

const trimmed = v => String(Math.round(v * 10) / 10);
const count = n => n.toLocaleString("en");
const rate = v => v >= 10 ? count(Math.round(v)) : trimmed(v);
function bytes(n) {
	const units = ["B", "kB", "MB", "GB", "TB", "PB"];
	let i = 0;
	while (n >= 999.5 && i < units.length - 1) { n /= 1000; i++; }
	return [i && n < 10 ? n.toFixed(1) : String(Math.round(n)), units[i]];
}
function span(ms) {
	const s = ms / 1000;
	if (!(s > 0)) return "0 s";
	if (s < 60) return `${Math.floor(s)} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min`;
	return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}
function took(us) {
	if (us < 0) return ["–", ""];
	if (us < 1000) return [String(Math.round(us)), "µs"];
	return us < 1e6 ? [us < 1e4 ? trimmed(us / 1e3) : String(Math.round(us / 1e3)), "ms"] : [trimmed(us / 1e6), "s"];
}
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
const ever = time => time && !time.startsWith("0001-");
const since = (time, now) => span(now - Date.parse(time));

// ---- elements

function el(name, attributes = {}, ...children) {
	const e = document.createElement(name);
	for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
	e.append(...children);
	return e;
}
function drawn(name, attributes = {}, ...children) {
	const e = document.createElementNS("http://www.w3.org/2000/svg", name);
	for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
	e.append(...children);
	return e;
}
function say(e, text) { if (e.textContent !== text) e.textContent = text; }
function mark(e, name, value) { if (e.getAttribute(name) !== value) e.setAttribute(name, value); }
function show(e, yes) { if (e.hidden === !!yes) e.hidden = !yes; }
function figure(e, [value, unit]) {
	say(e.firstChild, value);
	say(e.lastChild, unit ? " " + unit : "");
}
const newFigure = name => el(name, { class: "value" }, document.createTextNode(""), el("small"));

// Each state has a shape of its own, beside its colour and its word.
const shapes = {
	up: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm-1.2 10.2L3.9 8.300l1.200-1.200 1.700 1.700 4.100-4.100 1.200 1.200z",
	down: "M5.100 1h5.800L15 5.100v5.800L10.900 15H5.100L1 10.900V5.100zM5.200 4.200l-1 1L7 8l-2.800 2.800 1 1L8 9l2.800 2.800 1-1L9 8l2.800-2.800-1-1L8 7z",
	draining: "M8 1 15.500 14.500H.5zM7.200 6v4.500h1.600V6zm0 5.500v1.600h1.600v-1.600z",
	disabled: "M1 1h14v14H1zm3 3v8h2.500V4zm5.500 0v8H12V4z",
	unknown: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3zM6.500 7.200h3v1.600h-3z",
};
function newState(tag) {
	const e = el(tag, { class: "state" }, drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, drawn("path")), el("b"), el("span"));
	return e;
}
function setState(e, state, word, more) {
	mark(e, "data-state", state);
	mark(e.querySelector("path"), "d", shapes[state] || shapes.unknown);
	mark(e.querySelector("path"), "fill-rule", "evenodd");
	say(e.querySelector("b"), word);
	say(e.querySelector("span"), more);
}

// ---- the past

const past = { started: "", latest: 0, points: 180, step: 5, of: new Map() };
const columns = ["sessions", "new_sessions", "to_server", "to_client", "greeting"];
const keyOf = (pool, backend) => pool + "\n" + backend;

function remember(h) {
	if (h.started !== past.started) past.of.clear();
	Object.assign(past, { started: h.started, latest: h.latest, points: h.points, step: h.step });
	for (const b of h.backends) {
		const key = keyOf(b.pool, b.backend);
		let mine = past.of.get(key);
		if (!mine || mine.first + mine.state.length !== b.first) { // new, or a gap
			mine = { first: b.first, state: "" };
			for (const c of columns) mine[c] = [];
			past.of.set(key, mine);
		}
		const excess = Math.max(0, mine.state.length + b.state.length - h.points);
		mine.first += excess;
		mine.state = (mine.state + b.state).slice(excess);
		for (const c of columns) mine[c] = mine[c].concat(b[c]).slice(excess);
	}
	for (const [key, mine] of past.of) {
		if (mine.first + mine.state.length - 1 <= h.latest - h.points) past.of.delete(key);
	}
}
// series is a column as points from the oldest to now; null where there is none.
function series(mine, value) {
	const out = new Array(past.points).fill(null);
	if (!mine) return out;
	for (let i = 0; i < mine.state.length; i++) {
		const at = past.points - 1 - (past.latest - (mine.first + i));
		if (at < 0 || at >= past.points) continue;
		const v = value(mine, i);
		out[at] = v < 0 ? null : v;
	}
	return out;
}
const kinds = {
	sessions: { title: "Sessions", value: (m, i) => m.sessions[i], text: v => rate(v) },
	fresh: { title: "New sessions a second", value: (m, i) => m.new_sessions[i], text: v => rate(v) },
	bytes: { title: "Bytes a second", value: (m, i) => m.to_server[i] + m.to_client[i], text: v => bytes(v).join(" ") },
	greeting: { title: "Greeting", value: (m, i) => m.greeting[i], text: v => took(v).join(" ") },
};

// ---- charts

const W = 600, H = 100;
function newChart(big) {
	const chart = drawn("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img" },
		drawn("line", { class: "ground", x1: 0, x2: W, y1: H, y2: H }), drawn("path", { class: "fill" }), drawn("path", { class: "line" }));
	if (big) chart.append(drawn("path", { class: "other" }));
	return chart;
}
function outline(points, top, closed) {
	let d = "", from = -1;
	const x = i => (i * W / (points.length - 1)).toFixed(1), y = v => (H - 2 - (H - 6) * v / top).toFixed(1);
	for (let i = 0; i <= points.length; i++) {
		const v = i < points.length ? points[i] : null;
		if (v !== null) {
			d += (from < 0 ? (closed ? `M${x(i)} ${H}L` : "M") : "L") + `${x(i)} ${y(v)}`;
			if (from < 0) from = i;
		} else if (from >= 0) {
			if (closed) d += `L${x(i - 1)} ${H}Z`; else if (i - 1 === from) d += "h.01";
			from = -1;
		}
	}
	return d;
}
// plot draws points, and perhaps others by a dashed line, and says in words what they tell.
function plot(chart, kind, points, others) {
	const known = points.filter(v => v !== null);
	const top = Math.max(...known, ...(others || []).filter(v => v !== null), 1e-9);
	mark(chart.querySelector(".fill"), "d", outline(points, top, true));
	mark(chart.querySelector(".line"), "d", outline(points, top, false));
	if (others) mark(chart.querySelector(".other"), "d", outline(others, top, false));
	mark(chart, "aria-label", known.length
		? `${kind.title}, last 15 minutes: now ${kind.text(known[known.length - 1])}, lowest ${kind.text(Math.min(...known))}, highest ${kind.text(Math.max(...known))}`
		: `${kind.title}: no data yet`);
	return known.length ? Math.max(...known) : null;
}
// The strip of states: the worse a state, the higher it stands.
const heights = { u: 3, "?": 3, l: 6, x: 6, d: 10 };
const words = { u: "up", "?": "unknown", l: "draining", x: "disabled", d: "down" };
function newStrip() { return drawn("svg", { class: "strip", viewBox: `0 0 ${W} 10`, preserveAspectRatio: "none", role: "img" }); }
function plotStrip(strip, mine) {
	const letters = new Array(past.points).fill("");
	if (mine) for (let i = 0; i < mine.state.length; i++) letters[past.points - 1 - (past.latest - (mine.first + i))] = mine.state[i];
	const runs = [], sums = {};
	for (let i = 0; i < past.points; i++) {
		const s = letters[i];
		if (!s) continue;
		sums[s] = (sums[s] || 0) + 1;
		const last = runs[runs.length - 1];
		if (last && last.s === s && last.to === i) last.to = i + 1; else runs.push({ s, from: i, to: i + 1 });
	}
	strip.replaceChildren(drawn("rect", { class: "track", x: 0, width: W, y: 8, height: 2 }), ...runs.map(r => drawn("rect", {
		class: r.s === "?" ? "q" : r.s, x: r.from * W / past.points, width: (r.to - r.from) * W / past.points, y: 10 - heights[r.s], height: heights[r.s],
	})));
	const told = Object.entries(sums).map(([s, n]) => `${words[s]} ${span(n * past.step * 1000)}`).join(", ");
	mark(strip, "aria-label", told ? `Last 15 minutes: ${told}` : "No data yet");
}

// ---- one backend: a row, and the details below it

class Row {
	constructor(pool) {
		this.pool = pool;
		this.name = el("span");
		this.button = el("button", { type: "button", class: "open", "aria-expanded": "false" }, this.name);
		this.address = el("div", { class: "muted" });
		this.state = newState("div");
		this.reason = el("div", { class: "muted" });
		this.strip = newStrip();
		this.cells = {};
		const cell = (role, attributes, ...children) => el("td", { role, ...attributes }, ...children);
		this.tr = el("tr", { class: "backend", role: "row" }, cell("cell", { class: "whole" }, this.button, this.address),
			cell("cell", { class: "whole" }, this.state, this.reason, this.strip));
		for (const [id, kind] of Object.entries(kinds)) {
			this.cells[id] = { value: newFigure("span"), chart: newChart(false) };
			this.tr.append(cell("cell", { "data-label": kind.title }, this.cells[id].value, this.cells[id].chart));
		}
		this.button.addEventListener("click", () => this.toggle());
		this.visible = false;
		watching.observe(this.tr);
		rowOf.set(this.tr, this);
	}
	toggle() {
		const open = this.button.getAttribute("aria-expanded") !== "true";
		mark(this.button, "aria-expanded", String(open));
		if (open && !this.more) this.unfold();
		if (this.more) this.more.hidden = !open;
		this.details();
	}
	unfold() {
		this.big = {};
		const charts = el("div", { class: "charts" });
		for (const [id, kind] of Object.entries(kinds)) {
			const chart = newChart(true), top = el("b");
			const legend = id === "bytes" ? "to clients; dashed: to the server" : "";
			charts.append(el("figure", {}, el("figcaption", {}, kind.title, top), chart,
				el("div", { class: "ends" }, el("span", {}, "15 min ago"), el("span", {}, legend), el("span", {}, "now"))));
			this.big[id] = { chart, top };
		}
		this.facts = el("dl", { class: "facts" });
		this.more = el("tr", { class: "more", role: "row" }, el("td", { colspan: "6", role: "cell" }, charts, this.facts));
		this.more.id = `more-${++Row.ids}`;
		this.button.setAttribute("aria-controls", this.more.id);
		this.tr.after(this.more);
	}
	update(b, now) {
		this.b = b;
		this.now = now;
		mark(this.tr, "data-backend", b.name);
		mark(this.tr, "data-state", b.state);
		say(this.name, b.name);
		const addresses = (b.addresses || []).join(", ");
		say(this.address, [addresses === b.name ? "" : addresses, b.role, b.backup ? "backup" : "", b.version].filter(Boolean).join(" · "));
		setState(this.state, b.state, b.removed ? "removed" : b.state, ever(b.since) ? "for " + since(b.since, now) : "");
		const cut = Date.parse(b.deadline) - now;
		const ordered = [b.order === "drain" && b.state === "down" && "to be drained", b.close_idle && "close-idle",
			ever(b.deadline) && (cut > 0 ? `cut in ${span(cut)}` : `deadline over, ${count(b.cut || 0)} cut`)].filter(Boolean).join(", ");
		const slow = b.slow_start ? `starts slowly: ${Math.round(100 * b.slow_start)} % of its share` : "";
		say(this.reason, (ordered ? `(${ordered}) ` : "") + [b.reason, slow].filter(Boolean).join(" · "));
		figure(this.cells.sessions.value, [count(b.sessions), [b.former_sessions ? `+ ${count(b.former_sessions)}` : "",
			b.max_sessions ? `of ${count(b.max_sessions)}` : ""].filter(Boolean).join(" ")]);
		figure(this.cells.fresh.value, [rate(b.rates.new_sessions), "/s"]);
		const [n, unit] = bytes(b.rates.to_server + b.rates.to_client);
		figure(this.cells.bytes.value, [n, unit + "/s"]);
		figure(this.cells.greeting.value, took((b.rates.greeting || b.greeting || -1000) / 1000));
		this.details();
	}
	// draw draws what only changes with the past; rows that nobody sees wait.
	draw() {
		if (!this.visible) return;
		const mine = past.of.get(this.key);
		for (const [id, kind] of Object.entries(kinds)) plot(this.cells[id].chart, kind, series(mine, kind.value));
		plotStrip(this.strip, mine);
		this.details();
	}
	details() {
		if (!this.more || this.more.hidden) return;
		const mine = past.of.get(this.key), b = this.b, now = this.now;
		for (const [id, kind] of Object.entries(kinds)) {
			const { chart, top } = this.big[id];
			const highest = id === "bytes"
				? plot(chart, kind, series(mine, (m, i) => m.to_client[i]), series(mine, (m, i) => m.to_server[i]))
				: plot(chart, kind, series(mine, kind.value));
			say(top, highest === null ? "no data yet" : "highest " + kind.text(highest));
		}
		const ago = t => ever(t) ? since(t, now) + " ago" : "never";
		const facts = {
			"Addresses": (b.addresses || []).join(", ") || "none yet", "Version": b.version, "Role": b.role ? `${b.role} (${b.role_from})` : "",
			"Sessions from before an upgrade": b.former_sessions ? count(b.former_sessions) : "", "Weight": String(b.weight), "Sessions ever": count(b.total), "Failures in live traffic": count(b.failures),
			"To the server": bytes(b.to_server).join(" "), "To clients": bytes(b.to_client).join(" "),
			"Probed": ago(b.probed), "Probe's connect": took((b.connect || -1000) / 1000).join(" "),
			"Probe's greeting": took((b.greeting || -1000) / 1000).join(" "),
			"Order": b.order ? [b.order, b.ordered_by && "by " + b.ordered_by, ever(b.ordered_at) && ago(b.ordered_at),
				b.close_idle && "(idle sessions are closed)", ever(b.deadline) && `(the others are cut in ${span(Date.parse(b.deadline) - now)})`].filter(Boolean).join(" ") : "",
		};
		const list = Object.entries(facts).filter(([, v]) => v);
		if (this.facts.children.length !== list.length) this.facts.replaceChildren(...list.map(() => el("div", {}, el("dt"), el("dd"))));
		list.forEach(([k, v], i) => { say(this.facts.children[i].firstChild, k); say(this.facts.children[i].lastChild, v); });
	}
	remove() {
		watching.unobserve(this.tr);
		this.tr.remove();
		if (this.more) this.more.remove();
	}
}
Row.ids = 0;
const rowOf = new WeakMap();
const watching = new IntersectionObserver(entries => {
	for (const e of entries) {
		const row = rowOf.get(e.target), before = row.visible;
		row.visible = e.isIntersecting;
		if (row.visible && !before) row.draw();
	}
}, { rootMargin: "200px" });

// ---- one pool

class Pool {
	constructor(name) {
		this.rows = new Map();
		this.title = el("h2", {}, name);
		this.how = el("p");
		this.counts = el("p", { class: "counts" });
		this.asides = el("div");
		this.body = el("tbody", { role: "rowgroup" });
		this.empty = el("p", { class: "empty" }, "No backends: their names have no addresses yet, or discovery has not found any.");
		const head = el("tr", { role: "row" });
		for (const t of ["Backend", "State", "Sessions", "New sessions", "Traffic", "Greeting"]) head.append(el("th", { scope: "col", role: "columnheader" }, t));
		const cols = el("colgroup", {}, el("col", { class: "name" }), el("col", { class: "how" }), el("col"), el("col"), el("col"), el("col"));
		this.table = el("table", { role: "table", "aria-label": `Backends of pool ${name}` }, cols, el("thead", { role: "rowgroup" }, head), this.body);
		this.asides.className = "aside";
		this.section = el("section", { class: "pool", "aria-label": `Pool ${name}` },
			el("header", {}, this.title, this.how, this.counts, this.asides), this.table, this.empty);
	}
	update(p, status, now) {
		say(this.how, `${p.protocol} · ${p.policy}`);
		const up = p.backends.filter(b => b.state === "up").length;
		say(this.counts, [`${up} of ${count(p.backends.length)} up`, plural(p.sessions, "session"), p.queued ? `${count(p.queued)} waiting for a place` : ""]
			.filter(Boolean).join(" · "));
		this.tell(p, status, now);
		const seen = new Set();
		let before = null;
		p.backends.forEach((b, i) => {
			const key = keyOf(p.name, b.name), id = b.removed ? `${key}\n${i}` : key;
			let row = this.rows.get(id);
			if (!row) {
				row = new Row(p.name);
				row.key = key;
				this.rows.set(id, row);
			}
			seen.add(id);
			const place = before ? (before.more || before.tr).nextSibling : this.body.firstChild;
			if (place !== row.tr) {
				this.body.insertBefore(row.tr, place);
				if (row.more) row.tr.after(row.more);
			}
			row.update(b, now);
			before = row;
		});
		for (const [id, row] of this.rows) if (!seen.has(id)) { row.remove(); this.rows.delete(id); }
		show(this.empty, p.backends.length === 0);
		show(this.table, p.backends.length > 0);
	}
	// tell says how the members are found.
	tell(p, status, now) {
		const lines = [];
		for (const d of (status.discoveries || []).filter(d => d.pool === p.name)) {
			if (d.error) lines.push([ever(d.answered) ? `Discovery: keeping the ${d.members} that ${d.seed} listed ${since(d.answered, now)} ago. ${d.error}`
				: `Discovery: no answer for ${since(d.failing, now)}. ${d.error}`, true]);
			else lines.push([ever(d.answered) ? `Discovery: ${d.members} listed by ${d.seed}, ${since(d.answered, now)} ago` : "Discovery: nobody has answered yet", false]);
		}
		for (const n of p.names || []) if (n.error) lines.push([`${n.host} does not resolve for ${since(n.failing, now)}, keeping what is known (${n.addresses}). ${n.error}`, true]);
		for (const a of p.absent || []) lines.push([`Ordered for ${a.backend}, which is no member now: ${a.order}`, false]);
		while (this.asides.children.length > lines.length) this.asides.lastChild.remove();
		while (this.asides.children.length < lines.length) this.asides.append(el("p"));
		lines.forEach(([text, bad], i) => { say(this.asides.children[i], text); mark(this.asides.children[i], "class", bad ? "aside failing" : "aside"); });
		show(this.asides, lines.length > 0);
	}
}

// ---- the whole page

const pools = new Map();
const tiles = {};
for (const [id, title] of [["up", "Backends up"], ["sessions", "Sessions"], ["fresh", "New sessions"], ["bytes", "Traffic"]]) {
	const value = newFigure("p"), below = id === "up" ? el("div", { class: "muted" }) : newChart(false);
	tiles[id] = { value, below };
	$("totals").append(el("div", { class: "tile" }, el("h2", {}, title), value, below));
}
$("ready").replaceWith(Object.assign(newState("p"), { id: "ready" }));

function showTotals(status) {
	const all = status.pools.flatMap(p => p.backends), up = all.filter(b => b.state === "up").length;
	const sum = f => status.pools.reduce((n, p) => n + f(p.rates), 0);
	figure(tiles.up.value, [count(up), `of ${count(all.length)}`]);
	const others = ["down", "draining", "disabled", "unknown"].map(s => [all.filter(b => b.state === s).length, s]).filter(([n]) => n);
	say(tiles.up.below, others.map(([n, s]) => `${count(n)} ${s}`).join(", ") || (all.length ? "all are well" : "none yet"));
	figure(tiles.sessions.value, [count(status.sessions), ""]);
	figure(tiles.fresh.value, [rate(sum(r => r.new_sessions)), "/s"]);
	const [n, unit] = bytes(sum(r => r.to_server + r.to_client));
	figure(tiles.bytes.value, [n, unit + "/s"]);
	show($("totals"), true);
	document.title = `${up}/${all.length} up${status.ready ? "" : ", not ready"} · fairlead`;
}
function drawTotals() {
	for (const id of ["sessions", "fresh", "bytes"]) {
		const total = new Array(past.points).fill(null);
		for (const mine of past.of.values()) series(mine, kinds[id].value).forEach((v, i) => { if (v !== null) total[i] = (total[i] || 0) + v; });
		plot(tiles[id].below, kinds[id], total);
	}
}
function showListeners(list) {
	const body = $("listeners").querySelector("tbody");
	while (body.children.length > list.length) body.lastChild.remove();
	while (body.children.length < list.length) body.append(el("tr", {}, el("td"), el("td"), el("td"), el("td", { class: "figure" })));
	list.forEach((l, i) => [l.name, (l.addresses || []).join(", ") || "closed", l.pool, count(l.sessions)].forEach((t, k) => say(body.children[i].children[k], t)));
	show($("listeners"), list.length > 0);
}
// announce tells those who don't see the page what has changed.
let known = new Map();
function announce(status) {
	const now = new Map(), news = [];
	for (const p of status.pools) for (const b of p.backends) {
		const key = keyOf(p.name, b.name), was = known.get(key);
		now.set(key, b.state);
		if (was && was !== b.state) news.push(`${b.name} is ${b.state}${b.reason ? ": " + b.reason : ""}`);
	}
	known = now;
	if (news.length) say($("news"), news.slice(0, 5).join(". "));
}
function choose() {
	const wanted = $("words").value.trim().toLowerCase().split(/\s+/).filter(Boolean), unwell = $("unwell").checked;
	let shown = 0, all = 0;
	for (const pool of pools.values()) {
		let here = 0;
		for (const row of pool.rows.values()) {
			const b = row.b, text = [b.name, ...(b.addresses || []), b.role, b.state, b.version].join(" ").toLowerCase();
			const yes = wanted.every(w => text.includes(w)) && !(unwell && b.state === "up");
			show(row.tr, yes);
			if (row.more) show(row.more, yes && row.button.getAttribute("aria-expanded") === "true");
			all++;
			if (yes) here++;
		}
		shown += here;
		show(pool.section, here > 0 || pool.rows.size === 0);
	}
	show($("filter"), all >= FILTER_FROM || wanted.length > 0 || unwell);
	say($("shown"), shown === all ? "" : `${count(shown)} of ${count(all)}`);
}
function render(status) {
	const now = Date.parse(status.now);
	const former = (status.former || []).map(f => `process ${f.pid} from before the upgrade has ${plural(f.sessions, "session")} left`);
	say($("about"), [status.version, `running for ${since(status.started, now)}`, status.file, ...former].filter(Boolean).join(" · "));
	show($("ready"), true);
	setState($("ready"), status.ready ? "up" : "down", status.ready ? "ready" : "not ready", "");
	show($("trouble"), !status.ready);
	say($("trouble"), status.ready ? "" : `Clients can't be served. ${status.not_ready || ""}`);
	showTotals(status);
	announce(status);
	for (const [name, pool] of pools) if (!status.pools.some(p => p.name === name)) {
		for (const row of pool.rows.values()) row.remove();
		pool.section.remove();
		pools.delete(name);
	}
	for (const p of status.pools) {
		if (!pools.has(p.name)) {
			pools.set(p.name, new Pool(p.name));
			$("pools").append(pools.get(p.name).section);
		}
		pools.get(p.name).update(p, status, now);
	}
	showListeners(status.listeners || []);
	choose();
}
function redraw() {
	drawTotals();
	for (const pool of pools.values()) for (const row of pool.rows.values()) row.draw();
}

async function ask(path) {
	const answer = await fetch(path, { signal: AbortSignal.timeout(PATIENCE), cache: "no-store", credentials: "same-origin" });
	if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
	return answer.json();
}
let answered = 0, asked = -Infinity, started = "";
function link(state) {
	mark(document.documentElement, "data-link", state);
	if (state === "live") say($("link"), "live");
	else if (state === "paused") say($("link"), "paused");
	else say($("link"), answered ? `no answer for ${span(Date.now() - answered)}` : "no answer yet");
}
async function look() {
	try {
		const status = await ask("/status");
		render(status);
		answered = Date.now();
		link("live");
		if (status.started !== started) { // another process: its steps begin anew
			started = status.started;
			past.latest = 0;
			past.of.clear();
			asked = -Infinity;
		}
		if (answered - asked >= past.step * 1000 - REFRESH / 2) {
			asked = answered;
			remember(await ask(`/history?since=${past.latest}`));
			redraw();
		}
	} catch (error) {
		link("lost");
	}
}
// live looks again and again, as long as somebody can see the page.
async function live() {
	for (;;) {
		const begun = performance.now();
		await look();
		while (document.hidden) {
			link("paused");
			await new Promise(done => document.addEventListener("visibilitychange", done, { once: true }));
		}
		await new Promise(done => setTimeout(done, Math.max(0, REFRESH - (performance.now() - begun))));
	}
}
$("filter").addEventListener("input", choose);
$("filter").addEventListener("submit", e => e.preventDefault());
mark(document.documentElement, "data-refresh", String(REFRESH));
live();
