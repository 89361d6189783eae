"""Many episodes at once: the same replies as alone, whatever else runs and whatever a slot held before."""

import pytest

from act_gym.errors import AgentError
from act_gym.types import Turn
from agents.local.agent import LocalAgent, LocalSettings
from agents.local.sampling import Draft, Sampler, Writing
from agents.local.scheduler import Decoder

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny():
    """A random model in float64, which tells equal from nearly equal, with a real tokenizer and its chat template."""
    pytest.importorskip("gguf")
    from transformers import AutoTokenizer

    from agents.local.default_model import model_path
    from agents.local.model import Policy
    from tests.tiny_models import build

    tokenizer = AutoTokenizer.from_pretrained(model_path("smollm2"))
    model = build(
        "llama",
        vocab_size=len(tokenizer),
        initializer_range=0.5,  # so that two texts differ by more than the last digits
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Policy(model.to(torch.float64), tokenizer, "tiny")
    torch.set_num_threads(threads)


@pytest.fixture
def views(make_view):
    """Three turns of four episodes, as their agent sees them one after the other."""
    turns = [Turn(observation=f"You see {word}. " * 4, action=f"take {word}") for word in ("salt", "fish", "wire")]

    def view(episode: int, turn: int):
        commands = [
            f"{verb} {thing}" for verb in ("open", "take", "look at") for thing in ("pot", "pan", f"cup {episode}")
        ]
        return make_view(
            task_id=f"kitchen/{episode}",
            observation=f"Now there are {episode} cups. " * (episode + 1),
            history=tuple(turns[:turn]),
            admissible_commands=commands,
        )

    return [[view(episode, turn) for turn in range(3)] for episode in range(4)]


def conversation(agent, views, *, size=4, reuse=True):
    """Play all episodes through one stream, two of them beginning late; return the choices and the decoder."""
    stream = agent.stream(size)
    stream.decoder.reuse = reuse
    found = {}
    waiting = [list(enumerate(turns)) for turns in views]
    places = dict.fromkeys(range(size))
    begun = 0
    while len(found) < sum(map(len, views)):
        for number, episode in places.items():
            if episode is None and begun < len(views):
                places[number] = begun
                stream.ask(number, waiting[begun][0][1])
                begun += 1
        for number, choice in stream.answers():
            episode = places[number]
            turn, _ = waiting[episode].pop(0)
            found[episode, turn] = choice
            if waiting[episode]:
                stream.ask(number, waiting[episode][0][1])
            else:
                places[number] = None
    stream.close()
    return found, stream.decoder


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 12},
        {"max_new_tokens": 12, "temperature": 0.9},
        {"decode": "ranked"},
    ],
    ids=str,
)
def test_a_stream_answers_as_every_episode_alone(tiny, views, settings) -> None:
    agent = LocalAgent(LocalSettings(**settings), policy=tiny)
    alone = {(e, t): agent.act([view])[0] for e, turns in enumerate(views) for t, view in enumerate(turns)}
    assert len({choice.response for choice in alone.values()}) > 4
    for size in (1, 2, 4):
        together, decoder = conversation(agent, views, size=size)
        assert words(together) == words(alone)
        assert decoder.reused_tokens > 0


def words(choices):
    """Return what was chosen; the last digits of a log-probability are left out."""
    return {
        key: (choice.response.partition(", log-prob")[0], choice.completion_tokens) for key, choice in choices.items()
    }


def test_a_beginning_that_was_read_is_not_read_again_and_changes_nothing(tiny, views) -> None:
    agent = LocalAgent(LocalSettings(max_new_tokens=8), policy=tiny)
    whole, without = conversation(agent, views, reuse=False)
    again, reusing = conversation(agent, views)
    assert again == whole
    assert without.reused_tokens == 0
    assert reusing.read_tokens + reusing.reused_tokens == without.read_tokens
    assert reusing.reused_tokens > without.read_tokens / 5


def test_a_short_reply_does_not_wait_for_a_long_one(tiny, views, monkeypatch) -> None:
    lengths = iter([20, 3, 3, 3])
    agent = LocalAgent(LocalSettings(), policy=tiny)
    monkeypatch.setattr(agent, "_longest_reply", lambda: next(lengths, 3))
    monkeypatch.setattr(agent, "_prompt", lambda view: [{"role": "user", "content": view.observation}])
    stream = agent.stream(2)
    stream.ask(0, views[0][0])
    stream.ask(1, views[1][0])
    order = []
    while len(order) < 4:
        for number, choice in stream.answers():
            order.append((number, choice.completion_tokens))
            if number == 1 and len(order) < 3:
                stream.ask(1, views[2][0])
    assert order == [(1, 3), (1, 3), (1, 3), (0, 20)]


def test_what_cannot_be_asked_ends_its_own_episode(tiny, views, make_view) -> None:
    stream = LocalAgent(LocalSettings(decode="ranked"), policy=tiny).stream(2)
    stream.ask(0, views[0][0])
    stream.ask(1, make_view(admissible_commands=()))
    answers = dict(stream.answers())
    assert isinstance(answers[1], AgentError)
    assert dict(stream.answers())[0].action in views[0][0].admissible_commands


def test_a_pass_that_fails_is_tried_again_one_by_one(tiny, views, monkeypatch) -> None:
    agent = LocalAgent(LocalSettings(max_new_tokens=4), policy=tiny)
    stream = agent.stream(2)

    def no_memory() -> None:
        raise torch.OutOfMemoryError("too much at once")

    monkeypatch.setattr(stream.decoder, "advance", no_memory)
    for number in range(2):
        stream.ask(number, views[number][0])
    assert dict(stream.answers()) == {number: agent.act([views[number][0]])[0] for number in range(2)}


def test_memory_follows_the_longest_text_and_not_the_number_of_episodes(tiny, views) -> None:
    agent = LocalAgent(LocalSettings(max_new_tokens=4), policy=tiny)
    stream = agent.stream(2)
    for _ in range(3):
        for turns in views:
            stream.ask(0, turns[2])
            stream.answers()
    longest = max(len(tiny.prompt_ids(agent._prompt(turns[2]))) for turns in views) + 4
    for layer in stream.decoder._cache.layers:
        assert layer.keys.shape[0] == 2
        assert longest <= layer.keys.shape[2] < longest + 256


def write(policy, draft, temperature: float):
    """Write one reply of twelve tokens after a text; return the reply and how many passes it took."""
    sampler = Sampler(policy.model, policy.tokenizer, 12, temperature, None)
    work = Writing(sampler, policy.ids("You see salt and fish. " * 3), 5, draft=draft)
    decoder = Decoder(policy.model, 1)
    decoder.put(0, work)
    passes = 1
    while not decoder.advance():
        passes += 1
    return work.reply, passes


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_draft_saves_passes_and_changes_no_reply(tiny, temperature) -> None:
    reply, passes = write(tiny, None, temperature)
    assert passes == 12
    other = [token + 1 for token in reply]
    drafts = {
        "right": [reply],
        "right, and one of its beginnings": [reply[:4], reply],
        "wrong from the third token": [[*reply[:2], *other[2:]]],
        "wrong at once": [other],
        "right after a wrong guess": [other, [*reply[:2], *other[2:]], [*reply[:2], *other[3:]], reply],
    }
    taken = {}
    for name, listed in drafts.items():
        found, taken[name] = write(tiny, Draft(listed), temperature)
        assert found == reply, name
    assert taken["right"] == 2
    assert taken["wrong from the third token"] == 10
    assert taken["wrong at once"] == 12
    assert taken["right after a wrong guess"] < 6


def test_an_agent_drafts_its_replies_from_the_commands(tiny, views, monkeypatch) -> None:
    agent = LocalAgent(LocalSettings(max_new_tokens=12), policy=tiny)
    drafted, _ = conversation(agent, views)
    assert agent._likely(views[0][1]) == [
        *(f"<action>{command}</action>" for command in views[0][1].admissible_commands),
        "<action>take salt</action>",
    ]
    monkeypatch.setattr(agent, "_likely", lambda view: [])
    assert conversation(agent, views)[0] == drafted
