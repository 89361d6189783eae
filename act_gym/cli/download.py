"""`act-gym download`: fetches a benchmark's data, checks it and unpacks it into the cache folder.

What each benchmark's data is stands in the module that installs it (`act_gym/engines/alfworld/download.py`,
`act_gym/engines/webshop/catalogue/official.py`); this one only reads the command line.
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
    """Fetch a benchmark's data into the cache folder, ACT_GYM_DATA or the platform's own, and prepare it for play."""

    name: tyro.conf.Positional[str]
    """The benchmark: `alfworld` or `webshop`."""
    catalogue: str = "1000"
    """Of WebShop: `1000` products, 10 MB to fetch, or `full`, 5.7 GB to fetch; `generated-<products>` is made here."""
    nouns: str | None = None
    """Of WebShop: the spaCy model that finds the nouns of titles, which its reward compares; en_core_web_sm if left
    out."""
    source: str | None = None
    """Take the data from here instead of the official release: a folder, a zip, tar, tar.gz or tar.zst archive, or
    for ALFWorld the address of one."""
    force: bool = False
    """Fetch and replace even what is complete."""
    games_only: bool = False
    """Of ALFWorld: keep only the game files, which are all that playing needs: 37 MB to fetch instead of 143 MB, and
    about a third on disk. Upstream's own loader asks for the rest."""
    base_url: str | None = None
    """Where the release files lie, for a mirror; the official place if left out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Install what was asked for and say on stdout what is there."""
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
