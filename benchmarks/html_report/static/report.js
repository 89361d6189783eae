// The address says what is shown (#episodes?run=0&e=12&t=3): it is read here, and everything else follows from it.

const VIEWS = {
  episodes: { rows: ARCHIVE.episodes, row: episodeRow, text: episodeText, show: showEpisode },
  ...Object.fromEntries(Object.entries(QUESTIONS).map(([view, { rows, name }]) =>
    [view, { rows, row: one => questionRow(one, name), text: questionText, show: (...how) => showQuestion(view, ...how) }])),
};
const FILTERS = ["run", "of", "split", "type", "outcome"];

function readState() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return { ...Object.fromEntries(new URLSearchParams(query)), view: find(`#view-${CSS.escape(view)}.explorer`) ? view : "overview" };
}

/** Changes what is shown; `step` tells whether the browser's back button comes back to what was. */
function go(changes, step = true) {
  const { view, ...query } = { ...readState(), ...changes };
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null));
  const address = `#${view}${words.size ? `?${words}` : ""}`;
  if (address === location.hash) return;
  history[step ? "pushState" : "replaceState"](null, "", address);
  render();
}

class Explorer {
  constructor(name) {
    Object.assign(this, VIEWS[name], { name, section: find(`#view-${name}`) });
    const runs = new Set(this.rows.map(row => row.run));
    this.leftOut = [...runs].reduce((sum, run) => sum + ARCHIVE.runs[run].left_out, 0);
    const box = find(".list", this.section);
    box.id = `${name}-list`;
    this.list = new List(box, this.row, row => go({ e: row.number, vs: "", t: "" }, this.list.at < 0));
    this.form = Object.fromEntries(findAll("[name]", this.section).map(field => [field.name, field]));
    for (const filter of FILTERS) this.fill(filter);
    let waiting;
    this.form.q.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => go({ q: this.form.q.value, e: "", vs: "", t: "" }, false), 120);
    });
    this.form.deep.addEventListener("change", () => go({ deep: this.form.deep.checked ? 1 : "" }, false));
  }

  fill(filter) {
    const name = value => filter === "run" ? ARCHIVE.runs[value].label : value || "none";
    const counts = new Map();
    for (const row of this.rows) counts.set(row[filter], (counts.get(row[filter]) ?? 0) + 1);
    const values = [...counts.keys()].sort((one, other) => filter === "run" ? one - other : one < other ? -1 : 1);
    this.form[filter].append(el("option", { value: "" }, "all"),
      ...values.map(value => el("option", { value }, `${name(value)} (${counts.get(value).toLocaleString("en")})`)));
    this.form[filter].parentElement.hidden = values.length < 2;
    this.form[filter].addEventListener("change", event => go({ [filter]: event.target.value, e: "", vs: "", t: "" }));
  }

  render(state) {
    for (const filter of FILTERS) this.form[filter].value = state[filter] ?? "";
    if (document.activeElement !== this.form.q) this.form.q.value = state.q ?? "";
    this.form.deep.checked = Boolean(state.deep);
    const key = JSON.stringify([...FILTERS, "q", "deep"].map(name => state[name] ?? ""));
    if (key !== this.key) {
      this.key = key;
      this.list.restart();
      this.filter(state);
    }
    this.list.show(this.shown, numbered(this.rows, state.e));
    this.section.classList.toggle("open", state.e !== undefined);
    this.section.classList.toggle("comparing", Boolean(state.vs));
    const address = location.hash;
    this.show(find(".detail", this.section), state, () => location.hash === address);
  }

  filter(state) {
    const wanted = (state.q ?? "").trim().toLowerCase();
    const kept = this.rows.filter(row => FILTERS.every(name => !state[name] || String(row[name]) === state[name]));
    this.texts ??= this.rows.map(this.text);
    this.shown = kept.filter(row => this.texts[row.number].includes(wanted));
    this.count();
    if (wanted && state.deep) this.look(kept, wanted, this.key);
  }

  count(note = "") {
    const left = this.leftOut ? ` · ${this.leftOut.toLocaleString("en")} more are not on this page` : "";
    find(".count", this.section).textContent = `${this.shown.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")}${left}${note}`;
  }

  /** Looks into every block, and adds what holds the words. */
  async look(kept, wanted, key) {
    const found = new Set(this.shown.map(row => row.number));
    let looked = 0;
    for await (const numbers of searched(kept, wanted)) {
      if (key !== this.key) return;
      for (const number of numbers) found.add(number);
      this.shown = kept.filter(row => found.has(row.number));
      this.count(" · still looking …");
      looked += 1;
      if (looked % 8 === 1) this.list.show(this.shown, numbered(this.rows, readState().e));
    }
    if (key !== this.key) return;
    this.count();
    this.list.show(this.shown, numbered(this.rows, readState().e));
  }
}

const explorers = new Map();

function render() {
  const state = readState();
  for (const section of findAll("main > section")) section.hidden = section.id !== `view-${state.view}`;
  for (const link of findAll("nav a")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.classList.toggle("exploring", state.view !== "overview");
  if (state.view === "overview") return;
  if (!explorers.has(state.view)) explorers.set(state.view, new Explorer(state.view));
  explorers.get(state.view).render(state);
}

function longestTurn(state) {
  const shown = [state.e, state.vs].map(name => numbered(ARCHIVE.episodes, name)?.turns ?? 0);
  return Math.max(...shown);
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || find("dialog").open) return;
  const state = readState(), explorer = explorers.get(state.view), typing = event.target.closest("input, select, textarea");
  const close = () => {
    if (typing) typing.blur();
    else if (state.vs) go({ vs: "" });
    else if (state.e !== undefined) go({ e: "", t: "" });
    else if (state.q) { explorer.form.q.value = ""; go({ q: "" }); }
  };
  const turn = where => state.view === "episodes" && state.e !== undefined && go({ t: where(Number(state.t ?? 0)) || "" }, false);
  const views = findAll("nav a");
  const keys = {
    Escape: () => explorer && close(),
    "/": () => explorer ? explorer.form.q.focus() : (go({ view: views[1]?.dataset.view ?? "overview" }), explorers.get(readState().view)?.form.q.focus()),
    j: () => explorer?.list.move(1), k: () => explorer?.list.move(-1),
    ArrowRight: () => turn(at => Math.min(at + 1, longestTurn(state))), ArrowLeft: () => turn(at => Math.max(at - 1, 0)),
    Home: () => turn(() => 0), End: () => turn(() => longestTurn(state)),
    c: () => state.view === "episodes" && nextBeside(state), t: nextTheme, "?": () => find("dialog").showModal(),
    ...Object.fromEntries(views.map((link, place) => [place + 1, () => link.click()])),
  };
  if (!(event.key in keys) || (typing && event.key !== "Escape")) return;
  if (["Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key) && state.e === undefined) return;
  event.preventDefault();
  keys[event.key]();
}

addEventListener("hashchange", render);
addEventListener("popstate", render);
document.addEventListener("keydown", pressed);
find("#keys").addEventListener("click", () => find("dialog").showModal());
render();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
