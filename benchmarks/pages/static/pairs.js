// A judged pair in both orders, and what the other models said of the same pair.

const samePair = one => ARCHIVE.pairs.filter(other =>
  other.of === one.of && other.id === one.id && other.expert === one.expert && other.other === one.other);

function pairRow(one) {
  return [
    outcomeMark(one.outcome),
    el("span", { class: "name" }, `${one.expert} | ${one.other}`),
    el("span", { class: "about" }, `${ARCHIVE.runs[one.run].label} · ${one.id.replace(/^[a-z]+\//, "")}`),
  ];
}

const pairText = one => `${one.id} ${one.type} ${one.expert} ${one.other} ${ARCHIVE.runs[one.run].label}`.toLowerCase();

const ASKED = { answers: "as it is", suppressed: "with reasoning suppressed", injected: "with a rationale for the wrong action" };

function order(told, name, place) {
  const answer = told.asked[name][place], actions = place ? [told.alternative, told.expert_action] : [told.expert_action, told.alternative];
  const expertAt = place, taken = { right: expertAt, wrong: 1 - expertAt }[answer.outcome];
  const chances = answer.log_probabilities;
  const rest = Object.entries(answer).filter(([name]) => !["outcome", "action", "reply", "thought", "log_probabilities"].includes(name));
  return el("article", { class: "order card" },
    el("h3", {}, outcomeMark(answer.outcome === "right" ? "success" : answer.outcome), place ? "The expert's action is Action 2" : "The expert's action is Action 1"),
    actions.map((action, number) => el("div", { class: number === taken ? "option taken" : "option" },
      el("span", { class: "small soft" }, `Action ${number + 1}${number === expertAt ? ", the expert's" : ""}${number === taken ? " · chosen" : ""}`),
      el("pre", { class: "action" }, action),
      chances && el("span", { class: "small soft" }, `log-probability ${Number(chances[number]).toFixed(3)}`))),
    taken === undefined && el("p", { class: "bad small" }, `The answer is ${answer.outcome}.`),
    answer.thought && part("thought", said(String(answer.thought), "said thought")),
    answer.reply && part("raw reply", said(String(answer.reply), "said raw")),
    rest.map(([name, value]) => part(name.replaceAll("_", " "), said(typeof value === "string" ? value : JSON.stringify(value)))));
}

async function showPair(detail, state) {
  const one = numbered(ARCHIVE.pairs, state.e);
  if (!one) return fill(detail, el("p", { class: "nothing soft" }, "Choose a pair."));
  const told = await body(one);
  if (readState().e !== state.e) return undefined;
  const others = samePair(one);
  fill(detail,
    el("div", { class: "head" },
      el("button", { type: "button", class: "back", click: () => go({ e: "" }) }, "← list"),
      el("h2", {}, one.id),
      el("p", { class: "small soft" }, `${one.of} ${one.split} · ${one.type} · ${ARCHIVE.runs[one.run].label} · alternative by ${told.proposer}`),
      el("p", {}, outcomeMark(one.outcome), ` ${one.outcome}`)),
    Object.entries(told.asked).map(([name, answers], _, all) => el("section", { class: "asking" },
      all.length > 1 && el("h3", {}, `Asked ${ASKED[name] ?? name}`),
      name === "injected" && told.rationale && part("rationale put into its mouth", said(told.rationale, "said thought")),
      el("div", { class: "columns two" }, answers.map((_, place) => order(told, name, place))))),
    others.length > 1 && el("div", { class: "part" }, el("h4", {}, "all who were asked this"),
      el("table", { class: "asked" },
        el("thead", {}, el("tr", {}, ["model", "expert first", "expert second"].map(name => el("th", { scope: "col" }, name)))),
        el("tbody", {}, others.map(other => el("tr", {},
          el("th", { scope: "row" }, other === one ? ARCHIVE.runs[other.run].label
            : el("a", { href: `#pairs?e=${other.number}` }, ARCHIVE.runs[other.run].label)),
          other.answers.map(answer => el("td", {}, outcomeMark(answer === "right" ? "success" : answer), ` ${answer}`))))))),
    el("div", { class: "part" }, el("h4", {}, "the state"),
      told.state ? said(told.state) : el("p", { class: "soft small" }, "The file of pairs was not where the run found it, so the state is not here.")));
  return undefined;
}
