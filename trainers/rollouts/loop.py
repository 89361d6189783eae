"""Training loop of environment RL: play, assign credit, update; log, save, evaluate, resume.

Everything that is drawn follows from the seed and the step: the tasks, the episodes' seeds, branch points and
mini-batches. So a run that was killed and resumed ends, on a CPU, in the weights of one that was not, bit for bit, and
a saved state needs no random state:

```
state/checkpoint-<step>/   weights.pt, optimizer.pt, and trainer_state.json, which is written last
```

"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from act_gym.io.jsonl import RecordWriter, read_records, write_json, write_records
from act_gym.io.run_dir import Run
from act_gym.progress import count_bar
from agents.local.model import Policy
from agents.prompt_config import TRAINED_WITH, Question
from trainers.rollouts.advantages import Credit, advantages_of
from trainers.rollouts.collect import Collector
from trainers.rollouts.learner import Learner, Sample
from trainers.rollouts.measure import anchor_metrics, play_metrics
from trainers.rollouts.records import Limits, Point, Rollout, Start
from trainers.rollouts.replay import ReplayBuffer
from trainers.rollouts.rows import row_of
from trainers.rollouts.tasks import Game, TaskChooser, seed_of
from trainers.run import checkpoints, eval_panel
from trainers.run.eval_callback import SAMPLES, untouched
from trainers.run.schedule import rate
from trainers.run.stage import lora, resolve_precision
from trainers.run.trackers import Report

if TYPE_CHECKING:
    from trainers.rollout import Rollout as Settings

__all__ = ["STAGE", "Training", "cut_back", "load_state", "save_state"]


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


STAGE = "rollout"
_SAMPLES = 4  # episodes of a step that samples.jsonl shows
_EPISODES, _BRANCHES = 0, 1  # the purpose of a seed


class Training:
    """One training: its model, its tasks and how far it is.

    Args:
        settings: The program's.
        run: The open run folder.
        policy: The model.
        question: How it is asked.
        games: Environments and tasks to choose from.

    Attributes:
        step: Steps that are done.
        report: Also gets the values of each step that is logged.
    """

    def __init__(self, settings: Settings, run: Run, policy: Policy, question: Question, games: Sequence[Game]) -> None:
        self.settings, self.run, self.question = settings, run, question
        self.bf16 = resolve_precision(settings.precision) == "mixed"
        model: Any = policy.model
        reply = settings.reply_tokens(question)
        if settings.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        adapters = lora(settings)
        if adapters is not None:
            from peft import get_peft_model

            torch.manual_seed(settings.seed)  # adapters begin with random numbers
            model = get_peft_model(model, adapters)
        self.model, self.policy = model, policy
        warmup = int(settings.lr_warmup * settings.steps)
        self.learner = Learner(
            model,
            settings,
            settings,
            rate=partial(rate, schedule=settings.schedule, warmup=warmup, steps=settings.steps),
            temperature=settings.temperature,
            padding=policy.tokenizer.pad_token_id,
            constant=settings.max_turns * (1 if settings.decode == "ranked" else reply),
            bf16=self.bf16,
        )
        self.collector = Collector(
            policy,
            question,
            Limits(
                turns=settings.max_turns,
                tokens=settings.max_episode_tokens,
                reply=reply,
                temperature=settings.temperature,
            ),
            env_options=settings.options(),
            parallel=settings.parallel_games,
            keep_snapshots=settings.algorithm == "branch",
            plan=settings.shaping > 0,
            ranked=settings.decode == "ranked",
        )
        lowest, highest = settings.success_range
        self.tasks = TaskChooser(games, settings.seed, settings.choose == "success", lowest, highest)
        self.buffer = ReplayBuffer(settings)
        self.step = 0
        self.report: Report = lambda _step, _values: None

    @property
    def notes(self) -> dict[str, Any]:
        """The metadata of a checkpoint."""
        return {TRAINED_WITH: self.question.facts()}

    def resume(self) -> None:
        """Go to the last saved state, if there is one, and remove the later records."""
        place = checkpoints.last_state(self.run.folder)
        if place is not None:
            values = load_state(place, self.learner)
            self.step = values["step"]
            self.tasks.restore(values["tasks"])
            self.buffer.restore(values["buffer"])
        for name in ("episodes.jsonl", SAMPLES):
            cut_back(self.run.path(name), self.step)

    def steps(self) -> Iterator[int]:
        """Train, and yield the number of each step that is done."""
        settings = self.settings
        if settings.eval_every and settings.eval_first and self.step == 0:
            self.evaluate()
        with count_bar(STAGE, total=settings.steps, done=self.step) as advance:
            while self.step < settings.steps:
                self._step()
                advance(1)
                if settings.save_every and self.step % settings.save_every == 0:
                    self.save()
                if settings.eval_every and (self.step % settings.eval_every == 0 or self.step == settings.steps):
                    self.evaluate()
                yield self.step

    def save(self) -> None:
        """Save a state to resume from."""
        values = {"tasks": self.tasks.state(), "buffer": self.buffer.state()}
        save_state(self.run.folder / "state", self.step, self.learner, values)

    def close(self) -> None:
        """Close the environments."""
        self.collector.close()

    def evaluate(self) -> None:
        """Play the panel and keep the best model."""
        panel = eval_panel.panel_of(self.settings, self.run.folder, self.notes)
        panel = replace(panel, decode=self.settings.decode)
        with self.acting():
            values = eval_panel.record_evals(
                self.run, STAGE, self.step, panel.env_ids, lambda: panel.play(self.policy, self.step), self._keep_best
            )
        self.report(self.step, {f"eval/{name}": value for name, value in values.items()})

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Let the model play: without dropout, with transformers' own attention, and without a trace."""
        config = self.policy.model.config.get_text_config()
        trained_by = config._attn_implementation
        if self.learner.packed:  # `agents.local.model_support` is faster than what training uses, and knows only sdpa
            config._attn_implementation = "sdpa"
        try:
            with untouched(self.model, bf16=self.bf16):
                yield
        finally:
            config._attn_implementation = trained_by

    def _keep_best(self) -> None:
        adapted = hasattr(self.model, "merge_and_unload")
        weights = {name: value.cpu() for name, value in self.model.state_dict().items()} if adapted else None
        place = self.run.folder / "best"
        checkpoints.save(
            self.model, self.policy.tokenizer, place, weights=weights, base=self.settings.model, notes=self.notes
        )

    def _step(self) -> None:
        started = time.perf_counter()
        number = self.step + 1
        torch.manual_seed(seed_of(self.settings.seed, number))  # of dropout
        generator = np.random.default_rng([self.settings.seed, number])
        self.collector.read_tokens, self.collector.env_seconds = 0, 0.0
        with self.acting():
            rollouts = self._play(number, generator)
        played = time.perf_counter()
        usable = [one for one in rollouts if one.stop != "env_error"]
        credit = advantages_of(usable, self.settings)
        samples = self._samples(usable, credit)
        replayed = self.buffer.samples(number) if self.settings.imitate_weight else []
        rate_now = self.learner.schedule.get_last_lr()[0]
        stats = self.learner.update(samples, generator, replayed=replayed, replay_weight=self.buffer.weight(number))
        if self.settings.imitate_weight:
            self.buffer.add(number, usable, credit.returns.tolist())
        done = time.perf_counter()
        self._record(number, rollouts, usable, credit)
        values = {
            **stats,
            **anchor_metrics(credit),
            **play_metrics(usable),
            "learning_rate": rate_now,
            "episodes": len(usable),
            "env_errors": len(rollouts) - len(usable),
            **({"replayed": len(replayed)} if self.settings.imitate_weight else {}),
            "seconds": done - started,
            "seconds_playing": played - started,
            "env_share": self.collector.env_seconds / (done - started),
            "read_per_second": self.collector.read_tokens / (played - started),
            "written_per_second": sum(len(reply.tokens) for one in rollouts for reply in one.replies)
            / (played - started),
            "trained_per_second": sum(sample.row.size for sample in samples if sample.teaches) / (done - played),
        }
        self.step = number
        if number % self.settings.log_every == 0 or number == self.settings.steps:
            rounded = {name: round(float(value), 8) for name, value in values.items()}
            self.run.log(stage=STAGE, step=number, **rounded)
            self.report(number, {f"train/{name}": value for name, value in rounded.items()})

    def _play(self, number: int, generator: np.random.Generator) -> list[Rollout]:
        """Return the episodes of a step, continuations last."""
        settings = self.settings
        games = self.tasks.draw(settings.groups)
        rollouts = self._groups(number, games, 0)
        if settings.zero_variance == "resample":
            rollouts = self._resampled(number, rollouts, {task.id for _, task in games})
        if settings.algorithm == "branch":
            starts = self._branches(number, rollouts, generator)
            rollouts = rollouts + (self.collector.play(starts) if starts else [])
        return rollouts

    def _resampled(self, number: int, rollouts: list[Rollout], used: set[str]) -> list[Rollout]:
        """Return the episodes with other tasks in the place of those that teach nothing, as far as others do."""
        for _ in range(self.settings.resample_rounds):
            dull = {one.start.group for one in rollouts} - self._taught(rollouts)
            wanted = min(len(dull), len(self.tasks.games) - len(used))
            if not wanted:
                break
            games = self.tasks.draw(wanted, used)
            used |= {task.id for _, task in games}
            fresh = self._groups(number, games, 1 + max(one.start.group for one in rollouts))
            lively = self._taught(fresh)
            out = set(sorted(dull)[: len(lively)])
            rollouts = [one for one in rollouts if one.start.group not in out]
            rollouts += [one for one in fresh if one.start.group in lively]
        return rollouts

    def _taught(self, rollouts: Sequence[Rollout]) -> set[int]:
        """Return the tasks of which a reply has an advantage."""
        return advantages_of([one for one in rollouts if one.stop != "env_error"], self.settings).taught()

    def _groups(self, number: int, games: Sequence[Game], first: int) -> list[Rollout]:
        """Play all episodes of some tasks, which are numbered from `first`."""
        seed, count = self.settings.seed, self.settings.num_generations
        starts = [
            Start(env_id=env_id, task=task, seed=seed_of(seed, number, _EPISODES, group, place), group=group)
            for group, (env_id, task) in enumerate(games, start=first)
            for place in range(count)
        ]
        played = self.collector.play(starts)
        for place, (_, task) in enumerate(games):
            whole = [one for one in played[place * count : (place + 1) * count] if one.stop != "env_error"]
            self.tasks.note(task, [one.success for one in whole])
        return played

    def _branches(self, number: int, rollouts: Sequence[Rollout], generator: np.random.Generator) -> list[Start]:
        """Draw the branch points of a step: some episodes of each task, each at one of its turns after the first."""
        settings = self.settings
        starts = []
        for group in sorted({one.start.group for one in rollouts}):
            able = [
                one for one in rollouts if one.start.group == group and len(one.turns) > 1 and one.stop != "env_error"
            ]
            for place in generator.permutation(len(able))[: settings.branch_points].tolist():
                point = Point(able[place], int(generator.integers(1, len(able[place].turns))))
                starts += [
                    Start(
                        env_id=able[place].start.env_id,
                        task=able[place].start.task,
                        seed=seed_of(settings.seed, number, _BRANCHES, group, place, one),
                        group=group,
                        point=point,
                    )
                    for one in range(settings.continuations)
                ]
        return starts

    def _samples(self, rollouts: Sequence[Rollout], credit: Credit) -> list[Sample]:
        """Return the training samples: all rollouts, with marks on replies that do not count."""
        settings, taught = self.settings, credit.taught()
        masked = {"none": (), "tokens": ("tokens",), "all": ("tokens", "turns")}[settings.mask_truncated]
        rows = [row_of(one, observations=settings.observation_weight > 0) for one in rollouts]
        references = self.learner.reference(rows) if settings.beta else [()] * len(rows)
        found = []
        for one, row, values, reference in zip(rollouts, rows, credit.advantages, references, strict=True):
            counts = one.cut not in masked and (settings.zero_variance == "keep" or one.start.group in taught)
            if row.replies:
                found.append(Sample(row, tuple(values.tolist()), (counts,) * len(row.replies), reference))
        return found

    def _record(self, number: int, rollouts: Sequence[Rollout], usable: Sequence[Rollout], credit: Credit) -> None:
        """Write the step's episodes, and some of them as text."""
        advantages = {id(one): values for one, values in zip(usable, credit.advantages, strict=True)}
        returns = {id(one): value for one, value in zip(usable, credit.returns.tolist(), strict=True)}
        agent = (
            f"local:model={self.settings.model},decode={self.settings.decode},temperature={self.settings.temperature}"
        )
        with RecordWriter(self.run.path("episodes.jsonl")) as writer:
            for one in rollouts:
                values = advantages.get(id(one), np.zeros(0))
                writer.write(
                    {
                        **one.episode(agent).to_json(),
                        "step": number,
                        "group": one.start.group,
                        "first_turn": one.first,
                        "cut": one.cut,
                        "advantages": [round(value, 6) for value in values.tolist()],
                    }
                )
        every = self.settings.samples_every
        if not every or number % every:
            return
        decode = self.policy.tokenizer.decode
        with RecordWriter(self.run.path(SAMPLES)) as writer:
            for place, one in enumerate([one for one in usable if one.replies][:_SAMPLES]):
                begin = one.replies[0].after
                prompt, reply = decode(list(one.tokens[:begin])), decode(list(one.tokens[begin:]))
                line = {"step": number, "number": place, "prompt": prompt, "reply": reply}
                writer.write({**line, "reward": returns[id(one)]})
