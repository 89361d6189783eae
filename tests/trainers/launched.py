"""Run by a launcher in several processes: a pipeline, and then a GRPO whose replies are written down in advance.

    accelerate launch … tests/trainers/launched.py FOLDER [--kill] RECIPE…

`FOLDER/scripted.json` gets the losses of the scripted GRPO. With --kill the first process ends itself by
SIGKILL when the fourth step of the stage `act` is logged.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

GROUP = 4
PROMPTS = ("Go to the kitchen.", "Which of two actions is better? It is dark. " * 3, "Look around.", "Open the door.")


def scripted(model: Path, folder: Path, *, sequences: int, max_tokens_per_pass: int = 0) -> dict[str, list[float]]:
    """Train three steps of GRPO on replies that depend on the prompt and the place in the group alone.

    So one process and several see the same replies, which they do not when each draws its own.

    Args:
        model: Where training begins.
        folder: The trainer's folder.
        sequences: Replies a step, of all processes.
        max_tokens_per_pass: Of a pass at most; 0 for no bound.
    """
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback

    from trainers.grpo.shared_prompt import SharedPromptTrainer
    from trainers.grpo.token_budget import Budget
    from trainers.run import checkpoints, distributed
    from trainers.run.logging import quiet

    class Scripted(Budget, SharedPromptTrainer):
        def _generate_single_turn(self, prompt_ids: Any, *_: Any) -> Any:
            begin = self.accelerator.process_index * len(prompt_ids)
            replies = []
            for place, prompt in enumerate(prompt_ids, start=begin):
                generator = torch.Generator().manual_seed(sum(prompt) * GROUP + place % GROUP)
                length = 3 + (sum(prompt) + place) % 5
                replies.append(torch.randint(2, 256, (length,), generator=generator).tolist())
            return replies, None

    quiet()
    policy = checkpoints.load(str(model), "fp32")
    trainer = Scripted(
        model=policy.model,
        reward_funcs=lambda completion_ids, **_: [float(sum(token % 7 for token in ids)) for ids in completion_ids],
        args=configured(folder, sequences),
        train_dataset=Dataset.from_list([{"prompt": f"{prompt} Turn {n}."} for n in range(8) for prompt in PROMPTS]),
        processing_class=policy.tokenizer,
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout
    trainer.max_tokens_per_pass = max_tokens_per_pass
    assert trainer.unshared == ""
    trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert distributed.count() == trainer.accelerator.num_processes
    return {name: [float(step[name]) for step in steps] for name in ("loss", "grad_norm", "reward", "entropy")}


def configured(folder: Path, sequences: int) -> Any:
    """Return TRL's configuration of three steps of so many replies, all of a process in one micro-batch."""
    from trl import GRPOConfig

    from trainers.imitation import ImitationConfig
    from trainers.run.stage import common_config

    settings = ImitationConfig(
        out=folder,
        steps=3,
        learning_rate=1e-2,
        precision="fp32",
        micro_batch=sequences,
        save_every=0,
        schedule="constant",
    )
    common = common_config(settings, sequences=sequences)
    return GRPOConfig(**common, num_generations=GROUP, max_completion_length=8)


def main() -> int:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from act_gym.cli import run
    from act_gym.io.run_dir import Run
    from trainers import pipeline
    from trainers.run import distributed

    folder, *words = sys.argv[1:]
    if words[0] == "--kill":
        words = words[1:]
        log = Run.log

        def killing(self: Run, **values: Any) -> None:
            if values.get("stage") == "act" and values.get("step") == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            log(self, **values)

        Run.log = killing  # type: ignore[method-assign]
    status = run(pipeline.main, words)
    if status:
        return status
    model = Path(os.environ["SCRIPTED_MODEL"])
    found = {
        "whole groups": scripted(model, Path(folder) / "whole", sequences=8),
        "split groups": scripted(model, Path(folder) / "split", sequences=4),
        "passes": scripted(model, Path(folder) / "passes", sequences=8, max_tokens_per_pass=24),
    }
    if distributed.is_first():
        (Path(folder) / "scripted.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
