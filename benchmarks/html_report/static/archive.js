// What the page carries: an index that is read at once, and blocks that are unpacked when somebody looks into them.

const ARCHIVE = (() => {
  const index = JSON.parse(find("#archive").textContent);
  const word = number => index.words[number];
  const seen = ([run, of, split, type, id]) => ({ run, of: word(of), split: word(split), type: word(type), id });
  const episodes = index.episodes.map((row, number) => {
    const [seed, success, score, turns, stop, goal, block, place] = row.slice(5);
    const outcome = success ? "success" : word(stop).endsWith("error") ? "error" : "no success";
    return { ...seen(row), number, seed, success, score, turns, stop: word(stop), goal, block, place, outcome };
  });
  const inBoth = answers => answers.includes("malformed") ? "malformed"
    : ["wrong in both", "right in one", "right in both"][answers.filter(each => each === "right").length];
  const questions = rows => rows.map((row, number) => {
    const [expert, other, outcomes, block, place] = row.slice(5);
    const answers = outcomes.map(word);
    const outcome = answers.length === 1 ? answers[0] : inBoth(answers);
    return { ...seen(row), number, expert, other, answers, outcome, block, place };
  });
  return { runs: index.runs, episodes, pairs: questions(index.pairs), actions: questions(index.actions) };
})();

const unpacked = new Map();  // the blocks looked into last

/** Returns a promise of a block's text. */
async function unpack(number) {
  const packed = Uint8Array.from(atob(find(`#block-${number}`).textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

/** Returns a promise of what the index points to. */
async function body({ block, place }) {
  if (!unpacked.has(block)) {
    if (unpacked.size >= 8) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(block, unpack(block).then(JSON.parse));
  }
  return (await unpacked.get(block))[place];
}

/** Yields, block by block, the numbers of those rows whose words hold a text, in small letters. */
async function* searched(rows, wanted) {
  const blocks = Map.groupBy(rows, row => row.block);
  for (const [block, members] of blocks) {
    const bodies = JSON.parse(await unpack(block));
    yield members.filter(row => says(bodies[row.place], wanted)).map(row => row.number);
  }
}

function says(value, wanted) {
  if (typeof value === "string") return value.toLowerCase().includes(wanted);
  return typeof value === "object" && value !== null && Object.values(value).some(each => says(each, wanted));
}
