// One episode as a column: what it came to, its way as a chart, its turns as a list, and one of them in full.

const LETTERS = 4000;  // of a text that is shown at once; more on demand

/** Returns a text's element; a long one is shown in pieces. */
function said(text, name = "said") {
  const box = el("pre", { class: name, tabindex: text.length > 600 ? 0 : undefined }, text.slice(0, LETTERS));
  if (text.length <= LETTERS) return box;
  let shown = LETTERS;
  const left = () => `show more (${(text.length - shown).toLocaleString("en")} characters are left)`;
  const more = el("button", { type: "button", class: "more", click: () => {
    box.append(text.slice(shown, shown += 5 * LETTERS));
    if (shown < text.length) more.textContent = left();
    else more.remove();
  } }, left());
  return el("div", {}, box, more);
}

const part = (name, ...content) => el("div", { class: "part" }, el("h4", {}, name), ...content);

function outcomeMark(outcome) {
  const good = ["✓", "good"];
  const [sign, tone] = { "success": good, "right": good, "right in both": good, "right in one": ["½", "half"] }[outcome] ?? ["✗", "bad"];
  return el("span", { class: `outcome ${tone}`, role: "img", "aria-label": outcome }, sign);
}

const signed = number => `${number > 0 ? "+" : number < 0 ? "−" : ""}${percent(Math.abs(number))}`;

/** Returns how the score rose from turn to turn, with the turn that is looked at. */
function way(turns, at) {
  const width = 600, height = 56, step = (width - 12) / Math.max(turns.length, 1), y = score => 50 - 42 * Math.min(Math.max(score, 0), 1);
  let path = `M0 ${y(0)}`;
  turns.forEach((turn, number) => { path += `H${((number + 1) * step).toFixed(1)}V${y(turn.score ?? 0).toFixed(1)}`; });
  path += "h12";
  const odd = turns.flatMap((turn, number) =>
    turn.odd ? [el("line", { x1: (number + 0.5) * step, x2: (number + 0.5) * step, y1: 50, y2: 56, class: "odd" })] : []);
  const last = turns.at(-1)?.score ?? 0;
  return el("svg", {
    class: "way", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `score from turn to turn, ${percent(last)} at the end`,
  },
    el("rect", { x: Math.min(at, turns.length - 1) * step, y: 0, width: Math.max(step, 2), height, class: "here" }),
    el("line", { x1: 0, x2: width, y1: y(0), y2: y(0), class: "grid" }),
    el("line", { x1: 0, x2: width, y1: y(1), y2: y(1), class: "grid" }),
    el("path", { d: path, class: "rise" }), odd);
}

/** Returns the list of an episode's turns; `parting` is the first turn that differs from what stands beside. */
function turnList(turns, at, parting, choose) {
  const entry = (number, label, ...marks) => el("li", {},
    el("button", {
      type: "button", "data-keep": `turn ${number}`, "aria-current": number === at ? "true" : undefined,
      class: number === parting ? "parting" : undefined, click: () => choose(number),
    }, el("span", { class: "number" }, number < turns.length ? number + 1 : "end"), el("span", { class: "did" }, label), ...marks));
  const rows = turns.map((turn, number) => entry(number, turn.do ?? "(no action)",
    turn.odd && el("span", { class: "badge bad" }, "not understood"),
    turn.reward && el("span", { class: `badge ${turn.reward > 0 ? "good" : "bad"}` }, signed(turn.reward))));
  return el("ol", { class: "turns", "aria-label": "turns" }, rows, entry(turns.length, "what came last"));
}

let commandsOpen = false;  // stays as it is from turn to turn

/** Returns what could be done, to be opened; `can` may be less than `of`, and the rest is in a file. */
function commandList({ can = [], of }, taken, file) {
  return of && el("details", { class: "part", open: commandsOpen, toggle: event => { commandsOpen = event.target.open; } },
    el("summary", { "data-keep": "commands" }, counted(of, "admissible command")),
    el("ul", { class: "commands" }, can.map(command => el("li", { class: command === taken ? "taken" : undefined }, command))),
    of > can.length && el("p", { class: "small soft" }, `${(of - can.length).toLocaleString("en")} more are in ${file}`));
}

let promptOpen = false;

/** Returns what a model was asked at a turn, to be opened; each turn carries what is new since the turn before. */
function promptOf(turns, at) {
  if (!turns[at].asked) return null;
  const messages = turns.slice(0, at + 1).reduce((before, { kept, asked }) => [...before.slice(0, kept), ...asked], []);
  return el("details", { class: "part", open: promptOpen, toggle: event => { promptOpen = event.target.open; } },
    el("summary", { "data-keep": "prompt" }, `prompt: ${counted(messages.length, "message")}`),
    turns[at].unsure && el("p", { class: "small bad" }, "This may differ from what was asked: the prompt set has changed, or the run did not keep the admissible commands."),
    messages.map(([role, text]) => part(role, said(text, "said raw"))));
}

/** Returns one turn in full, or the end. */
function turnDetail({ turns, final, error }, at) {
  const turn = turns[at];
  if (!turn) {
    return el("div", { class: "turn" }, el("h3", {}, "The end"), part("last observation", said(final || "(nothing)")),
      error && part("error", said(error, "said bad")));
  }
  const facts = [turn.read && counted(turn.read, "token") + " read", turn.wrote && counted(turn.wrote, "token") + " written",
    turn.seconds && `${turn.seconds} s`].filter(Boolean).join(" · ");
  return el("div", { class: "turn" },
    el("h3", {}, `Turn ${at + 1} of ${turns.length}`),
    part("observation", said(turn.see ?? "")),
    commandList(turn, turn.do, "episodes.jsonl"),
    promptOf(turns, at),
    turn.think && part("thought", said(turn.think, "said thought")),
    turn.say && part("raw reply", said(turn.say, "said raw")),
    part("action", el("pre", { class: "action" }, turn.do ?? "(none)"),
      turn.odd && el("p", { class: "bad small" }, "The simulator did not carry this out.")),
    part("reward", el("p", {}, el("b", { class: turn.reward > 0 ? "good" : turn.reward < 0 ? "bad" : "" }, signed(turn.reward ?? 0)),
      ` · score ${percent(turn.score ?? 0)}`, facts && el("span", { class: "soft" }, ` · ${facts}`))));
}
