"""Logging of a stage: notes to the user; keeps libraries quiet and offline.

Transformers, TRL, datasets and DeepSpeed print progress bars and advice, some of it to stdout, which here carries
results only. `quiet()` is called before any of them is imported.

"""

from __future__ import annotations

import logging
import os
import sys
import warnings

from trainers.run import distributed

__all__ = ["note", "quiet"]


def note(text: str) -> None:
    """Write one line of the log to stderr; of several processes only the first does."""
    if not distributed.is_first():
        return
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def quiet() -> None:
    """Turn off other libraries' progress bars, advice and telemetry, but not their errors."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TQDM_DISABLE", "1")  # the only switch of some of TRL's bars
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # forked workers would warn
    import datasets
    import huggingface_hub.constants
    import transformers

    # The variable is read when the package is imported, which may have happened before.
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.disable_progress_bars()
    for name in ("accelerate", "peft", "trl", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    _quiet_deepspeed()
    # TRL still asks for names that Transformers has renamed.
    warnings.filterwarnings("ignore", message=r".*gradient_checkpointing.* is deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message=r".*pin_memory.*no accelerator is found.*")
    # DeepSpeed still calls torch's collective operations by their old names, at every step.
    warnings.filterwarnings("ignore", message=r".*torch\.distributed\..*is deprecated", category=FutureWarning)


def _quiet_deepspeed() -> None:
    """Stop DeepSpeed, where it is installed, from writing its start-up lines to stdout.

    It makes its logger on import and sets the level there, so a level set earlier is lost; a filter
    on the logger stays.
    """
    logging.getLogger("DeepSpeed").addFilter(lambda record: record.levelno >= logging.ERROR)
