"""Game store: all compiled games of a folder in one small file, so a reset reads a few kilobytes and parses no PDDL.

The file is a read-only SQLite database: processes share it through the page cache, and a reset reads only the pages of
its game. Common parts of games (a domain, a grammar, the shape of a goal) are stored once, as the whole content of one
game file of that kind. If a game's own file has changed, the store's copy is not used.

`find_game` keeps the last games played in memory, shared by all environments.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import weakref
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from act_gym.engines.alfworld.compiler.domain import Logic
from act_gym.engines.alfworld.files import GAME_FILE, read_game, read_task
from act_gym.engines.alfworld.game import Game, GameSource, compile_game, logic_of, parse_game
from act_gym.engines.alfworld.language.pddl import Fact
from act_gym.errors import CorruptDataError, UnsupportedGameError

__all__ = ["STORE_FILE", "GameStore", "build_store", "find_game"]

STORE_FILE = "games.sqlite"

VERSION = 1
"""Grows whenever older stores can no longer be read."""

_SCHEMA = """
CREATE TABLE about (version INTEGER NOT NULL, dictionary BLOB NOT NULL);
CREATE TABLE kinds (kind INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE games (
    name TEXT PRIMARY KEY, kind INTEGER NOT NULL, size INTEGER NOT NULL, changed INTEGER NOT NULL, content BLOB NOT NULL
) WITHOUT ROWID;
"""

_FIND = "SELECT kind, size, changed, content FROM games WHERE name = ?"


class GameStore:
    """Store, opened for reading.

    Args:
        folder: The folder of the games and of the store.

    Raises:
        CorruptDataError: The store cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / STORE_FILE
        self._opened_by = 0
        self._logics: dict[int, Logic] = {}
        self._open()

    @staticmethod
    def find(folder: Path) -> GameStore | None:
        """Return the store of a folder, or None if there is none that this version reads."""
        if not (folder / STORE_FILE).is_file():
            return None
        store = GameStore(folder)
        return store if store.version == VERSION else None

    def read(self, name: str) -> Game | None:
        """Return a compiled game, or None if it is not here or its own file has changed since.

        Raises:
            CorruptDataError: The store is damaged.
        """
        if self._opened_by != os.getpid():
            self._open()  # a connection must not cross a fork
        try:
            row = self._connection.execute(_FIND, (name,)).fetchone()
            if row is None:
                return None
            kind, size, changed, content = row
            if not self._is_current(name, size, changed):
                return None
            logic = self._logics.get(kind) or self._logic(kind)
            return _decode(logic, json.loads(_unpack(content, self._dictionary)))
        except (sqlite3.Error, zlib.error, ValueError, KeyError, TypeError, IndexError) as cause:
            raise self._damaged(cause) from cause

    def _open(self) -> None:
        try:
            self._connection = sqlite3.connect(
                f"{self._path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            about = self._connection.execute("SELECT version, dictionary FROM about").fetchone()
            self.version, self._dictionary = about
        except (sqlite3.Error, TypeError) as cause:
            raise self._damaged(cause) from cause
        self._opened_by = os.getpid()
        weakref.finalize(self, self._connection.close)

    def _logic(self, kind: int) -> Logic:
        (content,) = self._connection.execute("SELECT content FROM kinds WHERE kind = ?", (kind,)).fetchone()
        self._logics[kind] = logic_of(parse_game(json.loads(zlib.decompress(content))))
        return self._logics[kind]

    def _is_current(self, name: str, size: int, changed: int) -> bool:
        try:
            found = os.stat(f"{self._folder}/{name}/{GAME_FILE}")  # noqa: PTH116  (three times as fast as Path.stat)
        except OSError:
            return True  # the store alone is enough
        return (found.st_size, found.st_mtime_ns) == (size, changed)

    def _damaged(self, cause: Exception) -> CorruptDataError:
        return CorruptDataError(f"Cannot read {self._path}: {cause}. Build it again: act-gym download alfworld --force")


def build_store(folder: Path, names: Iterable[str], report: Callable[[str], None] | None = None) -> dict[str, str]:
    """Compile games into the store of their folder; an old store stays until the new one is complete.

    Args:
        folder: The folder of the games.
        names: Games in it, e.g. `train/<game>/<trial>`; those without a file are left out.
        report: Called with each name when it is done.

    Returns:
        For every game that is damaged or that the native engine does not play, why. They are not in the store.

    Raises:
        OSError: The store cannot be written.
    """
    refused: dict[str, str] = {}
    kinds: dict[Hashable, tuple[int, bytes]] = {}
    rows: list[tuple[str, int, int, int, bytes]] = []
    dictionary = b""
    for name in names:
        path = folder / name / GAME_FILE
        if not path.is_file():
            continue
        found = path.stat()
        try:
            content = read_game(path, folder)
            source = parse_game(content)
            if source.kind not in kinds:
                logic_of(source)
                kinds[source.kind] = (len(kinds), zlib.compress(json.dumps(content).encode(), 9))
            encoded = json.dumps(_encode(source), separators=(",", ":")).encode()
            dictionary = dictionary or encoded[-32_768:]
            rows.append((name, kinds[source.kind][0], found.st_size, found.st_mtime_ns, _pack(encoded, dictionary)))
        except (CorruptDataError, UnsupportedGameError) as cause:
            refused[name] = str(cause)
        if report:
            report(name)
    _write(folder / STORE_FILE, dictionary, kinds.values(), rows)
    return refused


def _write(
    path: Path, dictionary: bytes, kinds: Iterable[tuple[int, bytes]], rows: list[tuple[str, int, int, int, bytes]]
) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(part)
        try:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO about VALUES (?, ?)", (VERSION, dictionary))
            connection.executemany("INSERT INTO kinds VALUES (?, ?)", kinds)
            connection.executemany("INSERT INTO games VALUES (?, ?, ?, ?, ?)", sorted(rows))
            connection.commit()
        finally:
            connection.close()
        part.replace(path)
    except sqlite3.Error as cause:
        number = errno.ENOSPC if "full" in str(cause) else errno.EIO
        raise OSError(number, f"{os.strerror(number)} ({cause})", str(path)) from cause
    finally:
        part.unlink(missing_ok=True)


def _encode(source: GameSource) -> dict[str, Any]:
    problem = source.problem
    numbers: dict[str, int] = {}
    objects: dict[str, list[str]] = {}
    for name, kind in problem.objects.items():
        objects.setdefault(kind, []).append(name)
    for names in objects.values():
        for name in names:
            numbers[name] = len(numbers)
    return {
        "objects": {kind: " ".join(names) for kind, names in objects.items()},
        "facts": {
            predicate: [len(facts[0]), [numbers[name] for fact in facts for name in fact]]
            for predicate, facts in problem.facts.items()
            if facts
        },
        "goal": source.named,
        "texts": source.texts,
        "walkthrough": source.walkthrough,
    }


def _decode(logic: Logic, data: Mapping[str, Any]) -> Game:
    types: dict[str, str] = {}
    for kind, names in data["objects"].items():
        types.update(dict.fromkeys(names.split(), kind))
    names = list(types)
    facts: dict[str, tuple[Fact, ...]] = {}
    for predicate, (arity, numbers) in data["facts"].items():
        found = iter([names[number] for number in numbers])
        facts[predicate] = tuple(zip(*[found] * arity, strict=True)) if arity else ((),)
    return Game(logic, types, facts, tuple(data["goal"]), data["texts"], tuple(data["walkthrough"]))


def _pack(content: bytes, dictionary: bytes) -> bytes:
    packer = zlib.compressobj(9, zdict=dictionary)
    return packer.compress(content) + packer.flush()


def _unpack(content: bytes, dictionary: bytes) -> bytes:
    unpacker = zlib.decompressobj(zdict=dictionary)
    return unpacker.decompress(content) + unpacker.flush()


GAMES_KEPT = 256
"""At about 100 kB a game."""

_Stamp = tuple[int, int] | None


def find_game(payload: Mapping[str, Any], folder: Path) -> Game:
    """Return the compiled game of a task.

    Args:
        payload: The task's: `game`, a name below the folder, `file`, the path of a user's own, or `generated`,
            a split and a number.
        folder: The folder of the games.

    Raises:
        MissingDataError: It is not on this machine.
        CorruptDataError: Its file or the store is damaged.
        UnsupportedGameError: It holds what only upstream's packages play.
    """
    ((kind, name),) = payload.items()
    if kind == "game":
        changed = _stamp(f"{folder}/{name}/{GAME_FILE}"), _stamp(f"{folder}/{STORE_FILE}")
    else:
        changed = _stamp(name) if kind == "file" else None, None
    return _compiled(kind, name, folder, *changed)


@lru_cache(maxsize=GAMES_KEPT)
def _compiled(kind: str, name: str, folder: Path, _changed: _Stamp, store_changed: _Stamp) -> Game:
    store = _store(folder, store_changed)
    game = store.read(name) if store else None
    return game or compile_game(read_task({kind: name}, folder))


@lru_cache(maxsize=8)
def _store(folder: Path, changed: _Stamp) -> GameStore | None:
    return GameStore.find(folder) if changed else None


def _stamp(path: str) -> _Stamp:
    """Return a value that changes when a file changes; None if it is absent."""
    try:
        found = os.stat(path)  # noqa: PTH116  (a reset takes well under a millisecond, and a Path a good part of it)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
