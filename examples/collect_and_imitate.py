# %% [markdown]
# # Collect and imitate
#
# An expert plays, and a model learns its actions by maximum likelihood on whole episodes. The model here is a random one of two layers, so that the script takes
# seconds; `MODEL=smollm2 python examples/collect_and_imitate.py` trains a real one of 135M parameters for the same few steps.

# %%
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tiny_model import model

OUT = Path(os.environ.get("OUT", "runs/examples")) / "imitate"
shutil.rmtree(OUT, ignore_errors=True)


def act_gym(line: str) -> None:
    """Run a command, as `act-gym` does."""
    subprocess.run([sys.executable, "-m", "act_gym", *line.split()], check=True)


# %% [markdown]
# The expert `search` knows only what the episode has shown. Of 100 turns 10 are random commands; the labels are still the expert's.

# %%
act_gym(
    "train collect --env act/ALFWorld-generated-train --agent search --task-types look_at_obj_in_light --limit 60 --detours 0.1 "
    f"--max-turns 20 --out {OUT}/collect"
)
start = model(OUT / "tiny", OUT / "collect/episodes.jsonl")

# %% [markdown]
# An episode is one sequence, with loss on every label.

# %%
act_gym(
    f"train imitation --episodes {OUT}/collect/episodes.jsonl --model {start} --batch 4 --steps 45 --epochs 10 --learning-rate 1e-2 "
    f"--precision fp32 --log-every 5 --probe 0 --save-every 0 --out {OUT}/imitation"
)

# %% [markdown]
# Loss in nats a trained token, and the share of trained tokens that are the model's likeliest:

# %%
lines = [json.loads(line) for line in (OUT / "imitation/metrics.jsonl").read_text().splitlines()]
steps = [line for line in lines if "step" in line and "loss" in line]
print(f"{'step':>5} {'loss':>6} {'token accuracy':>15}")
for line in (steps[0], steps[len(steps) // 2], steps[-1]):
    print(f"{line['step']:>5} {line['loss']:>6.2f} {line['token_accuracy']:>15.2f}")
