"""The gradient of an update is that of a plain PyTorch loop over single replies, for every algorithm."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_models import build
from tests.trainers.rollouts.conftest import LIMITS, QUESTION, starts
from trainers.rollouts.advantages import advantages_of
from trainers.rollouts.collect import Collector
from trainers.rollouts.learner import Learner, Sample
from trainers.rollouts.records import Point, Reply, Rollout
from trainers.rollouts.rows import Row, make_passes, row_of
from trainers.rollouts.settings import AlgorithmSettings, UpdateSettings

ALGORITHMS: dict[str, dict[str, Any]] = {
    "grpo": {},
    "rloo": {"algorithm": "rloo", "loss_mean": "episodes"},
    "dr_grpo": {"scale_rewards": False, "loss_mean": "constant"},
    "dapo": {"epsilon_high": 0.28, "zero_variance": "filter"},
    "gigpo, state": {"algorithm": "gigpo", "beta": 0.05},
    "gigpo, text": {"algorithm": "gigpo", "anchor": "text", "loss_mean": "turns"},
    "gigpo, history": {"algorithm": "gigpo", "anchor": "text+history", "invalid": "inadmissible"},
    "hgpo": {"algorithm": "hgpo", "contexts": 2, "observation_weight": 0.1},
    "branch": {"algorithm": "branch", "continuations": 2},
}
CONSTANT = 64


@pytest.fixture(scope="module")
def doubled(policy: Any) -> Any:
    return deepcopy(policy.model).double()


def samples_of(rollouts: list[Rollout], settings: AlgorithmSettings, model: Any) -> list[Sample]:
    """Samples whose old log-probabilities are off, so that ratios differ from 1 and some are clipped."""
    drawn = np.random.default_rng(0)
    found = []
    for one, values in zip(rollouts, advantages_of(rollouts, settings).advantages, strict=True):
        row = row_of(one, observations=settings.observation_weight > 0)
        moved = tuple(
            replace(
                reply,
                log_probabilities=tuple(np.array(reply.log_probabilities) + drawn.normal(0, 0.3, len(reply.tokens))),
            )
            for reply in row.replies
        )
        row = replace(row, replies=moved)
        old = [value for reply in moved for value in reply.log_probabilities]
        reference = tuple(np.array(old) + drawn.normal(0, 0.2, len(old))) if settings.beta else ()
        found.append(Sample(row, tuple(values.tolist()), (True,) * len(values), reference))
    return found


def log_probs(model: Any, tokens: tuple[int, ...], first: int, temperature: float) -> torch.Tensor:
    """Log-probabilities of the tokens from `first` on, in a sequence of its own."""
    logits = model(input_ids=torch.tensor([tokens])).logits[0, first - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(-1, torch.tensor(tokens[first:])[:, None])[:, 0]


def plain_loss(model: Any, samples: list[Sample], settings: AlgorithmSettings, temperature: float) -> torch.Tensor:
    """The loss, written as in the papers, one reply after the other."""
    high = settings.epsilon_high or settings.epsilon
    by_reply: list[tuple[int, torch.Tensor]] = []
    observed: list[torch.Tensor] = []
    for number, sample in enumerate(samples):
        reference = iter(sample.reference)
        for reply, advantage in zip(sample.row.replies, sample.advantages, strict=True):
            tokens = sample.row.tokens[: reply.after] + reply.tokens
            new = log_probs(model, tokens, reply.after, temperature)
            ratio = (new - torch.tensor(reply.log_probabilities, dtype=new.dtype)).exp()
            loss = -torch.min(ratio * advantage, ratio.clamp(1 - settings.epsilon, 1 + high) * advantage)
            if settings.beta:
                gap = torch.tensor([next(reference) for _ in reply.tokens], dtype=new.dtype) - new
                loss = loss + settings.beta * (gap.exp() - gap - 1)
            by_reply.append((number, loss))
        for start, stop in sample.row.observed:
            observed.append(log_probs(model, sample.row.tokens[:stop], start, temperature))
    if settings.loss_mean == "tokens":
        total = torch.cat([loss for _, loss in by_reply]).mean()
    elif settings.loss_mean == "turns":
        total = torch.stack([loss.mean() for _, loss in by_reply]).mean()
    else:
        episodes = [torch.cat([loss for owner, loss in by_reply if owner == number]) for number in range(len(samples))]
        means = [one.sum() / CONSTANT if settings.loss_mean == "constant" else one.mean() for one in episodes]
        total = torch.stack(means).mean()
    if observed:
        total = total - settings.observation_weight * torch.cat(observed).mean()
    return total


def branched(rollouts: list[Rollout]) -> list[Rollout]:
    """The rollouts, and two of them again as continuations of the first from its second turn."""
    root = rollouts[0]
    again = [
        replace(
            one,
            start=replace(one.start, point=Point(root, 2)),
            first=2,
            replies=one.replies[2:],
        )
        for one in rollouts[1:3]
    ]
    return [*rollouts, *again]


@pytest.mark.parametrize(("name", "budget"), [*((name, 4000) for name in ALGORITHMS), ("hgpo", 0), ("branch", 1)])
def test_the_gradient_is_that_of_a_plain_loop(name: str, budget: int, doubled: Any, rollouts: list[Rollout]) -> None:
    settings = AlgorithmSettings(**ALGORITHMS[name])
    played = branched(rollouts) if settings.algorithm == "branch" else rollouts
    replies = [reply for one in played for reply in one.replies]
    assert any(reply.in_place for reply in replies)
    assert not all(reply.in_place for reply in replies)
    samples = samples_of(played, settings, doubled)
    assert any(sample.teaches for sample in samples)
    temperature = 0.8
    plain = plain_loss(doubled, samples, settings, temperature)
    doubled.zero_grad()
    plain.backward()
    expected = {key: one.grad.clone() for key, one in doubled.named_parameters()}
    model = deepcopy(doubled)
    update = UpdateSettings(max_tokens_per_pass=budget)
    learner = Learner(model, settings, update, temperature=temperature, constant=CONSTANT)
    model.zero_grad()
    stats = learner.gradients(samples)
    if "kl" in stats or "observation_loss" in stats or all(sample.teaches for sample in samples):
        assert stats["loss"] == pytest.approx(plain.item(), rel=1e-6)
    largest = max(float(one.abs().max()) for one in expected.values())
    for key, one in model.named_parameters():
        assert torch.allclose(one.grad, expected[key], rtol=0, atol=1e-6 * largest), key


def test_a_model_without_packing_gets_the_same_gradient(doubled: Any, rollouts: list[Rollout]) -> None:
    settings = AlgorithmSettings(algorithm="gigpo", observation_weight=0.1)
    samples = samples_of(rollouts, settings, doubled)
    found = []
    for packed in (True, False):
        learner = Learner(deepcopy(doubled), settings, UpdateSettings())
        assert learner.packed
        learner.packed = packed
        learner.gradients(samples)
        found.append([one.grad for one in learner.model.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-6 * float(one.abs().max()))


def test_the_first_pass_over_rollouts_is_on_policy(policy: Any, rollouts: list[Rollout]) -> None:
    """Log-probabilities of the cache that sampled are those of the pass that trains; so tokens were kept as sampled."""
    settings = AlgorithmSettings(algorithm="gigpo")
    credit = advantages_of(rollouts, settings)
    samples = [
        Sample(row_of(one), tuple(found.tolist()), (True,) * len(found))
        for one, found in zip(rollouts, credit.advantages, strict=True)
    ]
    stats = Learner(deepcopy(policy.model), settings, UpdateSettings()).gradients(samples)
    assert stats["ratio_min"] == pytest.approx(1, abs=1e-4)
    assert stats["ratio_max"] == pytest.approx(1, abs=1e-4)
    assert stats["clip_ratio"] == 0


def test_the_token_that_ends_a_reply_is_trained(policy: Any, rollouts: list[Rollout]) -> None:
    end = policy.tokenizer.eos_token_id
    ended = [reply for one in rollouts for reply in one.replies if not reply.is_cut]
    assert ended
    assert all(reply.tokens[-1] == end for reply in ended)
    assert all(len(reply.tokens) == len(reply.log_probabilities) for one in rollouts for reply in one.replies)


def test_a_reply_that_does_not_count_has_no_gradient(doubled: Any, rollouts: list[Rollout]) -> None:
    """Left out and absent are the same, also in what the loss is divided by."""
    settings = AlgorithmSettings()
    samples = samples_of(rollouts[:3], settings, doubled)
    out = [samples[0], samples[1], replace(samples[2], kept=(False,) * len(samples[2].kept))]
    found = []
    for given in (samples[:2], out):
        learner = Learner(deepcopy(doubled), settings, UpdateSettings())
        learner.gradients(given)
        found.append([one.grad for one in learner.model.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


def test_the_reference_is_the_initial_model(policy: Any, rollouts: list[Rollout]) -> None:
    rows = [row_of(one) for one in rollouts]
    learner = Learner(deepcopy(policy.model), AlgorithmSettings(beta=0.1), UpdateSettings())
    with torch.no_grad():
        for weight in learner.model.parameters():
            weight.add_(0.01)
    sampled = [value for row in rows for reply in row.replies for value in reply.log_probabilities]
    given = [value for one in learner.reference(rows) for value in one]
    assert np.abs(np.array(given) - sampled).max() < 1e-4


def test_shaping_needs_the_planner_and_sums_to_the_way_that_is_left(rollouts: list[Rollout]) -> None:
    from trainers.rollouts.advantages import rewards_of

    one = replace(rollouts[0], plans=(5, 4, 4, 6, 3))
    assert rewards_of(one, AlgorithmSettings(shaping=0.5)).tolist() == [0.5, 0, -1, 1.5]
    lost = replace(one, plans=(5, 4, -1, -1, -1))
    assert rewards_of(lost, AlgorithmSettings(shaping=0.5)).tolist() == [0.5, 0, 0, 0]


@pytest.fixture(scope="module")
def tiny() -> Any:
    return build("llama").double()


def alike(count: int = 4) -> list[Sample]:
    """Samples of one task that begin with 100 tokens in common, two of them with a first reply as well."""
    drawn = np.random.default_rng(1)
    prompt = drawn.integers(2, 500, 100).tolist()
    first = drawn.integers(2, 500, 5).tolist()
    found = []
    for number in range(count):
        played = first if number < 2 else drawn.integers(2, 500, 5).tolist()
        tokens = [*prompt, *played, *drawn.integers(2, 500, 20 + number).tolist()]
        places = ((100, 105), (110, 118 + number))
        replies = tuple(
            Reply(start, tuple(tokens[start:stop]), tuple(drawn.normal(-6, 0.3, stop - start)), True, False)
            for start, stop in places
        )
        row = Row(tuple(tokens), replies, ((105, 110),))
        found.append(Sample(row, tuple(drawn.normal(size=2)), (True, True)))
    return found


@pytest.mark.parametrize("budget", [0, 200, 1])
def test_episodes_that_share_their_prompt_have_the_same_gradient(budget: int, tiny: Any) -> None:
    settings = AlgorithmSettings(observation_weight=0.3)
    samples = alike()
    rows = [sample.row for sample in samples]
    shared = list(make_passes(rows, budget, packed=True, padding=0))
    apart = list(make_passes(rows, budget, packed=True, padding=0, share=False))
    sizes = [sum(part.layout.tokens for part in parts if part.layout) for parts in (shared, apart)]
    assert sizes[0] < sizes[1] or budget == 1
    plain = plain_loss(tiny, samples, settings, 1.0)
    tiny.zero_grad()
    plain.backward()
    model = deepcopy(tiny)
    learner = Learner(model, settings, UpdateSettings(max_tokens_per_pass=budget))
    model.zero_grad()
    learner.gradients(samples)
    for one, other in zip(model.parameters(), tiny.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-6 * float(other.grad.abs().max()))


def test_an_episode_that_is_the_beginning_of_another_shares_it(tiny: Any) -> None:
    settings = AlgorithmSettings()
    whole = alike(1)[0]
    short = replace(
        whole,
        row=replace(whole.row, tokens=whole.row.tokens[:105], replies=whole.row.replies[:1], observed=()),
        advantages=(0.7,),
        kept=(True,),
    )
    whole = replace(whole, row=replace(whole.row, observed=()))
    (part,) = make_passes([whole.row, short.row], 0, packed=True, padding=0)
    assert part.layout is not None
    assert part.layout.tokens == 128
    plain = plain_loss(tiny, [whole, short], settings, 1.0)
    tiny.zero_grad()
    plain.backward()
    model = deepcopy(tiny)
    model.zero_grad()
    Learner(model, settings, UpdateSettings()).gradients([whole, short])
    for one, other in zip(model.parameters(), tiny.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-6 * float(other.grad.abs().max()))


@pytest.fixture(scope="module")
def ranked(policy: Any) -> list[Rollout]:
    """Two episodes of a task whose commands were drawn among the admissible ones; one counts as solved."""
    collector = Collector(policy, QUESTION, replace(LIMITS, turns=2, temperature=1.5), parallel=2, ranked=True)
    played = collector.play(starts(groups=1, generations=2))
    collector.close()
    return [replace(one, success=number == 1) for number, one in enumerate(played)]


def test_a_ranked_choice_has_the_probability_of_the_model(policy: Any, ranked: list[Rollout]) -> None:
    for one in ranked:
        for turn, reply in zip(one.turns, one.replies, strict=True):
            scores = torch.tensor(policy.score(one.tokens[: reply.after], reply.candidates)) / 1.5
            place = reply.candidates.index(reply.tokens)
            assert float(scores.log_softmax(0)[place]) == pytest.approx(reply.log_probabilities[0], abs=1e-3)
            assert turn.action_valid
            assert turn.response == policy.tokenizer.decode(reply.tokens)


@pytest.mark.parametrize("name", ["grpo", "gigpo, state"])
def test_the_gradient_of_ranked_choices_is_that_of_a_loop(name: str, doubled: Any, ranked: list[Rollout]) -> None:
    settings = AlgorithmSettings(**{**ALGORITHMS[name], "beta": 0.0})
    samples = []
    for one, values in zip(ranked, advantages_of(ranked, settings).advantages, strict=True):
        row = row_of(one)
        moved = tuple(replace(reply, log_probabilities=(reply.log_probabilities[0] + 0.3,)) for reply in row.replies)
        samples.append(Sample(replace(row, replies=moved), tuple(values.tolist()), (True,) * len(values)))
    losses = []
    for sample in samples:
        for reply, advantage in zip(sample.row.replies, sample.advantages, strict=True):
            before = sample.row.tokens[: reply.after]
            scores = torch.stack(
                [log_probs(doubled, before + one, reply.after, 1.0).sum() / 1.5 for one in reply.candidates]
            )
            new = scores.log_softmax(0)[reply.candidates.index(reply.tokens)]
            ratio = (new - reply.log_probabilities[0]).exp()
            losses.append(-torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage))
    doubled.zero_grad()
    torch.stack(losses).mean().backward()
    model = deepcopy(doubled)
    model.zero_grad()
    stats = Learner(model, settings, UpdateSettings(max_tokens_per_pass=4000), temperature=1.5).gradients(samples)
    assert stats["trained_tokens"] == 4, "one value a decision"
    assert stats["ratio_min"] == pytest.approx(np.exp(-0.3), abs=1e-3)
    for one, other in zip(model.parameters(), doubled.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-5 * float(other.grad.abs().max()))
