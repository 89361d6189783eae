# %% [markdown]
# # Evaluate and compare
#
# The script runs the commands of a terminal. A suite is a named, versioned, hashed list of tasks.

# %%
import os
import subprocess
import sys
from pathlib import Path

OUT = Path(os.environ.get("OUT", "runs/examples")) / "evaluate"


def act_gym(line: str) -> None:
    """Run a command, as `act-gym` does."""
    subprocess.run([sys.executable, "-m", "act_gym", *line.split()], check=True)


SUITES = "webshop-generated-seen-mini webshop-generated-unseen-mini"

for agent in ("random", "expert"):
    act_gym(f"eval --suite {SUITES} --agent {agent} --out {OUT / agent} --overwrite")

# %% [markdown]
# A run folder has one line for each episode in `records.jsonl`, every turn in `episodes.jsonl`, and all settings in `manifest.json`.
# The report is one HTML file that loads nothing.

# %%
act_gym(f"report {OUT}/random {OUT}/expert --out {OUT}/report.html")

# %% [markdown]
# `compare` pairs the runs task by task: differences with intervals, and exact tests.

# %%
act_gym(f"compare {OUT}/expert {OUT}/random")
