"""Write the counts, hashes, costs and transcripts of the environment pages from the code.

    .venv/bin/python scripts/environment_facts.py            # splits and transcripts: a second for each benchmark
    .venv/bin/python scripts/environment_facts.py --measure  # also plays the mini suites for tokens and times

A page marks each part with `<!-- facts: NAME -->` and `<!-- end -->`; `tests/test_site.py` compares them with the code.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from textwrap import wrap
from time import process_time

import gymnasium as gym

from act_gym import Episode, play, tasks
from act_gym.benchmarks import BENCHMARKS, NAMESPACE
from agents.registry import make_agent

PAGES = Path(__file__).resolve().parent.parent / "docs" / "environments"
SHOWN = {  # page: benchmark, and split and type of the task of the transcript
    "alfworld": ("ALFWorld", "generated-unseen", "look_at_obj_in_light"),
    "scienceworld": ("ScienceWorld", "seen", "find-living-thing"),
    "webshop": ("WebShop", "generated-seen", "grocery"),
}
MINI = {
    "alfworld": ("act/ALFWorld-unseen", "act/ALFWorld-generated-unseen"),
    "scienceworld": ("act/ScienceWorld-seen",),
    "webshop": ("act/WebShop-seen", "act/WebShop-generated-seen"),
}
MARKED = re.compile(r"(<!-- facts: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: str, rows: Iterable[Iterable[object]], align: str) -> str:
    """Return a Markdown table; `align` has an l or r for each column."""
    rule = "|" + "|".join({"l": "---", "r": "--:"}[side] for side in align) + "|"
    return "\n".join((head, rule, *("| " + " | ".join(map(str, row)) + " |" for row in rows))) + "\n"


def splits(page: str) -> str:
    """Return the table of a benchmark's splits: id, tasks, task types, sha256 of the ordered task ids."""
    entry = BENCHMARKS[SHOWN[page][0]]
    rows = []
    for split in entry.splits:
        listed = tasks(env_id := f"{NAMESPACE}/{entry.name}-{split}")
        digest = hashlib.sha256("\n".join(task.id for task in listed).encode()).hexdigest()
        rows.append((f"`{env_id}`", f"{len(listed):,}", len({task.task_type for task in listed}), f"`{digest[:16]}`"))
    return table("| id | tasks | task types | sha256 |", rows, "lrrl")


def transcript(page: str) -> str:
    """Return the expert's episode of one task as text."""
    name, split, kind = SHOWN[page]
    env_id = f"{NAMESPACE}/{name}-{split}"
    task = next(task for task in tasks(env_id) if task.task_type == kind)
    (episode,) = play(env_id, make_agent("expert"), [task], keep_commands=False)
    lines = [f"task  {task.id}", f"goal  {episode.goal}", ""]
    for turn in episode.turns:
        lines += [turn.observation.strip(), "", f"> {turn.action}", ""]
    lines += [episode.final_observation.strip(), "", f"success {episode.success}, score {episode.score:g}"]
    return "```text\n" + "\n".join(shorten(line) for line in lines) + "\n```\n"


def shorten(text: str, characters: int = 320, width: int = 110) -> str:
    """Cut a long text and wrap its lines."""
    text = text if len(text) <= characters else text[:characters] + " …"
    return "\n".join(part for line in text.splitlines() or [""] for part in wrap(line, width) or [""])


def costs(page: str) -> str:
    """Play tasks of every type with the expert and at random, and return tokens and milliseconds an episode."""
    from transformers import AutoTokenizer

    from agents.local.default_model import model_path

    tokenizer = AutoTokenizer.from_pretrained(model_path("smollm2"))
    rows = []
    for env_id in MINI[page]:
        kinds: dict[str, list[object]] = {}
        for task in tasks(env_id):
            kinds.setdefault(task.task_type, []).append(task)
        chosen = [task for kind in kinds.values() for task in kind[: 1 if page == "scienceworld" else 4]]
        gym.make(env_id).close()
        for agent in ("expert", "random"):
            began = process_time()
            episodes = list(play(env_id, make_agent(agent), chosen, keep_commands=False))  # type: ignore[arg-type]
            milliseconds = 1000 * (process_time() - began) / len(episodes)
            counts = [len(tokenizer(words(episode))["input_ids"]) for episode in episodes]
            turns = median(len(episode.turns) for episode in episodes)
            rows.append(
                (f"`{env_id}`", agent, len(episodes), f"{turns:g}", f"{median(counts):,.0f}", f"{milliseconds:,.1f}")
            )
    head = "| id | agent | episodes | turns, median | tokens, median | processor time, ms |"
    return table(head, rows, "llrrrr")


def words(episode: Episode) -> str:
    """Return all that is read and written in an episode."""
    parts = [episode.goal, *(text for turn in episode.turns for text in (turn.observation, turn.action))]
    return "\n".join((*parts, episode.final_observation))


FACTS = {"splits": splits, "transcript": transcript, "costs": costs}


def filled(page: str, names: Iterable[str]) -> str:
    """Return a page's text with the facts of these names made again."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    wanted = set(names)

    def fill(part: re.Match[str]) -> str:
        return part[1] + FACTS[part[2]](page) + part[3] if part[2] in wanted else part[0]

    return MARKED.sub(fill, text)


if __name__ == "__main__":
    wanted = ["splits", "transcript", *(["costs"] if "--measure" in sys.argv[1:] else [])]
    for name in SHOWN:
        (PAGES / f"{name}.md").write_text(filled(name, wanted), encoding="utf-8")
