from collections import Counter

import pytest

from act_gym import UnknownNameError, UsageError
from benchmarks.run.schedule import make_plan, read_shard
from benchmarks.suites import suite

PAIR = ("alfworld-generated-seen-mini", "alfworld-generated-unseen-mini")


def plan(suites=(), env_ids=(), **settings):
    return make_plan(suites, env_ids, **{"seeds": (0,), "env_options": {}, **settings})


def test_every_task_comes_once_a_seed_in_the_stated_order():
    keys = plan(PAIR, seeds=(3, 1)).keys()
    assert len(keys) == len(set(keys)) == 2 * 2 * 24
    ids = [task.id for name in PAIR for task in suite(name).tasks()]
    assert [(task_id, seed) for _, task_id, seed in keys] == [(task_id, seed) for seed in (3, 1) for task_id in ids]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"suites": PAIR[:1]}, {("ALFWorld", "generated-seen"): PAIR[0]}),
        ({"suites": PAIR[:1], "limit": 6}, {("ALFWorld", "generated-seen"): f"{PAIR[0]}, 6 of 24"}),
        ({"suites": PAIR[:1], "shard": "1/2"}, {("ALFWorld", "generated-seen"): f"{PAIR[0]}, share 1/2"}),
        ({"env_ids": ["act/ScienceWorld-seen"]}, {("ScienceWorld", "seen"): ""}),
        (
            {"env_ids": ["act/ScienceWorld-seen"], "limit": 24},
            {("ScienceWorld", "seen"): "ScienceWorld seen, 24 of 1,469"},
        ),
        (
            {"env_ids": ["act/ScienceWorld"], "per_type": 1},
            {("ScienceWorld", split): f"ScienceWorld {split}, from 30 of 7,207" for split in ("test", "train", "dev")},
        ),
    ],
    ids=["suite", "choice", "share", "split", "choice of a split", "choice of splits"],
)
def test_what_is_played_is_named(settings, names):
    assert plan(**settings).names() == names


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_shares_are_apart_and_together_everything(count):
    whole = plan(PAIR, seeds=(0, 1)).keys()
    shares = [plan(PAIR, seeds=(0, 1), shard=f"{number}/{count}").keys() for number in range(1, count + 1)]
    assert Counter(key for share in shares for key in share) == Counter(whole)
    assert max(map(len, shares)) - min(map(len, shares)) <= 4  # one task of each part and seed


@pytest.mark.parametrize("word", ["1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_share_that_cannot_be_is_refused(word):
    with pytest.raises(UsageError, match="--shard"):
        read_shard(word)


def test_a_part_of_a_suite_is_not_the_suite():
    whole, some = (plan(PAIR[:1], limit=limit).parts[0] for limit in (0, 6))
    assert (whole.sha256, whole.version) == (suite(PAIR[0]).sha256, 1)
    assert some.sha256 != whole.sha256
    assert (some.version, len(some.tasks), some.size) == (0, 6, 24)


def test_an_environment_that_is_played_as_a_suite_has_its_hash():
    (part,) = plan(env_ids=("act/WebShop-test",)).parts
    assert part.sha256 == suite("webshop-test-500").sha256
    (longer,) = plan(env_ids=("act/WebShop-test",), max_turns=20).parts
    assert longer.sha256 != part.sha256
    (named,) = plan(env_ids=("act/WebShop-test",), step_limit="verl-agent").parts
    assert named.sha256 == part.sha256  # 15 by another name


def test_a_published_limit_is_told_for_each_type():
    (part,) = plan(env_ids=("act/ScienceWorld-seen",), step_limit="eto").parts
    assert part.step_limit["lifespan-longest-lived"] == 10
    assert part.step_limit["boil"] == 100


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"suites": PAIR[:1], "max_turns": 3}, UsageError, "its own step limit"),
        ({"suites": PAIR[:1], "step_limit": "eto"}, UsageError, "its own step limit"),
        ({"suites": ("webshop-test-500",), "env_options": {"catalogue": "full"}}, UsageError, "another thing"),
        ({"suites": PAIR[:1], "env_options": {"games": "x"}}, UsageError, "another thing"),
        ({"suites": ("alfworld-seen-140", "alfworld-seen-mini")}, UsageError, "runs of their own"),
        ({"suites": PAIR[:1], "env_ids": ("act/ALFWorld-generated-seen",)}, UsageError, "runs of their own"),
        ({"suites": ("alfworld-sen-140",)}, UnknownNameError, "alfworld-seen-140"),
    ],
)
def test_what_contradicts_itself_is_refused(settings, error, message):
    with pytest.raises(error, match=message):
        plan(**settings)
