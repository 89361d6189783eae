// The episode that is looked at, and another on the same task beside it.

const sameTask = one => ARCHIVE.episodes.filter(other =>
  other !== one && other.of === one.of && other.id === one.id);

function episodeRow(one) {
  return [
    outcomeMark(one.outcome),
    el("span", { class: "name" }, one.goal || one.id),
    el("span", { class: "about" }, `${ARCHIVE.runs[one.run].label} · ${one.type} · score ${percent(one.score)} · ${counted(one.turns, "turn")}`),
  ];
}

const episodeText = one => `${one.id} ${one.goal} ${one.type} ${ARCHIVE.runs[one.run].label}`.toLowerCase();

function firstDifference(one, other) {
  const length = Math.max(one.turns.length, other.turns.length);
  for (let at = 0; at < length; at++) if (one.turns[at]?.do !== other.turns[at]?.do) return at;
  return undefined;
}

function column(one, told, at, parting) {
  const run = ARCHIVE.runs[one.run];
  return el("article", { class: "column", "aria-label": run.label },
    el("h3", { class: "who" }, outcomeMark(one.outcome), run.label, el("span", { class: "soft small" },
      ` score ${percent(one.score)} · ${counted(one.turns, "turn")} · ${one.stop}${one.seed ? ` · seed ${one.seed}` : ""}`)),
    way(told.turns, at),
    el("div", { class: "both" }, turnList(told.turns, at, parting, turn => go({ t: turn }, false)), turnDetail(told, at)));
}

/** Shows the episode that an address names, unless `wanted` says that somebody was quicker and asked for another. */
async function showEpisode(detail, state, wanted) {
  const one = numbered(ARCHIVE.episodes, state.e);
  if (!one) return fill(detail, el("p", { class: "nothing soft" }, "Choose an episode."));
  const others = sameTask(one);
  const beside = others.find(other => String(other.number) === state.vs);
  const told = await body(one), toldBeside = beside && await body(beside);
  if (!wanted()) return undefined;
  const parting = beside && firstDifference(told, toldBeside);
  const longest = Math.max(told.turns.length, toldBeside?.turns.length ?? 0);
  const at = Math.min(Math.max(Number(state.t ?? 0) || 0, 0), longest);
  const choice = el("select", { "aria-label": "compare with", "data-keep": "beside", change: event => go({ vs: event.target.value }) },
    el("option", { value: "" }, others.length ? "nothing" : "nobody else played it"),
    others.map(other => el("option", { value: other.number, selected: other === beside },
      `${ARCHIVE.runs[other.run].label}${other.seed !== one.seed ? `, seed ${other.seed}` : ""} (${other.outcome})`)));
  choice.disabled = !others.length;
  fill(detail,
    el("div", { class: "head" },
      el("button", { type: "button", class: "back", click: () => go({ e: "", vs: "", t: "" }) }, "← list"),
      el("h2", {}, one.id),
      el("p", { class: "small soft" }, `${one.of} ${one.split} · ${one.type} · ${one.outcome}`),
      el("p", { class: "goal" }, one.goal),
      el("div", { class: "steps" },
        el("button", { type: "button", click: () => go({ t: Math.max(at - 1, 0) }, false), "aria-label": "previous turn", "data-keep": "previous" }, "←"),
        el("span", { role: "status" }, at < longest ? `turn ${at + 1} / ${longest}` : "the end"),
        el("button", { type: "button", click: () => go({ t: Math.min(at + 1, longest) }, false), "aria-label": "next turn", "data-keep": "next" }, "→"),
        el("label", { class: "beside" }, "beside it ", choice))),
    beside && el("p", { class: "small soft part-note" },
      parting === undefined ? "They did the same." : `They part at turn ${parting + 1}.`),
    el("div", { class: beside ? "columns two" : "columns" },
      column(one, told, Math.min(at, told.turns.length), parting),
      beside && column(beside, toldBeside, Math.min(at, toldBeside.turns.length), parting)));
  for (const current of findAll("[aria-current=true]", detail)) {  // within its list; the page stays where it is
    const list = current.closest("ol");
    list.scrollTop += current.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 2;
  }
  return undefined;
}

/** Puts the next agent's episode on the same task beside the one that is looked at; after the last, none. */
function nextBeside(state) {
  const one = numbered(ARCHIVE.episodes, state.e);
  if (!one) return;
  const others = sameTask(one).map(other => String(other.number));
  go({ vs: ["", ...others][(["", ...others].indexOf(state.vs ?? "") + 1) % (others.length + 1)] });
}
