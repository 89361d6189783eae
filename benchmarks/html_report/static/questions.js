// A question and what a model answered: which of two actions is better, in both orders, or which action is next.
// And what the other models answered to the same question.

const QUESTIONS = {
  pairs: {
    rows: ARCHIVE.pairs, nothing: "Choose a pair.", file: "pairs.jsonl", same: ["of", "id", "expert", "other"],
    name: one => `${one.expert} | ${one.other}`, heads: ["expert first", "expert second"], options: judged,
    title: (_, place) => place ? "The expert's action is Action 2" : "The expert's action is Action 1",
  },
  actions: {
    rows: ARCHIVE.actions, nothing: "Choose a question.", file: "the file of decisions", same: ["of", "id", "expert"],
    name: one => one.outcome === "right" ? one.expert : `${one.expert} | ${one.other || one.outcome}`, heads: ["answer"], options: acted,
    title: answer => ({ "right": "As the expert", "alternative": "As the alternative", "wrong": "Another action",
      "not admissible": "An action that is not admissible" })[answer.outcome] ?? "No action",
  },
};

const questionText = one => `${one.id} ${one.type} ${one.expert} ${one.other} ${ARCHIVE.runs[one.run].label}`.toLowerCase();

function questionRow(one, name) {
  return [
    outcomeMark(one.outcome),
    el("span", { class: "name" }, name(one)),
    el("span", { class: "about" }, `${ARCHIVE.runs[one.run].label} · ${one.id.replace(/^[a-z]+\//, "")}`),
  ];
}

const ASKED = { answers: "as it is", suppressed: "with reasoning suppressed", injected: "with a rationale for the wrong action" };

/** Returns both actions of a pair in the order in which they were shown. */
function judged(told, answer, place) {
  const actions = place ? [told.alternative, told.expert_action] : [told.expert_action, told.alternative];
  const taken = { right: place, wrong: 1 - place }[answer.outcome];
  return actions.map((action, number) => ({
    action, name: `Action ${number + 1}${number === place ? ", the expert's" : ""}`, taken: number === taken, chance: answer.log_probabilities?.[number],
  }));
}

/** Returns the expert's action, the model's if it is another, and the alternative if there is one. */
function acted(told, answer) {
  const right = answer.outcome === "right", asAlternative = answer.outcome === "alternative";
  return [
    { action: told.expert_action, name: "The expert's", taken: right, chance: right ? answer.log_probability : undefined },
    ...(right || !answer.action ? [] : [{
      action: answer.action, name: asAlternative ? "The alternative" : "The model's", taken: true, chance: answer.log_probability,
    }]),
    ...(told.alternative && !asAlternative ? [{ action: told.alternative, name: "The alternative" }] : []),
  ];
}

const SHOWN = new Set(["outcome", "action", "reply", "thought", "log_probability", "log_probabilities"]);

function answered(answer, title, options) {
  return el("article", { class: "order card" },
    el("h3", {}, outcomeMark(answer.outcome), title),
    options.map(({ action, name, taken, chance }) => el("div", { class: taken ? "option taken" : "option" },
      el("span", { class: "small soft" }, `${name}${taken ? " · chosen" : ""}`),
      el("pre", { class: "action" }, action),
      chance !== undefined && el("span", { class: "small soft" }, `log-probability ${Number(chance).toFixed(3)}`))),
    !options.some(option => option.taken) && el("p", { class: "bad small" }, `The answer is ${answer.outcome}.`),
    answer.thought && part("thought", said(String(answer.thought), "said thought")),
    answer.reply && part("raw reply", said(String(answer.reply), "said raw")),
    Object.entries(answer).filter(([name]) => !SHOWN.has(name)).map(([name, value]) =>
      part(name.replaceAll("_", " "), said(typeof value === "string" ? value : JSON.stringify(value)))));
}

/** Returns a table of all who were asked a question; nothing if there is nobody else. */
function everybody(one, others, heads, view) {
  return others.length > 1 && part("all who were asked this",
    el("table", { class: "asked" },
      el("thead", {}, el("tr", {}, ["model", ...heads].map(name => el("th", { scope: "col" }, name)))),
      el("tbody", {}, others.map(other => el("tr", {},
        el("th", { scope: "row" }, other === one ? ARCHIVE.runs[other.run].label
          : el("a", { href: `#${view}?e=${other.number}` }, ARCHIVE.runs[other.run].label)),
        other.answers.map(answer => el("td", {}, outcomeMark(answer), ` ${answer}`)))))));
}

/** Shows the question that an address names; see `showEpisode`. */
async function showQuestion(view, detail, state, wanted) {
  const { rows, nothing, file, same, heads, options, title } = QUESTIONS[view];
  const one = numbered(rows, state.e);
  if (!one) return fill(detail, el("p", { class: "nothing soft" }, nothing));
  const told = await body(one);
  if (!wanted()) return undefined;
  const others = rows.filter(other => same.every(name => other[name] === one[name]));
  const about = [`${one.of} ${one.split}`, one.type, ARCHIVE.runs[one.run].label, told.proposer && `alternative by ${told.proposer}`];
  fill(detail,
    el("div", { class: "head" },
      el("button", { type: "button", class: "back", click: () => go({ e: "" }) }, "← list"),
      el("h2", {}, one.id),
      el("p", { class: "small soft" }, about.filter(Boolean).join(" · ")),
      el("p", {}, outcomeMark(one.outcome), ` ${one.outcome}`)),
    el("div", { class: heads.length > 1 ? undefined : "abreast" },
      Object.entries(told.asked).map(([name, answers], _, all) => el("section", { class: "asking" },
        all.length > 1 && el("h3", {}, `Asked ${ASKED[name] ?? name}`),
        name === "injected" && told.rationale && part("rationale put into its mouth", said(told.rationale, "said thought")),
        el("div", { class: heads.length > 1 ? "columns two" : "columns" },
          answers.map((answer, place) => answered(answer, title(answer, place), options(told, answer, place))))))),
    everybody(one, others, heads, view),
    part("the state", told.state ? said(told.state)
      : el("p", { class: "soft small" }, "The run folder has no questions.jsonl, so the state is not here.")),
    commandList(told, told.expert_action, file));
  return undefined;
}
