"""How long a report of 1,000 episodes takes to write, and to open in a browser.

    python -m pytest benchmarks/speed/bench_report.py --benchmark-columns=median,iqr,rounds -s

The episodes are real: the random agent's on ALFWorld's generated games, with all admissible commands of each turn,
copied under other names until there are 1,000. Chromium opens the page as a file; what counts is the time from the
beginning of the navigation until the list can be used, as the page itself says. On a machine that others use too,
add `--benchmark-timer=time.process_time` for the writing. Nothing here asserts a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import act_gym
from act_gym.io.jsonl import RecordWriter
from act_gym.rollout import play
from agents.baselines import RandomAgent
from benchmarks.report import main
from benchmarks.stats.intervals import Interval
from benchmarks.stats.measurement import Measurement, Summary

pytestmark = pytest.mark.timeout(1800)

EPISODES = 1000
PLAYED = 50
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with 1,000 episodes of 50 turns."""
    folder = tmp_path_factory.mktemp("run")
    env_id = "act/ALFWorld-generated-unseen"
    episodes = list(play(env_id, RandomAgent(), act_gym.tasks(env_id)[:PLAYED], keep_commands=True))
    with RecordWriter(folder / "episodes.jsonl", sync_every=float("inf")) as file:
        for number in range(EPISODES):
            episode = episodes[number % PLAYED]
            task = replace(episode.task, id=f"{episode.task.id}/{number // PLAYED}")
            file.write(replace(episode, task=task).to_json())
    success = Measurement.of("success", Interval(0.0, 0.0, 0.01, EPISODES), ("ALFWorld", "generated-unseen"))
    Summary(kind="episodes", label="random", subject="random", measurements=(success,)).write(folder)
    return folder


def bench_writing(benchmark: Any, run: Path, tmp_path: Path) -> None:
    """The whole program, from run folder to page."""
    benchmark.pedantic(main, args=([str(run), "--out", str(tmp_path / "report.html")],), rounds=1)


@pytest.fixture
def window(run: Path) -> Iterator[Any]:
    """A browser's window, and the page next to the run."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Run: pip install -e '.[dev]'")
    if CHROMIUM is None:
        pytest.skip("No Chromium on this machine. Run: apt-get install chromium")
    main([str(run), "--out", str(run / "report.html")])
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page()
        browser.close()


def bench_opening(benchmark: Any, run: Path, window: Any) -> None:
    """From the beginning of the navigation until the list of episodes can be used."""
    ready: list[float] = []

    def open_page() -> None:
        window.goto("about:blank")
        window.goto(f"{(run / 'report.html').as_uri()}#episodes")
        window.locator("[role=option]").first.wait_for()
        ready.append(float(window.evaluate("document.documentElement.dataset.ready")))

    benchmark.pedantic(open_page, rounds=5, warmup_rounds=1)
    benchmark.extra_info["ready_ms"] = sorted(ready)
    benchmark.extra_info["bytes"] = (run / "report.html").stat().st_size
