"""Models on disk: where a stage finds its model, where it leaves it, and how it marks that it is done.

```
runs/<name>/
├── state/checkpoint-<step>/   weights, optimizer and random state, to resume from; gone when done
├── checkpoint/                the trained model with its tokenizer: the next stage's --model
└── done.json                  the summary and the sha256 of the checkpoint; written last
```
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from act_gym.errors import MissingDataError, RunError
from act_gym.records import write_json
from act_gym.run import sha256_of
from agents.policy import Policy
from agents.smollm2 import model_path
from trainers.settings import Precision

__all__ = ["find_model", "finished", "last_state", "load", "mark_done", "save"]


def find_model(name: str) -> Path:
    """Return the folder of a model: a path, or a name that `agents.smollm2` knows.

    Raises:
        MissingDataError: There is no such folder, or it holds no model.
    """
    folder = Path(model_path(name)).expanduser()
    if not (folder / "config.json").exists() or not any(folder.glob("*.safetensors")):
        raise MissingDataError(
            f"No model in {folder}: expected config.json and *.safetensors. "
            "A finished training stage leaves them in runs/<name>/checkpoint."
        )
    return folder


def load(name: str, precision: Precision) -> Policy:
    """Load a model with its tokenizer from this machine; nothing is fetched.

    Args:
        name: See `find_model`.
        precision: `bf16` holds the weights in bf16, everything else in fp32.
    """
    dtype = "bfloat16" if precision == "bf16" else "float32"
    return Policy.load(str(find_model(name)), dtype=dtype)


def save(model: Any, tokenizer: Any, folder: Path) -> str:
    """Write a complete model and tokenizer to a folder, whole or not at all; return its sha256.

    Adapters are merged into the weights first, so that whoever loads it needs no peft.
    """
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(str(draft))
    tokenizer.save_pretrained(str(draft))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return hash_of(folder)


def hash_of(folder: Path) -> str:
    """Return one sha256 over the names and contents of a folder's weights, config and tokenizer."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        total.update(f"{path.name} {sha256_of(path)}\n".encode())
    return total.hexdigest()


def last_state(run_folder: Path) -> Path | None:
    """Return the newest complete state to resume from; a state torn by a kill is passed over."""
    states = sorted((run_folder / "state").glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    # The trainer writes trainer_state.json last.
    return next((path for path in reversed(states) if _is_json(path / "trainer_state.json")), None)


def mark_done(run_folder: Path, checkpoint_sha256: str, summary: Mapping[str, Any]) -> None:
    """Say that a stage is finished, and drop the states it could have resumed from."""
    write_json(run_folder / "done.json", {"checkpoint_sha256": checkpoint_sha256, "summary": dict(summary)})
    shutil.rmtree(run_folder / "state", ignore_errors=True)


def finished(run_folder: Path) -> dict[str, Any] | None:
    """Return a finished stage's summary; None if it is not finished.

    Raises:
        RunError: It is marked as finished, but its checkpoint is not the one it left.
    """
    marker = run_folder / "done.json"
    if not _is_json(marker):
        return None
    done: dict[str, Any] = json.loads(marker.read_text(encoding="utf-8"))
    checkpoint = run_folder / "checkpoint"
    if not checkpoint.is_dir() or hash_of(checkpoint) != done["checkpoint_sha256"]:
        raise RunError(f"{checkpoint} is not what the run left there. Remove {run_folder} and run the stage again.")
    summary: dict[str, Any] = done["summary"]
    return summary


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
