"""`act-gym download`: downloads a benchmark's data, checks it and unpacks it into the cache folder.

The data is described in the module that installs it (`act_gym/engines/alfworld/download.py`,
`act_gym/engines/webshop/catalogue/official.py`); this module only reads the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from act_gym.config import parse
from act_gym.engines.alfworld.download import BASE_URL, install
from act_gym.engines.webshop.catalogue import official
from act_gym.errors import UnknownNameError

__all__ = ["DownloadConfig", "main"]


@dataclass(frozen=True)
class DownloadConfig:
    """Download a benchmark's data into the cache folder (ACT_GYM_DATA or the platform's) and prepare it."""

    name: tyro.conf.Positional[str]
    """Benchmark: `alfworld` or `webshop`."""
    catalogue: str = "1000"
    """WebShop: `1000` products (10 MB download), `full` (5.7 GB download), or `generated-<products>` (made locally)."""
    nouns: str | None = None
    """WebShop: spaCy model for the nouns of product titles, which the reward compares (default en_core_web_sm)."""
    source: str | None = None
    """Use this data instead of the official release: a folder, a zip, tar, tar.gz or tar.zst archive; for ALFWorld also
    a URL."""
    force: bool = False
    """Download and replace data that is already complete."""
    games_only: bool = False
    """ALFWorld: keep only the game files, enough to play: 37 MB to download instead of 143 MB, a third on disk.
    Upstream's own loader needs the rest."""
    base_url: str | None = None
    """URL of a mirror with the release files (default: the official one)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Install the requested data and print its location to stdout."""
    arguments = parse(DownloadConfig, sys.argv[1:] if argv is None else argv, program="act-gym download")
    name = arguments.name.lower()
    if name == "scienceworld":
        sys.stdout.write("ScienceWorld needs no download: its data comes with its package.\n")
    elif name == "alfworld":
        said = install(
            arguments.source,
            force=arguments.force,
            games_only=arguments.games_only,
            base_url=arguments.base_url or BASE_URL,
        )
        sys.stdout.write(f"{said}\n")
    elif name == "webshop":
        said = official.install(
            arguments.catalogue,
            arguments.source,
            force=arguments.force,
            base_url=arguments.base_url,
            nouns=arguments.nouns,
        )
        sys.stdout.write(f"{said}\n")
    else:
        raise UnknownNameError("benchmark to download named", arguments.name, ("alfworld", "scienceworld", "webshop"))
    return 0


if __name__ == "__main__":
    from act_gym.cli import run

    raise SystemExit(run(main, sys.argv[1:]))
