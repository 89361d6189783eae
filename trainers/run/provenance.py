"""Provenance of the alternatives in a file: the model that proposed them, with a hash of its weights.

Pairs made with one model may train another, larger or smaller one. The run that asks a model writes
`proposer.json` into its folder. A run that reuses its pairs copies that file. A training on
the pairs names their proposer in its manifest, and in its log when it begins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from act_gym.errors import RunError
from act_gym.io.jsonl import read_records, write_json
from act_gym.io.run_dir import sha256_of
from agents.local.default_model import model_path

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["NAME", "in_words", "note_proposer", "origin", "take_over"]

NAME = "proposer.json"
"""The file's name in a run folder."""


def note_proposer(folder: Path, name: str, model: str = "", policy: Policy | None = None) -> None:
    """Record the proposer of a run, before it proposes.

    Args:
        folder: The run folder.
        name: The proposer's name, e.g. `SmolLM2-135M-Instruct:ranked`.
        model: The requested model, a folder or an id; empty for proposers without a model.
        policy: The model as it was loaded.

    Raises:
        RunError: Another proposer, or the same with other weights, has begun the run.
    """
    found: dict[str, Any] = {"name": name}
    if policy is not None:
        found |= {"model": model, "revision": _revision(policy), "weights_sha256": _weights(model, policy)}
    path = folder / NAME
    if path.exists() and _read(path) != found:
        raise RunError(
            f"{folder} was begun with alternatives by {in_words(_read(path))}, and would continue with "
            f"{in_words(found)}. Choose another --out."
        )
    write_json(path, found)


def take_over(source: Path, folder: Path) -> None:
    """Record that a run reuses another run's file as it is."""
    write_json(folder / NAME, origin(source))


def origin(path: Path) -> dict[str, Any]:
    """Return the proposer of the alternatives in a file: its run's record, or at least the name in its first line.

    Returns:
        `name`, and where it is known `model`, `revision` (of a hub's model) and `weights_sha256`. Empty for a file that
        holds no alternatives.

    Raises:
        RunError: The file cannot be read.
    """
    first = next(iter(read_records(path)), {})
    if "proposer" not in first and "source" not in first:
        return {}
    beside = path.parent / NAME
    if beside.exists():
        return _read(beside)
    return {"name": str(first.get("proposer", ""))} if first.get("proposer") else {}


def in_words(found: Mapping[str, Any]) -> str:
    """Return a short description of a proposer."""
    details = [f"model {found['model']}"] if found.get("model") else []
    details += [f"revision {found['revision'][:12]}"] if found.get("revision") else []
    details += [f"weights {found['weights_sha256'][:12]}"] if found.get("weights_sha256") else []
    return f"{found.get('name') or 'an unknown model'}" + (f" ({', '.join(details)})" if details else "")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise RunError(f"{path} cannot be read: {cause}. It says who proposed; restore it or remove it.") from cause
    if not isinstance(found, dict):
        raise RunError(f"{path} is no JSON object. It says who proposed; restore it or remove it.")
    return found


def _revision(policy: Policy) -> str:
    return str(getattr(policy.model.config, "_commit_hash", None) or "")


def _weights(model: str, policy: Policy) -> str:
    """Return one sha256 over the names and contents of a model's weights; empty if they cannot be found."""
    folder = Path(model_path(model)).expanduser()
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(model, "config.json", revision=_revision(policy) or None)
        if not isinstance(cached, str):
            return ""
        folder = Path(cached).parent
    total = hashlib.sha256()
    files = sorted(folder.glob("*.safetensors"))
    for path in files:
        total.update(f"{path.name} {sha256_of(path)}\n".encode())
    return total.hexdigest() if files else ""
