"""Checkpoints on disk: a stage's input model, its output model, and the marker that it is done.

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
from typing import TYPE_CHECKING, Any

from act_gym.errors import MissingDataError, RunError
from act_gym.io.jsonl import write_json
from act_gym.io.run_dir import sha256_of
from agents.local.default_model import model_path
from trainers.run import distributed
from trainers.run.config import Precision

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["find_model", "finished", "gathered", "last_state", "load", "mark_done", "save", "step_of"]


def find_model(name: str) -> Path:
    """Return the folder of a model: a path, or a name that `agents.local.default_model` knows.

    Raises:
        MissingDataError: There is no such folder, or it holds no model.
    """
    folder = Path(model_path(name)).expanduser()
    if not (folder / "config.json").exists() or not any(folder.glob("*.safetensors")):
        raise MissingDataError(
            f"No model in {folder}: expected a folder with config.json and *.safetensors, such as the checkpoint "
            f"of a finished training stage. Fetch a model of the Hugging Face hub first, then give its folder: "
            f"hf download {name if name.count('/') == 1 else 'ORGANISATION/NAME'} --local-dir models/{folder.name}"
        )
    return folder


def load(name: str, precision: Precision) -> Policy:
    """Load a model with its tokenizer from this machine, without a download.

    Args:
        name: See `find_model`.
        precision: `bf16` holds the weights in bf16, everything else in fp32.
    """
    from agents.local.model import Policy

    dtype = "bfloat16" if precision == "bf16" else "float32"
    with distributed.sharded_loading(mixed=precision == "mixed"):
        return Policy.load(str(find_model(name)), dtype=dtype)


def gathered(trainer: Any) -> dict[str, Any] | None:
    """Gather a trained model's weights, which ZeRO-3 has sharded, whole in the first process's main memory.

    All processes must take part. The others get an empty dictionary; None where no weight is sharded.
    """
    if not any(hasattr(parameter, "ds_id") for parameter in trainer.model.parameters()):
        return None
    return trainer.accelerator.get_state_dict(trainer.model_wrapped) or {}


def save(
    model: Any,
    tokenizer: Any,
    folder: Path,
    *,
    weights: dict[str, Any] | None = None,
    base: str | None = None,
    notes: Mapping[str, Any] | None = None,
) -> str:
    """Write a complete model and tokenizer to a folder atomically; return its sha256.

    Adapters are merged into the weights first, so that loading needs no peft.

    Args:
        model: The trained model.
        tokenizer: Its tokenizer.
        folder: Where the model goes.
        weights: The weights that `gathered` returned; None takes the model's own.
        base: The model, see `find_model`, that sharded adapters are merged into.
        notes: Additional JSON files, by name.
    """
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload() if weights is None else _merged(model, weights, str(base))
        weights = None
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(str(draft), state_dict=weights)
    tokenizer.save_pretrained(str(draft))
    for name, value in (notes or {}).items():
        write_json(draft / name, value)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return hash_of(folder)


def _merged(model: Any, weights: dict[str, Any], base: str) -> Any:
    """Merge the trained adapters into the model that training began with; return it."""
    from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from transformers import AutoModelForCausalLM
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    # Otherwise this process would wait for the others to take their shares.
    unset_hf_deepspeed_config()  # type: ignore[no-untyped-call]
    whole = AutoModelForCausalLM.from_pretrained(find_model(base), dtype=next(iter(weights.values())).dtype)
    adapted = get_peft_model(whole, model.peft_config["default"])
    set_peft_model_state_dict(adapted, get_peft_model_state_dict(model, state_dict=weights))
    return adapted.merge_and_unload()


def hash_of(folder: Path) -> str:
    """Return one sha256 over the names and contents of a folder's weights, config and tokenizer."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        total.update(f"{path.name} {sha256_of(path)}\n".encode())
    return total.hexdigest()


def last_state(run_folder: Path) -> Path | None:
    """Return the newest complete state to resume from; skip a state that a kill left incomplete."""
    states = sorted((run_folder / "state").glob("checkpoint-*"), key=lambda path: step_of(path) or 0)
    return next((path for path in reversed(states) if _is_whole(path)), None)


def step_of(state: Path | None) -> int | None:
    """Return the optimizer step after which a state was saved."""
    return None if state is None else int(state.name.rpartition("-")[2])


def _is_whole(state: Path) -> bool:
    """Return whether a state is complete: every process writes its random state last.

    The first process writes trainer_state.json after that.
    """
    others = range(distributed.count()) if distributed.count() > 1 else ()
    return _is_json(state / "trainer_state.json") and all((state / f"rng_state_{n}.pth").exists() for n in others)


def mark_done(run_folder: Path, checkpoint_sha256: str, summary: Mapping[str, Any]) -> None:
    """Mark a stage as finished, and delete the states it could have resumed from."""
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
