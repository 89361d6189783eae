"""Data types shared by all layers: tasks, turns, episodes, expert steps, action pairs and transitions.

Every record is a frozen dataclass of plain JSON values. `to_json` and `from_json` are inverses, so a file of records
can be read with `head`, with `jq` or with these classes. This module imports no simulator and no agent, and opens no
file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from act_gym.errors import RunError

__all__ = ["ActionPair", "Episode", "ExpertStep", "StepResult", "Task", "Transition", "Turn"]


class Record:
    """Base class: JSON in and out for a frozen dataclass whose fields are JSON values."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary for `json.dumps` (tuples become lists)."""
        return {f.name: _as_json(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the record from the dictionary of `to_json`; ignore unknown keys.

        Raises:
            TypeError: A field without a default is missing.
        """
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(
            **{key: tuple(value) if isinstance(value, list) else value for key, value in data.items() if key in known}
        )


def _as_json(value: Any) -> Any:
    """Return a field's value for `json.dumps`, recursively."""
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
        split: The split that listed it, e.g. `seen`; its official split if the environment has none.
        task_type: The benchmark's own name for the kind of task, e.g. `boil`.
        payload: JSON values that the engine needs to load the task; opaque to other code.
    """

    id: str
    benchmark: str
    split: str
    task_type: str
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """Result of a reset or a command in a simulator.

    Attributes:
        observation: The simulator's text.
        score: Progress in 0–1 (a negative raw score counts as 0).
        raw_score: The simulator's own number.
        success: Success by the benchmark's definition (`won`, raw score 100); false after a time-out.
        terminated: The simulator ended the episode.
        action_valid: The simulator parsed and executed the command; true after a reset.
    """

    observation: str
    score: float
    raw_score: float
    success: bool
    terminated: bool
    action_valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Record):
    """One turn of an episode: observation, action and result.

    Attributes:
        observation: The observation before the action.
        admissible_commands: The commands that the simulator accepted in that state; empty if not requested.
        response: The agent's raw reply.
        thought: The reasoning in the reply, if any.
        action: The command sent to the environment; empty if the reply has none.
        label: The target action for imitation learning in this state, whatever was played; empty for no target.
        prompt_hash: Hash of the prompt that the model received (`agents.prompt_replay`); empty without a model.
        action_valid: The simulator parsed and executed the action.
        reward: The environment's reward for the action.
        score: Progress after the action, in 0–1.
        prompt_tokens: Prompt tokens of this decision (0 for agents without a model).
        completion_tokens: Generated tokens of this decision.
        cost: Price of the decision, in the currency of the agent's prices (0 without prices).
        seconds: Wall-clock seconds of this decision (its share of a batch).
        observed: Texts about the state before the action that take no step, by name: ScienceWorld's `look` and
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
    """One episode: a task played once by one agent.

    Attributes:
        task: The task played.
        env_id: The environment's id, e.g. `act/ScienceWorld-seen`.
        agent: The agent's name with all settings that change its behaviour, e.g. `local:ranked`.
        seed: Seed of the environment and the agent.
        goal: The instruction, as text.
        turns: Every turn, in order.
        final_observation: The last observation.
        success: Success by the benchmark's definition.
        score: Final progress, 0–1.
        raw_score: The simulator's own final number.
        stop: `terminated`, `truncated`, `env_error` or `agent_error`.
        error: The error message, if `stop` is one of the two errors.
        versions: Versions of the packages and settings that determine the episode.
        details: Further facts of the last state: WebShop's `reward_info` after a purchase.
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
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Episode:
        """Build the episode, its task and its turns from the dictionary of `to_json`."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in data.items() if key in known}
        values["task"] = Task.from_json(data["task"])
        values["turns"] = tuple(Turn.from_json(turn) for turn in data["turns"])
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertStep(Record):
    """One state with the expert's action, as raw data; prompts are rendered from it at the last moment.

    Attributes:
        id: The task's id and the turn, e.g. `scienceworld/boil/3#4`; with the seed if a task has several episodes.
        task: The task of its episode.
        turn: The index of the turn in its episode, from 0.
        goal: The instruction, as text.
        history: The earlier turns, oldest first: observation and action only, and the reply if it had no action.
        observation: The current observation.
        expert_action: The action that the expert took, or would take.
        played_action: The action that was played; empty if it was the expert's.
        admissible_commands: The commands that the simulator accepted; empty if not requested.
        observed: Texts about the state that take no step; see `Turn`.
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

        If there are any, the reply and those `observed` texts that differ from the turn before follow.
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
            RunError: The record has an older layout, with a rendered state.
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
    """Return the step in a record; older layouts call the key `decision`."""
    return ExpertStep.from_json(data["decision"] if "decision" in data else data["step"])


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPair(Record):
    """An expert step with an alternative action that is assumed to be worse than the expert's.

    Attributes:
        step: The state and the expert's action.
        alternative: The other action; never equal to the expert's.
        proposer: The model and method that proposed it, e.g. `SmolLM2-135M-Instruct:ranked`.
        expert_first: Whether the expert's action is shown as Action 1; drawn at random.
    """

    step: ExpertStep
    alternative: str
    proposer: str
    expert_first: bool

    @property
    def actions(self) -> tuple[str, str]:
        """Return both actions in the drawn order."""
        pair = (self.step.expert_action, self.alternative)
        return pair if self.expert_first else (pair[1], pair[0])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ActionPair:
        """Build the pair and its step from the dictionary of `to_json`; for its errors see `ExpertStep.from_json`."""
        return cls(
            step=_step(data),
            alternative=data["alternative"],
            proposer=data["proposer"],
            expert_first=data["expert_first"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition(Record):
    """One action executed in an expert's state, with the resulting state.

    Attributes:
        step: The state and the expert's action, without the admissible commands (they would fill most of the file).
        action: The executed action.
        is_expert: The action is the expert's.
        source: Origin of the action: `expert`, the proposer (`SmolLM2-135M-Instruct:free`), `replacement` (drawn from
            the admissible commands because a proposal was not among them) or `random` (drawn from them anyway).
        next_observation: The observation after the action.
        action_valid: The simulator parsed and executed it.
        score: Progress after the action, in 0–1.
        terminated: The action ended the episode.
        success: The action solved the task.
        same_as_expert: The next state equals the one after the expert's action, as far as the engine can compare.
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
        """Build the record and its step from the dictionary of `to_json`; for its errors see `ExpertStep.from_json`."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        return cls(**{**known, "step": _step(data)})
