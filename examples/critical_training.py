# %% [markdown]
# # Agentic Critical Training
#
# The model learns by GRPO which of two actions is better, before it learns to act. A tiny random model first needs a warm-up on the answer format, whose answers
# are drawn at random, so that it teaches no judgement. `MODEL=smollm2` takes a real model.

# %%
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tiny_model import model

OUT = Path(os.environ.get("OUT", "runs/examples")) / "act"
shutil.rmtree(OUT, ignore_errors=True)


def act_gym(line: str) -> None:
    """Run a command, as `act-gym` does."""
    subprocess.run([sys.executable, "-m", "act_gym", *line.split()], check=True)


# %%
act_gym(
    "train collect --env act/ALFWorld-generated-train --agent search --task-types look_at_obj_in_light --limit 60 --detours 0.1 "
    f"--max-turns 20 --out {OUT}/collect"
)
start = model(OUT / "tiny", OUT / "collect/episodes.jsonl")

# %% [markdown]
# Each expert action is paired with a random admissible command.

# %%
act_gym(f"train pairs --episodes {OUT}/collect/episodes.jsonl --proposer random --limit 120 --out {OUT}/pairs")
act_gym(
    f"train warmup --pairs {OUT}/pairs/pairs.jsonl --model {start} --batch 8 --steps 60 --epochs 20 --learning-rate 1e-2 "
    f"--precision fp32 --probe 0 --save-every 0 --out {OUT}/warmup"
)
act_gym(
    f"train act --pairs {OUT}/pairs/pairs.jsonl --model {OUT}/warmup/checkpoint --groups 4 --num-generations 4 --steps 10 "
    f"--learning-rate 1e-3 --max-completion-tokens 24 --precision fp32 --force --probe 4 --save-every 0 --out {OUT}/act"
)

# %% [markdown]
# The judgement of both models, each pair asked in both orders. Half of the answers are right by chance: a model that cannot read learns the format and no judgement.

# %%
for name in ("warmup", "act"):
    act_gym(
        f"judge --pairs {OUT}/pairs/pairs.jsonl --model {OUT}/{name}/checkpoint --limit 24 --label {name} --out {OUT}/judge-{name}"
    )
