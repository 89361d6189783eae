"""The records that run through the whole house, and nothing that acts on them.

Every record is a frozen dataclass of plain JSON values. `to_json` and `from_json` are inverse to
each other, so a file of records can be read with `head`, with `jq` or with these classes. This
module deliberately knows no simulator, no agent and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from act_gym.errors import RunError

__all__ = ["ActionPair", "Episode", "ExpertStep", "StepResult", "Task", "Transition", "Turn"]


class Record:
    """JSON in and out for a frozen dataclass whose fields are JSON values."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary that `json.dumps` takes (tuples become lists)."""
        return {f.name: _as_json(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the record from `to_json`'s dictionary; unknown keys are ignored.

        Raises:
            TypeError: A field without a default is missing.
        """
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in known}
        )


def _as_json(value: Any) -> Any:
    """Return a field's value for `json.dumps`: records as they write themselves, at any depth."""
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, tuple | list):
        return type(value)(map(_as_json, value))
    if isinstance(value, Mapping):
        return {key: _as_json(one) for key, one in value.items()}
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Record):
    """One task of one benchmark.

    Attributes:
        id: Stable and readable, e.g. `scienceworld/boil/3`; the same in every split.
        benchmark: `ALFWorld`, `ScienceWorld` or `WebShop`.
        split: The split it was listed under, e.g. `seen`; the official split where none was asked.
        task_type: The benchmark's own name for the kind of task, e.g. `boil`.
        payload: What the engine needs to load it; JSON values, meaningless to everyone else.
    """

    id: str
    benchmark: str
    split: str
    task_type: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a simulator shows after a reset or a command.

    Attributes:
        observation: The simulator's text.
        score: Progress in 0–1 (a negative raw score counts as 0).
        raw_score: The simulator's own number.
        success: The benchmark's own success (`won`, raw score 100), never a time-out.
        terminated: The simulator ended the episode.
        action_valid: The simulator understood the command and carried it out; true after a reset.
    """

    observation: str
    score: float
    raw_score: float
    success: bool
    terminated: bool
    action_valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Record):
    """One decision of an agent, and what came of it.

    Attributes:
        observation: What the agent saw before it decided.
        admissible_commands: What the simulator would have accepted then; empty if not asked for.
        response: The agent's raw reply.
        thought: The reasoning found in the reply, if any.
        action: The command sent to the environment; empty if the reply held none.
        label: The action that imitation learns in this state, whatever was played; empty to learn none.
        prompt_hash: Identifies the prompt that a model was sent (`agents.prompt_replay`); empty without a model.
        action_valid: The simulator understood the action and carried it out.
        reward: The environment's reward for the action.
        score: Progress after the action, in 0–1.
        prompt_tokens: Tokens the agent read for this decision (0 for agents without a model).
        completion_tokens: Tokens the agent wrote.
        cost: What the decision cost, in the currency of the agent's prices (0 for agents without any).
        seconds: Wall-clock seconds of this decision (its share of a batch).
        observed: Texts about the state before the decision that cost no move, by name: ScienceWorld's `look` and
            `inventory`.
    """

    observation: str
    admissible_commands: tuple[str, ...] = ()
    response: str = ""
    thought: str = ""
    action: str = ""
    label: str = ""
    prompt_hash: str = ""
    action_valid: bool = True
    reward: float = 0.0
    score: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    observed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode(Record):
    """One task played once by one agent.

    Attributes:
        task: The task played.
        env_id: The environment's id, e.g. `act/ScienceWorld-seen`.
        agent: The agent's name with whatever changes its behaviour, e.g. `local:ranked`.
        seed: What the environment and the agent were seeded with.
        goal: The task in words.
        turns: Every decision in order.
        final_observation: What the environment showed last.
        success: The benchmark's own success.
        score: Final progress, 0–1.
        raw_score: The simulator's own final number.
        stop: `terminated`, `truncated`, `env_error` or `agent_error`.
        error: What failed, for the two errors.
        versions: Versions of everything that shaped the episode.
    """

    task: Task
    env_id: str
    agent: str
    seed: int
    goal: str
    turns: tuple[Turn, ...]
    final_observation: str
    success: bool
    score: float
    raw_score: float
    stop: str
    error: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Episode:
        """Build the episode, its task and its turns from `to_json`'s dictionary."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["task"] = Task.from_json(data["task"])
        values["turns"] = tuple(Turn.from_json(turn) for turn in data["turns"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertStep(Record):
    """One state with an expert's action in it, as raw data: a question is rendered from it when a model is asked.

    Attributes:
        id: The task's id and the turn, e.g. `scienceworld/boil/3#4`; with the seed where a task has several episodes.
        task: The task it comes from.
        turn: Which turn of its episode it is, from 0.
        goal: The task as text.
        history: The turns before, oldest first, lean: observation and action, and the reply where it held no action.
        observation: What the environment showed.
        expert_action: What the expert did, or would do.
        played_action: What was played instead; empty where it was the expert's action.
        admissible_commands: What the simulator would have accepted; empty if it was not asked.
        observed: Texts about the state that cost no move; see `Turn`.
    """

    id: str
    task: Task
    turn: int
    goal: str
    history: tuple[Turn, ...]
    observation: str
    expert_action: str
    played_action: str = ""
    admissible_commands: tuple[str, ...] = ()
    observed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the step as JSON values; a turn of the history is `[observation, action]`.

        Behind these are its reply and, of the texts observed, those that differ from the turn before, where there are
        any.
        """
        history: list[list[Any]] = []
        known: Mapping[str, str] = {}
        for turn in self.history:
            changed = {name: text for name, text in turn.observed.items() if known.get(name) != text}
            known = turn.observed
            history.append([turn.observation, turn.action, *([turn.response] if turn.response or changed else [])])
            history[-1] += [changed] if changed else []
        return {f.name: history if f.name == "history" else _as_json(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExpertStep:
        """Build the step and its task from `to_json`'s dictionary.

        Raises:
            KeyError: A field is missing.
            RunError: It is of an older layout, which held a rendered state.
        """
        if "state" in data:
            raise RunError(f"{data.get('id')} holds a rendered state. Make the file again with: act-gym train pairs")
        return cls(
            id=data["id"],
            task=Task.from_json(data["task"]),
            turn=data["turn"],
            goal=data["goal"],
            history=_past_turns(data["history"]),
            observation=data["observation"],
            expert_action=data["expert_action"],
            played_action=data.get("played_action", ""),
            admissible_commands=tuple(data.get("admissible_commands", ())),
            observed=data.get("observed", {}),
        )


def _past_turns(history: Sequence[Sequence[Any]]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    known: Mapping[str, str] = {}
    for observation, action, *more in history:
        known = {**known, **(more[1] if more[1:] else {})}
        turns.append(Turn(observation=observation, action=action, response=more[0] if more else "", observed=known))
    return tuple(turns)


def _step(data: Mapping[str, Any]) -> ExpertStep:
    """Return the step in a record that holds one; older layouts called it `decision`."""
    return ExpertStep.from_json(data["decision"] if "decision" in data else data["step"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPair(Record):
    """An expert's step with an alternative that is assumed to be worse than the expert's action.

    Attributes:
        step: The state and the expert's action.
        alternative: The other action; never equal to the expert's.
        proposer: Who proposed it and how, e.g. `SmolLM2-135M-Instruct:ranked`.
        expert_first: The drawn order: whether the expert's action is shown as Action 1.
    """

    step: ExpertStep
    alternative: str
    proposer: str
    expert_first: bool

    @property
    def actions(self) -> tuple[str, str]:
        """Both actions in the drawn order."""
        pair = (self.step.expert_action, self.alternative)
        return pair if self.expert_first else (pair[1], pair[0])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ActionPair:
        """Build the pair and its step from `to_json`'s dictionary; for what it raises see `ExpertStep`."""
        return cls(
            step=_step(data),
            alternative=data["alternative"],
            proposer=data["proposer"],
            expert_first=data["expert_first"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Record):
    """One action that was carried out in an expert's state, with what it led to.

    Attributes:
        step: The state and the expert's action; without the admissible commands, which would be most of the file.
        action: What was carried out.
        is_expert: It is what the expert did.
        source: Who chose it: `expert`, the proposer (`SmolLM2-135M-Instruct:free`), `replacement` (drawn from the
            admissible commands because a proposal was not among them) or `random` (drawn from them anyway).
        next_observation: What the environment showed then.
        action_valid: The simulator understood it and carried it out.
        score: Progress after it, in 0–1.
        terminated: It ended the episode.
        success: It solved the task.
        same_as_expert: The state after it equals the one after the expert's action, as far as the engine can tell.
    """

    step: ExpertStep
    action: str
    is_expert: bool
    source: str
    next_observation: str
    action_valid: bool
    score: float
    terminated: bool
    success: bool
    same_as_expert: bool

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Transition:
        """Build the record and its step from `to_json`'s dictionary; for what it raises see `ExpertStep`."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        return cls(**{**known, "step": _step(data)})
