"""Training states of environment RL: save, resume, and cut files back to a state.

```
state/checkpoint-<step>/   weights.pt, optimizer.pt, and trainer_state.json, which is written last
```
Everything that is drawn follows from the seed and the step, so no random state is kept.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from act_gym.io.jsonl import read_records, write_json, write_records
from trainers.rollouts.learner import Learner

__all__ = ["cut_back", "load_state", "save_state"]


def save_state(folder: Path, step: int, learner: Learner, values: Mapping[str, Any]) -> None:
    """Save a state after a step, whole or not at all, and drop the ones before it.

    Args:
        folder: The run's `state` folder.
        step: Steps that are done.
        learner: With its weights and optimizer.
        values: The other state, as JSON values.
    """
    place, draft = folder / f"checkpoint-{step}", folder / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    trained = {name: weight.detach() for name, weight in learner.model.named_parameters() if weight.requires_grad}
    torch.save(trained, draft / "weights.pt")
    optimizer = {"optimizer": learner.optimizer.state_dict(), "schedule": learner.schedule.state_dict()}
    torch.save(optimizer, draft / "optimizer.pt")
    write_json(draft / "trainer_state.json", {"step": step, **values})
    shutil.rmtree(place, ignore_errors=True)
    draft.rename(place)
    for other in folder.glob("checkpoint-*"):
        if other != place:
            shutil.rmtree(other)


def load_state(place: Path, learner: Learner) -> dict[str, Any]:
    """Give a learner the weights and the optimizer of a state, and return the state's other values."""
    device = next(learner.model.parameters()).device
    trained = torch.load(place / "weights.pt", map_location=device)
    with torch.no_grad():
        for name, weight in learner.model.named_parameters():
            if name in trained:
                weight.copy_(trained[name])
    saved = torch.load(place / "optimizer.pt", map_location=device)
    learner.optimizer.load_state_dict(saved["optimizer"])
    learner.schedule.load_state_dict(saved["schedule"])
    values: dict[str, Any] = json.loads((place / "trainer_state.json").read_text(encoding="utf-8"))
    return values


def cut_back(path: Path, step: int) -> None:
    """Remove the records of later steps from a file; these steps are repeated."""
    if not path.exists():
        return
    kept = [record for record in read_records(path) if record["step"] <= step]
    write_records(path, kept)
