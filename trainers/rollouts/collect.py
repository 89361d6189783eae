"""Rollout collection: plays episodes with the model in memory and keeps every token as it was sampled.

An episode asks for its next reply as soon as its environment has answered; `agents.local.scheduler` writes all replies
that are wanted, each in a cache slot that keeps the episode's conversation. The prompt of a turn is the one
of an evaluation (`agents.conversation`): tokens are appended and never rendered again. A sampled reply that
the conversation repeats token by token is trained where it is; another one (text around the action, reasoning) is a
branch off the conversation, so that training reads the same context as sampling did.

A reply's seed depends on the episode's seed, the task and the turn, and so do the tokens, on a CPU to the bit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import torch

from act_gym.agent import AgentAction, AgentInput
from act_gym.engine import restorable
from act_gym.env import Snapshot, TextEnv
from act_gym.errors import CorruptDataError, EngineError
from act_gym.rollout import make_env, observed_texts
from act_gym.types import Turn
from agents.conversation import following_ids, reply_ids
from agents.local.constrained_decoding import RankingWork
from agents.local.sampling import Draft, Sampler, Writing, reasoning_opening
from agents.local.scheduler import Decoder, Work
from agents.local.token_trie import Search, build
from agents.placeholders import fill
from agents.prompt_config import Question, view_seed
from agents.prompt_replay import hash_of
from trainers.rollouts.records import Limits, Reply, Rollout, Start
from trainers.sft.answers import end_of_turn

if TYPE_CHECKING:
    from agents.local.model import Policy

__all__ = ["Collector"]

_ALL = 1_000_000  # tokens of candidates; none is left out
_MOST_DRAFTED = 256  # admissible commands that are tokenised to draft a reply


class Collector:
    """Plays episodes, several at a time.

    Args:
        policy: The model as it is in memory; its attention takes masks of four dimensions
            (`agents.local.constrained_decoding`).
        question: How the model is asked; its history is a conversation.
        limits: Of each episode.
        env_options: Passed to `gym.make`.
        parallel: Episodes at once.
        keep_snapshots: Whether rollouts can be continued from any of their states.
        plan: Whether a planner says of every state how many commands are left. Privileged.
        ranked: Whether commands are chosen among the admissible ones, instead of written token by token.

    Attributes:
        read_tokens: Tokens of prompts that went through the model so far; what a cache held is not read again.
        env_seconds: Seconds in the simulators so far.
    """

    def __init__(
        self,
        policy: Policy,
        question: Question,
        limits: Limits,
        *,
        env_options: Mapping[str, Any] | None = None,
        parallel: int = 32,
        keep_snapshots: bool = False,
        plan: bool = False,
        ranked: bool = False,
    ) -> None:
        self.policy, self.question, self.limits, self.ranked = policy, question, limits, ranked
        self.keep_snapshots, self.plan = keep_snapshots, plan
        self.read_tokens, self.env_seconds = 0, 0.0
        self._options = {**(env_options or {}), "max_episode_steps": -1}  # restoring does not take TimeLimit back
        self._parallel = parallel
        self._envs: list[dict[str, gym.Env[str, str]]] = []
        self.end = end_of_turn(policy)
        self.begun = reasoning_opening(policy.tokenizer, thinking=question.thinking)
        self.sampler = Sampler(policy.model, policy.tokenizer, limits.reply, limits.temperature, None)

    def play(self, starts: Sequence[Start]) -> list[Rollout]:
        """Play episodes and return them in the order of `starts`.

        A simulator that fails ends its own episode, whose `stop` is `env_error`.

        Raises:
            MissingDependencyError, MissingDataError: Nothing can be played.
        """
        slots = min(self._parallel, len(starts))
        decoder = Decoder(self.policy.model, slots)  # a new one: the weights may have changed
        self._envs += [{} for _ in range(slots - len(self._envs))]
        waiting = iter(enumerate(starts))
        found: dict[int, Rollout] = {}
        seats: dict[int, _Seat] = {}

        def seat_next(slot: int) -> None:
            for number, start in waiting:
                seat = _Seat(self, start, number, self._envs[slot])
                if seat.rollout is None:
                    seats[slot] = seat
                    decoder.put(slot, seat.ask())
                    return
                found[number] = seat.rollout

        for slot in range(slots):
            seat_next(slot)
        while seats:
            for slot in decoder.advance():
                seat = seats[slot]
                seat.take()
                if seat.rollout is None:
                    decoder.put(slot, seat.ask())
                else:
                    found[seat.number] = seat.rollout
                    del seats[slot]
                    seat_next(slot)
        self.read_tokens += decoder.read_tokens
        return [found[number] for number in range(len(starts))]

    def close(self) -> None:
        """Close all environments."""
        for envs in self._envs:
            for env in envs.values():
                env.close()
        self._envs = []

    def make(self, env_id: str) -> gym.Env[str, str]:
        """Return a new environment."""
        return make_env(env_id, self._options)


class _Seat:
    """One running episode.

    Args:
        collector: Its settings apply.
        start: The episode to play.
        number: Its place among the starts.
        envs: Environments to play in, by id; a failed one is taken out.
    """

    def __init__(self, collector: Collector, start: Start, number: int, envs: dict[str, gym.Env[str, str]]) -> None:
        self.collector, self.start, self.number, self.envs = collector, start, number, envs
        self.rollout: Rollout | None = None
        self.turns: list[Turn] = []
        self.replies: list[Reply] = []
        self.states: list[Any] = []
        self.plans: list[int] = []
        self.snapshots: list[Snapshot] = []
        self.tokens: list[int] = []
        self.observed: list[tuple[int, int]] = []
        self.observation, self.info = "", dict[str, Any]()
        self.work: Writing | None = None
        self.choice: _Choice | None = None
        self.prompt_hash = ""
        started = time.perf_counter()
        try:
            self._begin()
        except (EngineError, CorruptDataError) as error:
            self._fail(str(error))
        collector.env_seconds += time.perf_counter() - started
        if self.rollout is None:
            self._look()

    @property
    def first(self) -> int:
        """The first turn that is played here."""
        return self.start.point.turn if self.start.point else 0

    def _begin(self) -> None:
        env_id, point = self.start.env_id, self.start.point
        if env_id not in self.envs:
            self.envs[env_id] = self.collector.make(env_id)
        env = self.envs[env_id]
        self.observation, self.info = env.reset(seed=self.start.seed, options={"task_id": self.start.task.id})
        if point is not None:
            past = point.rollout
            self.observation, self.info = self._text_env().restore(past.snapshots[point.turn])
            self.turns = list(past.turns[: point.turn])
            self.states, self.plans = list(past.states[: point.turn]), list(past.plans[: point.turn])
            self.snapshots = list(past.snapshots[: point.turn])
            self.tokens = list(past.tokens[: past.replies[point.turn - past.first].after])
            self.observed = list(past.observed[: point.turn])
        self._note_state()

    def _look(self) -> None:
        """Append the observation to the conversation; end the episode where there is no room to reply."""
        policy, question, limits = self.collector.policy, self.collector.question, self.collector.limits
        if not self.tokens:
            self.tokens = policy.prompt_ids(question.conversation(self._view()), thinking=question.thinking)
        if len(self.turns) >= limits.turns:
            self._end("truncated", cut="turns")
        elif len(self.tokens) + limits.reply > min(limits.tokens, policy.context):
            self._end("truncated", cut="tokens")
        elif self.collector.ranked and not self.info["admissible_commands"]:
            self._fail("The simulator lists no admissible command, and --decode ranked chooses one of them.")

    def ask(self) -> Work:
        """Return the next reply as work for a decoder."""
        collector, view = self.collector, self._view()
        self.prompt_hash = hash_of(collector.question.conversation(view))
        if collector.ranked:
            self.choice = _Choice(collector, self.tokens, view)
            return self.choice.work
        write = collector.question.reply.write
        likely: list[list[int]] = []
        if not collector.question.thinking and len(view.admissible_commands) <= _MOST_DRAFTED:
            played = (turn.action for turn in view.history if turn.action)
            likely = [
                [*collector.policy.ids(write(command, "")), collector.end]
                for command in dict.fromkeys([*view.admissible_commands, *played])
            ]
        self.work = Writing(
            collector.sampler, self.tokens, view_seed(view), collector.begun, Draft(likely), scored=True
        )
        return self.work

    def take(self) -> None:
        """Play the reply that was written."""
        collector, after = self.collector, len(self.tokens)
        reply, text = self.choice.drawn() if self.choice else self._written()
        read = collector.question.reply.read(text)
        before, observed, started = self.observation, self._observed(), time.perf_counter()
        played = AgentAction(
            action=read.action or "",
            response=text,
            thought=read.thought,
            prompt_hash=self.prompt_hash,
            prompt_tokens=after,
            completion_tokens=len(reply.tokens),
        )
        try:
            env = self.envs[self.start.env_id]
            self.observation, reward, terminated, _, self.info = env.step(played.action)
            if not terminated:
                self._note_state()
        except (EngineError, CorruptDataError) as error:
            self._fail(str(error))
            return
        finally:
            collector.env_seconds += time.perf_counter() - started
        self.turns.append(played.turn(before, reward, self.info, observed=observed))
        self._append(reply)
        if terminated:
            self.states.append(None)
            self.plans += [0] if collector.plan else []
            self._end("terminated")
        else:
            self._look()

    def _written(self) -> tuple[Reply, str]:
        """Return a reply that was sampled token by token, and its text."""
        assert self.work is not None
        work = self.work
        text = self.collector.begun + self.collector.policy.tokenizer.decode(work.reply, skip_special_tokens=True)
        reply = Reply(
            after=len(self.tokens),
            tokens=tuple(work.drawn),
            log_probabilities=tuple(work.log_probabilities),
            in_place=False,
            is_cut=len(work.drawn) == len(work.reply),
        )
        return reply, text

    def _append(self, reply: Reply) -> None:
        """Take the reply and the observation after it into the conversation, as it will be read in the next turn."""
        collector = self.collector
        written, observation = collector.question.conversation(self._view())[-2:]
        shown = reply_ids(collector.policy, self.tokens, written["content"])
        following = following_ids(collector.policy, observation["content"], thinking=collector.question.thinking)
        self.replies.append(replace(reply, in_place=reply.tokens == (*shown, *following[:1])))
        self.tokens += [*shown, *following]
        self.observed.append((reply.after + len(shown) + 1, len(self.tokens)))

    def _note_state(self) -> None:
        env = self._text_env()
        self.states.append(restorable(env.engine).fingerprint())
        if self.collector.keep_snapshots:
            self.snapshots.append(env.snapshot())
        if self.collector.plan:
            try:
                self.plans.append(len(env.plan()))
            except EngineError:
                self.plans.append(-1)

    def _view(self) -> AgentInput:
        return AgentInput(
            task=self.start.task,
            goal=self.info["goal"],
            observation=self.observation,
            admissible_commands=self.info["admissible_commands"],
            history=tuple(self.turns),
            seed=self.start.seed,
            observed=self._observed(),
        )

    def _observed(self) -> dict[str, str]:
        return observed_texts(self._text_env(), self.info)

    def _text_env(self) -> TextEnv:
        inner = self.envs[self.start.env_id].unwrapped
        assert isinstance(inner, TextEnv)
        return inner

    def _fail(self, error: str) -> None:
        self._end("env_error", error=error)
        env = self.envs.pop(self.start.env_id, None)
        if env is not None:
            env.close()  # the next task gets a new simulator

    def _end(self, stop: str, *, cut: str = "", error: str = "") -> None:
        self.rollout = Rollout(
            start=self.start,
            goal=self.info.get("goal", ""),
            turns=tuple(self.turns),
            replies=tuple(self.replies),
            first=self.first,
            states=tuple(self.states),
            plans=tuple(self.plans),
            snapshots=tuple(self.snapshots),
            tokens=tuple(self.tokens),
            observed=tuple(self.observed),
            final_observation=self.observation,
            success=self.info.get("success", False) and not error,
            score=self.info.get("score", 0.0),
            raw_score=self.info.get("raw_score", 0.0),
            stop=stop,
            cut=cut,
            error=error,
            versions=dict(self._text_env().engine.versions) if self.start.env_id in self.envs else {},
        )


class _Choice:
    """A command that is drawn among the admissible ones: p is proportional to exp(log-probability / temperature).

    The log-probability is that of the whole reply, as where an evaluation ranks, and no candidate is left out.

    Args:
        collector: Its settings apply.
        prompt: The conversation.
        view: The agent's input.
    """

    def __init__(self, collector: Collector, prompt: Sequence[int], view: AgentInput) -> None:
        self.collector, self.after, self.seed = collector, len(prompt), view_seed(view)
        commands = dict.fromkeys(fill(command, view.goal) for command in view.admissible_commands)
        self.texts = [collector.question.reply.write(command, "") for command in commands]
        self.candidates = tuple(tuple(collector.policy.ids(text)) for text in self.texts)
        count = len(self.candidates)
        self.work = RankingWork(prompt, Search(build(self.candidates), count, _ALL))

    def drawn(self) -> tuple[Reply, str]:
        """Return the command that is drawn with the decision's seed, as a reply and as text."""
        values = dict(self.work.search.found)
        scores = torch.tensor([values[place] for place in range(len(self.candidates))], dtype=torch.float64)
        chances = (scores / self.collector.limits.temperature).log_softmax(0)
        drawn = torch.rand(1, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64)
        sums = chances.exp().cumsum(0)
        place = min(int(torch.searchsorted(sums, drawn * sums[-1], right=True)), len(self.candidates) - 1)
        reply = Reply(
            after=self.after,
            tokens=self.candidates[place],
            log_probabilities=(float(chances[place]),),
            in_place=False,
            is_cut=False,
            candidates=self.candidates,
        )
        return reply, self.texts[place]
