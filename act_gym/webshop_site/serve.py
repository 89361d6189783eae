"""`act-gym shop`: serves WebShop as web pages on this machine.

    act-gym shop --env act/WebShop-test --task 12

It prints a URL with a secret, which a visitor needs. Every visit is an episode of the environment, and is recorded in
`--out` after a purchase, at the step limit, or when the visitor has left.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import gymnasium as gym

import act_gym  # noqa: F401  registers the environments
from act_gym.benchmarks import Benchmark, parse_id
from act_gym.config import parse
from act_gym.errors import UsageError
from act_gym.webshop_site.recording import Recorder
from act_gym.webshop_site.server import ShopServer
from act_gym.webshop_site.sessions import Customers

__all__ = ["ShopConfig", "customers_of", "main"]


@dataclass(frozen=True)
class ShopConfig:
    """Open WebShop as web pages on this machine."""

    env: str = "act/WebShop-test"
    """An environment of WebShop; `act-gym list` shows them."""
    catalogue: str = ""
    """Catalogue: `1000`, `full`, `generated`, or a path; empty for the environment's default."""
    task: str = ""
    """Id of a task, or the number of its goal, to open at once; the list of tasks if empty."""
    port: int = 0
    """Where on 127.0.0.1; 0 for any that is free."""
    out: Path = Path("runs/demonstrations")
    """Folder for the visits, as `episodes.jsonl`; further visits are added to those that are there."""
    agent: str = "human"
    """Who visits, as the episodes name it."""
    human_goals: bool = False
    """Use goals written by people instead of synthetic ones."""
    show_attrs: bool = False
    """Whether a product's page leads to its attributes."""
    observation_mode: str = "text"
    """Observations in the recorded episodes: `text`, `text_rich`, `html` or `url`."""
    step_limit: str = ""
    """A limit that others report results under, e.g. `webshop-paper`; the benchmark's own if empty."""
    max_turns: int = 0
    """Instead, a number of actions; 0 for the benchmark's own."""
    seed: int = 0
    """In which order tasks come to those who take any."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program until it is stopped; returns its exit status."""
    arguments = parse(ShopConfig, sys.argv[1:] if argv is None else argv, program="act-gym shop")
    customers = customers_of(arguments)
    try:
        path = _first_page(customers, arguments.task)
        with ShopServer(customers, arguments.port) as server, _stopping():
            sys.stdout.write(f"{server.address(path)}\n")
            sys.stdout.flush()
            sys.stderr.write(
                f"The shop is open at the address above, for this machine only. Visits are kept in {arguments.out}. "
                "Ctrl-C closes it.\n"
            )
            server.serve_forever()
    except KeyboardInterrupt:
        sys.stderr.write("\nThe shop is closed.\n")
    finally:
        customers.close()
    return 0


def customers_of(arguments: ShopConfig) -> Customers:
    """Return a shop without visitors.

    Raises:
        UsageError: The arguments do not fit together.
        DataError: There is nothing to sell on this machine.
    """
    entry, _ = parse_id(arguments.env)
    if entry.name != "WebShop":
        raise UsageError(f"{arguments.env} is no shop. Expected an environment of WebShop, e.g. act/WebShop-test.")
    if arguments.max_turns < 0 or arguments.port < 0:
        raise UsageError("--max-turns is 0 (the benchmark's own) or more, and --port 0 (any that is free) or more.")
    limit, limits = _limits(entry, arguments)
    options: dict[str, Any] = {
        "human_goals": arguments.human_goals,
        "show_attrs": arguments.show_attrs,
        "observation_mode": arguments.observation_mode,
    }
    if arguments.catalogue:
        options["catalogue"] = arguments.catalogue
    recorder = Recorder(arguments.out)
    try:
        make = partial(gym.make, arguments.env, **options, **limits)
        return Customers(make, arguments.env, recorder, agent=arguments.agent, seed=arguments.seed, limit=limit)
    except BaseException:
        recorder.close()
        raise


def _limits(entry: Benchmark, arguments: ShopConfig) -> tuple[int, dict[str, Any]]:
    """Return how many actions a visit has, and what tells it to the environment."""
    if arguments.step_limit and arguments.max_turns:
        raise UsageError("--max-turns and --step-limit are two ways to say the same; give one of them.")
    if arguments.step_limit:
        limit = entry.step_limit(arguments.step_limit, "")
        return limit, {"step_limit": arguments.step_limit, "max_episode_steps": -1}
    limit = arguments.max_turns or entry.max_turns
    return limit, {"max_episode_steps": limit}


def _first_page(customers: Customers, wanted: str) -> str:
    if not wanted:
        return "/"
    task = customers.task(wanted)
    if task is None:
        first, last = (each.payload["goal"] for each in (customers.tasks[0], customers.tasks[-1]))
        raise UsageError(
            f"There is no task {wanted} in {customers.env_id}. Expected the number of a goal, {first} to {last} here, "
            f"or an id such as {customers.tasks[0].id}."
        )
    return f"/fixed_{task.payload['goal']}"


@contextmanager
def _stopping() -> Iterator[None]:
    """Let the signal that ends programs close the shop, as Ctrl-C does."""

    def stop(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    from act_gym.cli import run as run_program

    raise SystemExit(run_program(main, sys.argv[1:]))
