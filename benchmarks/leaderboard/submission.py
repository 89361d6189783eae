"""Leaderboard submissions: one agent's records on one suite, small enough to keep, complete enough to replay.

```
leaderboard/<suite>/<agent>/
├── entry.json        the suite with its hash, the agent, versions, the command, and the numbers
├── records.jsonl     one flat line an episode, in the suite's order
└── actions.jsonl.xz  every action of every episode, to play them again
```

A record's `digest` is of everything its episode showed, so that playing the actions again proves it.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from act_gym.benchmarks import parse_id
from act_gym.errors import FailedEpisodesError, RunError
from act_gym.io.jsonl import read_records, write_json, write_records
from act_gym.io.run_dir import FREE_ARGUMENTS
from act_gym.types import Episode
from benchmarks.evaluate import words_of
from benchmarks.stats.failure_modes import REWARD_PARTS, TURN_MODES
from benchmarks.stats.measurement import Measurement
from benchmarks.stats.scores import errors_in, flat_record, measure
from benchmarks.suites import SIMULATORS, Suite, simulator_of, suite

__all__ = [
    "NUMBERS",
    "Entry",
    "actions_of",
    "compact",
    "entries_below",
    "make_entries",
    "numbers_of",
    "other_simulator",
]

FORMAT = 1
NUMBERS = ("errors", "success", "score", "turns", "invalid_actions", "prompt_tokens", "completion_tokens")
"""Suite facts of an entry."""

_LEFT_OUT = ("env_id", "benchmark", "split", "agent", "seconds", "error")  # once in entry.json, or not kept
_ELSEWHERE = FREE_ARGUMENTS | {"label", "agent", "suite", "env", "keep_commands"}  # arguments that move no number


@dataclass(frozen=True)
class Entry:
    """One row of the leaderboard.

    Attributes:
        folder: Where it is.
        facts: Content of `entry.json`.
    """

    folder: Path
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Entry:
        """Read an entry's `entry.json`.

        Raises:
            RunError: It is missing, or not an entry of this format.
        """
        path = folder / "entry.json"
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            known = facts["format"] == FORMAT and facts["suite"]["name"] and facts["agent"]["name"]
            [Measurement.from_json(number) for number in facts["numbers"]]
            entry = cls(folder, facts)
            str(entry.catalogue)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
            raise RunError(f"{path} is not an entry of the leaderboard: {cause!r}.") from cause
        if not known:
            raise RunError(f"{path} is of format {facts['format']!r}; expected {FORMAT}.")
        return entry

    @property
    def suite(self) -> str:
        """The suite's name."""
        return str(self.facts["suite"]["name"])

    @property
    def label(self) -> str:
        """Name on the page."""
        return str(self.facts.get("label") or self.facts["agent"]["name"])

    @property
    def catalogue(self) -> str:
        """Description of WebShop's catalogue; empty for another benchmark."""
        catalogue = self.facts["data"].get("catalogue")
        if catalogue is None:
            return ""
        kind = "official" if catalogue["official"] else "made from a seed"
        if not catalogue["official"] and catalogue["source"] != "generated":
            kind = f"not official: other {', '.join(catalogue['not_official']) or 'files'}"
        return f"catalogue {catalogue['name']} ({kind}), sha256 {str(catalogue['sha256'])[:12]}"

    @property
    def numbers(self) -> Mapping[str, Measurement]:
        """The numbers it states, by their names."""
        return {one.name: one for one in map(Measurement.from_json, self.facts["numbers"])}

    def records(self) -> list[dict[str, Any]]:
        """Return its records with what they leave out, as `measure` wants them."""
        env_id = suite(self.suite).env_id
        benchmark, split = parse_id(env_id)
        same = {"env_id": env_id, "benchmark": benchmark.name, "split": split or "", "error": "", "seconds": 0.0}
        return [{**same, **record} for record in read_records(self.folder / "records.jsonl")]


def entries_below(folder: Path) -> list[Entry]:
    """Return all entries in a folder or below it, sorted by their paths.

    Raises:
        RunError: There is none, or one cannot be read.
    """
    found = [Entry.read(path.parent) for path in sorted(folder.rglob("entry.json"))]
    if not found:
        raise RunError(f"{folder} holds no entry. Make one of a run: act-gym leaderboard --add RUN")
    return found


def make_entries(run: Path, leaderboard: Path, label: str = "", *, count_errors: bool = False) -> list[Entry]:
    """Make an entry of every suite that a finished run played, and return them.

    Args:
        run: A run folder of `act-gym eval --suite`.
        leaderboard: Where entries are.
        label: Name of the agent on the page; its own label or name if empty.
        count_errors: Take episodes that ended with an error, each as a failure.

    Raises:
        RunError: The run is not finished, played something else, or only a part of a suite.
        FailedEpisodesError: Episodes ended with an error.
    """
    manifest, config = (_json(run / name) for name in ("manifest.json", "config.json"))
    summary = _json(run / "summary.json")
    episodes = [Episode.from_json(data) for data in read_records(run / "episodes.jsonl")]
    if "protocol" in manifest:
        name = manifest["protocol"]["name"]
        raise RunError(
            f"{run} was played under the protocol {name}. The leaderboard ranks runs of the suites' own limits, in "
            "which each agent chooses its prompts; compare runs of one protocol with act-gym compare or report."
        )
    made = []
    for name, played in manifest.get("suites", {}).items():
        frozen = suite(name)
        if played["sha256"] != frozen.sha256 or manifest.get("env_options") or manifest.get("shard", "1/1") != "1/1":
            raise RunError(f"{run} did not play {name} as it is frozen; play it whole, without --env-options.")
        simulator = manifest["simulators"][frozen.benchmark]
        _check_simulator(run, frozen, simulator)
        own = {(each.task.id, each.seed): each for each in episodes if each.env_id == frozen.env_id}
        order = [(task.id, seed) for seed in manifest["seeds"] for task in frozen.tasks()]
        missing = [key for key in order if key not in own]
        if missing:
            raise RunError(f"{run} lacks {len(missing)} episodes of {name}. Continue it with --resume.")
        chosen = [own[key] for key in order]
        errors = errors_in(map(flat_record, chosen))
        if errors and not count_errors:
            raise FailedEpisodesError(
                f"{errors} of {len(chosen)} episodes of {name} in {run} ended with an error. "
                "Play them again with act-gym eval --resume, or count each as a failure with --count-errors."
            )
        agent = {"name": chosen[0].agent, **{k: v for k, v in manifest["agent"].items() if k != "name"}}
        facts = {
            "format": FORMAT,
            "suite": {"name": name, "version": frozen.version, "sha256": frozen.sha256},
            "label": label or config.get("label") or summary.get("label", ""),
            "agent": agent,
            **({"errors_count_as_failures": True} if errors else {}),
            "command": _command(name, config),
            "seeds": manifest["seeds"],
            "date": manifest["started"][:10],
            "git": manifest["git"],
            "versions": {"python": manifest["machine"]["python"], **manifest["versions"]},
            "simulator": simulator,
            "data": {key: played[key] for key in ("catalogue", "generator", "games_sha256") if key in played},
        }
        made.append(_write(leaderboard / name / _slug(facts["label"] or agent["name"]), facts, chosen))
    if not made:
        raise RunError(f"{run} played no suite. Expected a run of act-gym eval --suite NAME.")
    return made


def other_simulator(frozen: Suite, simulator: Mapping[str, Any]) -> str:
    """Return the simulator that was played, if a suite is of another minor version; empty otherwise.

    Args:
        frozen: The suite.
        simulator: Simulator facts of a manifest or an entry.
    """
    found = simulator_of(frozen.benchmark, str(simulator.get(SIMULATORS.get(frozen.benchmark, ""), "")))
    return (found or "an unknown one") if found != frozen.simulator else ""


def _check_simulator(run: Path, frozen: Suite, simulator: Mapping[str, Any]) -> None:
    other = other_simulator(frozen, simulator)
    if other:
        raise RunError(
            f"{run} played {frozen.name} with {other}, and the suite is of {frozen.simulator}: its numbers are of "
            "another benchmark. Play it again with the suite's own."
        )


def compact(episode: Episode) -> dict[str, Any]:
    """Return an episode's record as an entry keeps it, with the digest of its observations."""
    left_out = (*_LEFT_OUT, *TURN_MODES, *REWARD_PARTS)
    record = {name: value for name, value in flat_record(episode).items() if name not in left_out}
    shown = [episode.goal, *(turn.observation for turn in episode.turns), episode.final_observation]
    digest = hashlib.sha256(json.dumps(shown, ensure_ascii=True).encode()).hexdigest()
    return {**record, "digest": digest[:16]}


def actions_of(folder: Path) -> dict[tuple[str, int], list[str]]:
    """Return an entry's actions by task and seed.

    Raises:
        RunError: The file is missing or damaged.
    """
    path = folder / "actions.jsonl.xz"
    try:
        lines = [json.loads(line) for line in _limited(path)]
        return {(line["task_id"], line["seed"]): list(map(str, line["actions"])) for line in lines}
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as cause:
        raise RunError(f"{path} cannot be read: {cause!r}.") from cause


def numbers_of(records: Iterable[Mapping[str, Any]]) -> list[Measurement]:
    """Measure an entry's records as `act-gym eval` does."""
    found = measure(records, np.random.default_rng(0))
    return [one for one in found if not one.task_type and one.name in NUMBERS]


_MOST = 256 * 2**20  # bytes of actions; a file of a few hundred bytes could unpack into all memory


def _limited(path: Path) -> Iterator[bytes]:
    size = 0
    with lzma.open(path) as file:
        while line := file.readline(_MOST):
            size += len(line)
            if size >= _MOST:
                raise ValueError(f"more than {_MOST} bytes")
            yield line


def _write(folder: Path, facts: Mapping[str, Any], episodes: list[Episode]) -> Entry:
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder / "records.jsonl", [compact(episode) for episode in episodes])
    with lzma.open(folder / "actions.jsonl.xz", "wb", preset=9) as file:
        for episode in episodes:
            actions = [turn.action for turn in episode.turns]
            line = {"task_id": episode.task.id, "seed": episode.seed, "actions": actions}
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    numbers = [one.to_json() for one in numbers_of(Entry(folder, facts).records())]
    write_json(folder / "entry.json", {**facts, "numbers": numbers})
    return Entry.read(folder)


def _command(name: str, config: Mapping[str, Any]) -> str:
    """Return the command that plays this again: every argument that decides a number and is not its default."""
    words = ["act-gym", "eval", "--suite", name, "--agent", str(config.get("agent", ""))]
    return shlex.join([*words, *words_of(config, without=_ELSEWHERE)])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "agent"


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as cause:
        raise RunError(f"Cannot read {path}: {cause}. Expected the folder of a finished act-gym eval.") from cause
