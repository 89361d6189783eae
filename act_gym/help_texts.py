"""Groups of the commands, and three examples for each, for the help texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["EXAMPLES", "GROUPS", "TRAIN_GROUPS"]

GROUPS: Mapping[str, Sequence[str]] = {
    "Environments": ("list", "download", "doctor", "play", "shop", "serve"),
    "Measure": ("suites", "protocols", "eval", "judge", "next-action", "reasoning", "paper"),
    "Read results": ("show", "compare", "merge", "rescore", "report", "leaderboard"),
}
TRAIN_GROUPS: Mapping[str, Sequence[str]] = {
    "Data": ("collect", "pairs", "early-experience", "datasheet"),
    "Learn from given answers": ("warmup", "imitation", "sft-choice", "dpo", "self-reflection", "world-model"),
    "Learn from rewards": ("act", "rl", "rollout"),
    "Play and train in rounds": ("dagger", "rft"),
    "Chains and plans": ("pipeline", "plan"),
}

EXAMPLES: Mapping[str, Sequence[str]] = {
    "act-gym": (
        "act-gym play act/WebShop-generated-seen",
        "act-gym eval --suite webshop-generated-seen-mini --agent random --out runs/random",
        "act-gym report runs/random --out report.html",
    ),
    "act-gym train": (
        "act-gym train collect --env act/ALFWorld-generated-train --agent search --limit 200 --out runs/collect",
        "act-gym train imitation --episodes runs/collect/episodes.jsonl --out runs/imitation",
        "act-gym train pipeline --recipe alfworld-cpu",
    ),
    "act-gym play": (
        "act-gym play act/WebShop-generated-seen",
        "act-gym play act/ScienceWorld-seen --task scienceworld/boil/3",
        "act-gym play act/ALFWorld-generated-unseen --seed 7 --save runs/mine.jsonl",
    ),
    "act-gym eval": (
        "act-gym eval --suite alfworld-seen-140 alfworld-unseen-134 --agent expert --out runs/expert",
        "act-gym eval --env act/ALFWorld-generated-seen --per-type 2 --agent my_module:MyAgent --out runs/mine",
        "act-gym eval --suite webshop-generated-seen --agent chat --model Qwen/Qwen3-4B --base-url http://127.0.0.1:8000/v1",
    ),
    "act-gym compare": (
        "act-gym compare runs/mine runs/random",
        "act-gym compare runs/mine runs/random --task-types",
        "act-gym compare runs/mine runs/random --detect 0.05",
    ),
    "act-gym report": (
        "act-gym report runs/mine --out report.html",
        "act-gym report runs/mine runs/random --out report.html",
        "act-gym report runs/imitation --out curves.html",
    ),
    "act-gym show": (
        "act-gym show runs/mine",
        "act-gym show runs/mine --task boil/3",
        "act-gym show runs/mine --task boil/3 --turn 2 --prompt",
    ),
    "act-gym judge": (
        "act-gym judge --pairs runs/pairs/pairs.jsonl --model smollm2 --out runs/judge",
        "act-gym judge --pairs runs/pairs/pairs.jsonl --model runs/act/checkpoint --limit 100 --out runs/judge",
        "act-gym judge --pairs runs/pairs/pairs.jsonl --model runs/act/checkpoint --label ACT --out runs/judge-act",
    ),
    "act-gym train collect": (
        "act-gym train collect --env act/ALFWorld-train --agent search --limit 400 --out runs/collect",
        "act-gym train collect --env act/WebShop-generated-train --agent expert --limit 200 --out runs/collect",
        "act-gym train collect --env act/ALFWorld-train --agent search --detours 0.1 --mistakes 0.1 --out runs/collect",
    ),
    "act-gym train pairs": (
        "act-gym train pairs --episodes runs/collect/episodes.jsonl --out runs/pairs",
        "act-gym train pairs --episodes runs/collect/episodes.jsonl --proposer random --limit 500 --out runs/pairs",
        "act-gym train pairs --at policy --proposer played --episodes runs/visited/episodes.jsonl --out runs/pairs",
    ),
    "act-gym train imitation": (
        "act-gym train imitation --episodes runs/collect/episodes.jsonl --out runs/imitation",
        "act-gym train imitation --episodes runs/collect/episodes.jsonl --eval-every 20 --out runs/imitation",
        "act-gym train imitation --decisions runs/pairs/decisions.jsonl --lora-rank 16 --out runs/imitation",
    ),
    "act-gym train act": (
        "act-gym train act --pairs runs/pairs/pairs.jsonl --out runs/act",
        "act-gym train act --pairs runs/pairs/pairs.jsonl --dry-run",
        "act-gym train act --pairs runs/pairs/pairs.jsonl --order both --zero-variance resample --out runs/act",
    ),
    "act-gym train dagger": (
        "act-gym train dagger --model runs/imitation/checkpoint --episodes runs/collect/episodes.jsonl",
        "act-gym train dagger --model runs/imitation/checkpoint --games 200 --betas 0.3 0 --out runs/dagger",
        "act-gym train dagger --model runs/imitation/checkpoint --out runs/dagger --resume",
    ),
    "act-gym train rft": (
        "act-gym train rft --model runs/imitation/checkpoint --out runs/rft",
        "act-gym train rft --model runs/imitation/checkpoint --games 200 --episodes-per-task 4 --out runs/rft",
        "act-gym train rft --agent local:model=runs/dagger/checkpoint,temperature=0.7 --out runs/rft",
    ),
    "act-gym train rollout": (
        "act-gym train rollout --model runs/imitation/checkpoint --out runs/rollout",
        "act-gym train rollout --model runs/imitation/checkpoint --algorithm gigpo --choose success --out runs/gigpo",
        "act-gym train rollout --model runs/imitation/checkpoint --groups 4 --num-generations 4 --steps 2 --dry-run",
    ),
    "act-gym train pipeline": (
        "act-gym train pipeline --recipe alfworld-cpu",
        "act-gym train pipeline --recipe alfworld-cpu --dry-run",
        "act-gym train pipeline --recipe v2/act-il-rl --recipe data/alfworld --recipe models/qwen3-8b --out runs/qwen",
    ),
}
