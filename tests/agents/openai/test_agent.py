"""The chat agent against a real HTTP server that fails in every way that servers do."""

import threading
import time

import pytest

from act_gym.agent import StreamingAgent
from act_gym.errors import AgentError, AgentUnavailableError, UsageError
from agents.openai.agent import ChatAgent, ChatSettings

KEY = "sk-secret-0123456789abcdef"


@pytest.fixture
def make_agent(faulty_server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def make(**settings):
        given = {"model": "m", "base_url": faulty_server.url, "timeout": 5.0, "retries": 0, **settings}
        return ChatAgent(ChatSettings(**given))

    return make


def only(agent, view):
    (choice,) = agent.act([view])
    return choice


def test_a_reply_is_read_and_its_tokens_and_cost_are_counted(faulty_server, make_agent, make_view):
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 400}}
    faulty_server.answer = lambda handler, body: handler.complete(
        "<think>hm</think><action> activate  stove</action>", usage
    )
    choice = only(make_agent(input_price=2.0, cached_price=0.5, output_price=8.0), make_view())
    assert (choice.action, choice.thought) == ("activate stove", "hm")
    assert (choice.prompt_tokens, choice.completion_tokens) == (1000, 50)
    assert choice.cost == pytest.approx((600 * 2 + 400 * 0.5 + 50 * 8) / 1e6)


def test_what_is_sent_is_the_state_the_limits_and_what_the_user_adds(faulty_server, make_agent, make_view):
    only(make_agent(body='{"top_k": 5}', temperature=0.7, max_new_tokens=9), make_view())
    (sent,) = faulty_server.requests
    assert sent["path"] == "/v1/chat/completions"
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["top_k"]) == ("m", 9, 0.7, 5)
    assert isinstance(sent["seed"], int)
    assert "\nTask: Your task is to boil water.\n" in sent["messages"][0]["content"]
    only(make_agent(temperature=-1.0), make_view())
    assert not {"temperature", "seed", "tools", "tool_choice"} & faulty_server.requests[-1].keys()


def test_every_setting_of_sampling_and_the_reasoning_switch_are_sent(faulty_server, make_agent, make_view):
    neutral = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    neutral |= {"presence_penalty": 0.0, "frequency_penalty": 0.0}
    only(make_agent(), make_view())
    sent = faulty_server.requests[-1]
    assert sent.items() >= {"temperature": 0.0, **neutral, "chat_template_kwargs": {"enable_thinking": False}}.items()
    only(make_agent(thinking=True, body='{"top_p": 0.9, "chat_template_kwargs": {"effort": 1}}'), make_view())
    sent = faulty_server.requests[-1]
    assert (sent["top_p"], sent["chat_template_kwargs"]) == (0.9, {"enable_thinking": True, "effort": 1})
    only(make_agent(temperature=-1.0), make_view())
    assert not neutral.keys() & faulty_server.requests[-1].keys()
    only(make_agent(server="openai"), make_view())
    assert faulty_server.requests[-1].keys() - {"path", "time"} == {"model", "messages", "max_tokens", "temperature"}


def test_a_server_that_takes_only_openais_fields_is_named_with_the_setting(faulty_server, make_agent, make_view):
    refusal = b'{"error": {"message": "Unrecognized request argument supplied: top_k"}}'
    faulty_server.answer = lambda handler, body: (
        handler.say(400, refusal) if "top_k" in body else handler.complete("<action>look</action>")
    )
    with pytest.raises(AgentUnavailableError, match="server=openai"):
        make_agent().act([make_view()])
    assert only(make_agent(server="openai"), make_view()).action == "look"


def test_openais_own_address_is_sent_openais_fields(monkeypatch, make_view):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    agent = ChatAgent(ChatSettings(model="m"))
    assert agent.request(make_view())["extra_body"] == {}
    assert not {"top_p", "presence_penalty"} & agent.request(make_view()).keys()


def test_what_follows_the_first_action_is_not_read(faulty_server, make_agent, make_view):
    faulty_server.answer = lambda handler, body: handler.complete(
        "<action>look</action>\nObservation: <action>go</action>"
    )
    choice = only(make_agent(), make_view())
    assert (choice.action, choice.response) == ("look", "<action>look</action>")


@pytest.mark.parametrize(
    ("reason", "thinking", "action"), [("length", True, ""), ("stop", True, "go"), ("length", False, "go")]
)
def test_an_action_in_reasoning_that_was_cut_is_none(faulty_server, make_agent, make_view, reason, thinking, action):
    said = "I could <action>go</action>, or"
    faulty_server.answer = lambda handler, body: handler.complete(said, finish_reason=reason)
    assert only(make_agent(thinking=thinking), make_view()).action == action


def test_native_tool_calls_are_actions_and_kept_as_text(faulty_server, make_agent, make_view):
    call = {"id": "1", "type": "function", "function": {"name": "act", "arguments": '{"command": "look </tool_call>"}'}}
    faulty_server.answer = lambda handler, body: handler.complete(None, tool_calls=[call], reasoning_content="I see")
    choice = only(make_agent(format="tools"), make_view())
    assert (choice.action, choice.thought) == ("look </tool_call>", "I see")
    assert choice.response.startswith("<think>I see</think><tool_call>")
    assert faulty_server.requests[0]["tools"][0]["function"]["name"] == "act"


@pytest.mark.parametrize(
    "message",
    [
        {"content": "I would rather not."},
        {"content": None},
        {"content": 5},
        {"content": ["a"], "tool_calls": "none"},
        {"content": "", "tool_calls": [{"function": None}, 3]},
        {"content": None, "tool_calls": [{"function": {"name": None, "arguments": {"command": "look"}}}]},
    ],
)
@pytest.mark.parametrize("reply", ["tags", "react", "tools"])
def test_a_reply_without_an_action_is_data(faulty_server, make_agent, make_view, message, reply):
    faulty_server.answer = lambda handler, body: handler.complete(**message)
    assert only(make_agent(format=reply), make_view()).action == ""


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>login</html>", "text/html"),
        (200, b"", "application/json"),
        (200, b"{", "application/json"),
        (200, b"[]", "application/json"),
        (200, b'{"choices": null}', "application/json"),
        (200, b'{"choices": [{}]}', "application/json"),
        (200, b'{"choices": [null]}', "application/json"),
        (200, b"\xff\xfe\x00", "application/json"),
        (500, b"oh", "text/plain"),
        (400, b'{"error": {"message": "context too long"}}', "application/json"),
        (302, b"", "text/plain"),
    ],
)
def test_garbage_ends_an_episode_with_a_reason(faulty_server, make_agent, make_view, status, body, kind):
    faulty_server.answer = lambda handler, _: handler.say(status, body, kind)
    with pytest.raises(AgentError, match="127") as caught:
        make_agent().act([make_view()])
    assert len(str(caught.value)) < 500


def test_a_connection_that_breaks_in_the_middle_ends_an_episode(faulty_server, make_agent, make_view):
    def cut(handler, body):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
        handler.close_connection = True

    faulty_server.answer = cut
    with pytest.raises(AgentError, match="broke"):
        make_agent().act([make_view()])


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(faulty_server, make_agent, make_view):
    def busy_once(handler, body):
        if len(faulty_server.requests) == 1:
            handler.say(429, b"{}", retry_after="1")
        else:
            handler.complete("<action>look</action>")

    faulty_server.answer = busy_once
    assert only(make_agent(retries=2), make_view()).action == "look"
    first, second = (request["time"] for request in faulty_server.requests)
    assert second - first > 0.9


def test_a_broken_server_is_asked_so_often_and_no_more(faulty_server, make_agent, make_view):
    faulty_server.answer = lambda handler, body: handler.say(503, b"{}", retry_after_ms="10")
    with pytest.raises(AgentError, match="503"):
        make_agent(retries=3).act([make_view()])
    assert len(faulty_server.requests) == 4


@pytest.mark.parametrize("way", ["silent", "slow"])
def test_a_server_that_never_finishes_is_left(faulty_server, make_agent, make_view, way):
    stop = threading.Event()

    def dawdle(handler, body):
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        while not stop.wait(0.05):  # a byte now and then: no time-out for silence would ever see it
            if way == "slow":
                handler.wfile.write(b" ")

    faulty_server.answer = dawdle
    try:
        with pytest.raises(AgentError, match="in time"):
            make_agent(timeout=0.3, deadline=0.6).act([make_view()])
    finally:
        stop.set()


def test_a_server_that_is_not_there_stops_the_run(make_agent, make_view):
    with pytest.raises(AgentUnavailableError, match="Start the server"):
        make_agent(base_url="http://127.0.0.1:9/v1").act([make_view()])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_that_holds_for_all_requests_stops_the_run(faulty_server, make_agent, make_view, status):
    faulty_server.answer = lambda handler, body: handler.say(status, b'{"error": {"message": "no such model"}}')
    with pytest.raises(AgentUnavailableError, match="no such model"):
        make_agent().act([make_view()])


def test_failures_one_after_the_other_stop_the_run_and_an_answer_between_them_does_not(
    faulty_server, make_agent, make_view
):
    agent = make_agent(patience=3)
    good = True

    def moody(handler, body):
        handler.complete("<action>look</action>") if good else handler.say(500, b"{}")

    faulty_server.answer = moody
    for good in (False, False, True, False, False):
        try:
            agent.act([make_view()])
        except AgentError:
            assert not good
    with pytest.raises(AgentUnavailableError, match="3 requests failed"):
        agent.act([make_view()])


def test_requests_are_under_way_at_once(faulty_server, make_agent, make_view):
    together = threading.Barrier(4, timeout=20)

    def wait_for_all(handler, body):
        together.wait()  # answered only if four requests are here at the same time
        handler.complete("<action>look</action>")

    faulty_server.answer = wait_for_all
    choices = make_agent(timeout=30).act([make_view(task_id=f"scienceworld/boil/{n}") for n in range(4)])
    assert [choice.action for choice in choices] == ["look"] * 4
    assert faulty_server.most == 4


def test_nobody_waits_for_the_slowest(faulty_server, make_agent, make_view):
    release = threading.Event()

    def slow_for_one(handler, body):
        if "slow" in body["messages"][0]["content"]:
            release.wait(20)
        handler.complete("<action>look</action>")

    faulty_server.answer = slow_for_one
    agent = make_agent(timeout=30)
    assert isinstance(agent, StreamingAgent)
    stream = agent.stream(2)
    try:
        stream.ask(0, make_view(goal="slow"))
        for _ in range(3):
            stream.ask(1, make_view(goal="quick"))
            assert [number for number, _ in stream.answers()] == [1]
        release.set()
        assert [number for number, _ in stream.answers()] == [0]
    finally:
        release.set()
        stream.close()


def test_closing_leaves_what_is_under_way(faulty_server, make_agent, make_view):
    faulty_server.answer = lambda handler, body: time.sleep(0.5)
    stream = make_agent().stream(1)
    stream.ask(0, make_view())
    stream.close()
    stream.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": ""}, "needs a model"),
        ({"base_url": "ftp://x/v1"}, "base_url is an address"),
        ({"base_url": "http://"}, "base_url is an address"),
        ({"base_url": "http://u:pw-hidden@x/v1"}, "holds a user"),
        ({"key_env": "sk-hidden"}, "name of an environment variable"),
        ({"key_env": "NO_SUCH_KEY_HERE"}, "is not set"),
        ({"base_url": ""}, "needs a key"),
        ({"body": "[1]"}, "JSON object"),
        ({"body": "{"}, "JSON object"),
        ({"format": "xml"}, "No format xml"),
        ({"timeout": 0.0}, "timeout"),
        ({"input_price": -1.0}, "input_price"),
        ({"window": -1}, "window"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_repeated(make_agent, settings, message):
    with pytest.raises(UsageError, match=message) as caught:
        make_agent(**settings)
    assert "hidden" not in str(caught.value)


def test_the_name_says_what_changes_behaviour_and_not_where_the_server_is(make_agent):
    assert make_agent().name == "m:chat"
    assert make_agent(model="/data/models/M", format="react", window=0).name == "M:chat,format=react,window=0"
    assert make_agent(retries=9, input_price=3.0).name == "m:chat"


def test_what_was_answered_is_returned_before_the_run_stops(faulty_server, make_agent, make_view):
    def refuse_one(handler, body):
        wrong = "unpayable" in body["messages"][0]["content"]
        handler.say(401, b"{}") if wrong else handler.complete("<action>look</action>")

    faulty_server.answer = refuse_one
    stream = make_agent().stream(2)
    try:
        stream.ask(0, make_view(goal="unpayable"))
        stream.ask(1, make_view(goal="right"))
        while faulty_server.running or len(faulty_server.requests) < 2:
            time.sleep(0.01)
        time.sleep(0.2)  # until both answers lie there
        assert [number for number, _ in stream.answers()] == [1]
        with pytest.raises(AgentUnavailableError):
            stream.answers()
    finally:
        stream.close()
