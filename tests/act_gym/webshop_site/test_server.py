"""Who may come in, what is let out, and what nobody can do to the shop."""

import re
import socket
from http.client import HTTPConnection
from importlib.resources import files

import pytest

from act_gym.io.jsonl import read_records
from act_gym.types import Episode
from tests.act_gym.webshop_site.browser import Browser, Content
from tests.act_gym.webshop_site.conftest import NASTY, SAYABLE

PATHS = ("/", "/fixed_0", "/abcde", "/static/shop.css", "/static/shop.js", "/item_page/x/0/y", "/nothing", "/?page=2")
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def running(open_shop):
    with open_shop() as running:
        yield running


def test_nothing_is_shown_or_done_without_the_secret(running):
    stranger = Browser(running.address, enter=False)
    right = f"act_gym_shop_{running.server.guard.port}={running.server.guard.token}"
    for cookie in (
        "",
        "x",
        right[:-1],
        right + "x",
        f"x{right}",
        right.replace("shop", "shoq"),
        "\x7f=;,é=".encode().decode("latin-1"),
    ):
        for path in PATHS:
            assert stranger.ask("GET", path, Cookie=cookie).status == 403
            assert stranger.ask("POST", path, b"task=0", Cookie=cookie, **FORM).status == 403
    for path in ("/?token=", "/?token=x", f"/?token={running.server.guard.token}x", "/?token=%00%ff"):
        assert stranger.ask("GET", path, Cookie=right).status == 403
    assert "Set-Cookie" not in stranger.headers
    assert not running.customers._inside


def test_the_secret_is_in_the_first_address_and_then_in_a_cookie_that_no_script_reads(running):
    visitor = Browser(running.address, enter=False)
    token = running.server.guard.token
    assert len(token) >= 32
    for path, after in (
        ("/", "/"),
        ("/fixed_3", "/fixed_3"),
        ("//evil.example/x", "/evil.example/x"),
        ("/\\evil", "/%5Cevil"),
    ):
        visitor.ask("GET", f"{path}?token={token}")
        assert (visitor.status, visitor.headers["Location"]) == (303, after)
    name, *rest = visitor.headers["Set-Cookie"].split("; ")
    assert name.endswith(token)
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} == set(rest)
    visitor.cookie = name
    for path in PATHS:
        assert token not in visitor.get(path).html


def test_another_name_for_this_machine_is_refused(running):
    visitor = Browser(running.address)
    port = running.server.guard.port
    assert visitor.ask("GET", "/", Host=f"localhost:{port}").status == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil:{port}", "[::1]"):
        assert visitor.ask("GET", "/", Host=host).status == 403
        assert visitor.ask("POST", "/start", b"", Host=host, **FORM).status == 403


def test_other_sites_cannot_act_with_the_visitors_cookie(running):
    visitor = Browser(running.address).get("/fixed_0").search("black for women")
    link = next(iter(visitor.content.links.values()))
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert visitor.ask("POST", "/start", b"", **FORM, **headers).status == 403
        assert visitor.ask("GET", link, **headers).status == 403
    assert not any(name.lower().startswith("access-control") for name in visitor.headers)
    assert len(running.customers.find("fixed_0").turns) == 1
    assert visitor.get(link, Sec_Fetch_Site="same-origin").path.startswith("/item_page/fixed_0/2")


def test_the_shop_listens_on_this_machine_alone(running):
    assert running.server.socket.getsockname()[0] == "127.0.0.1"


def test_pages_load_and_run_nothing_but_the_shops_own_files(running):
    visitor = Browser(running.address).get("/fixed_0").search("black")
    policy = visitor.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert visitor.headers["X-Frame-Options"] == "DENY"
    assert visitor.headers["Cache-Control"] == "no-store"
    for tag, attributes in visitor.content.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert tag != "style"
        for name in ("src", "href"):
            if attributes.get(name, "").startswith("/static/"):
                assert visitor.get(attributes[name]).status == 200
    for file in (files("act_gym.webshop_site") / "static").iterdir():
        found = re.findall(r"https?://[^\"]+|@import|url\(", file.read_text(encoding="utf-8"))
        assert set(found) <= {"http://www.w3.org/2000/svg"}


def test_only_the_shops_own_files_can_be_read(running):
    visitor = Browser(running.address)
    for path in (
        *("/static/", "/static", "/static/../serve.py", "/static/%2e%2e/serve.py", "/static/%2e%2e%2fserve.py"),
        *("/static//etc/passwd", "/static/shop.css/x", "/static/__init__.py", "/../../etc/passwd", "/static/%00"),
    ):
        assert visitor.get(path).status == 404


def test_hostile_products_do_nothing_on_any_page_and_can_be_bought(open_shop, nasty):
    with open_shop(catalogue=str(nasty), show_attrs=True, max_turns=50, out=nasty.parent / "visits") as running:
        visitor = Browser(running.address)
        check(visitor.html)
        visitor.post("/start", ("task", "0")).search(f"hammer {NASTY}")
        check(visitor.html)
        assert len(visitor.content.links) == 3
        visitor.get(next(iter(visitor.content.links.values())))
        offered = {found["value"]: "disabled" not in found for form in visitor.content.forms for found in form.fields}
        assert {value for value, there in offered.items() if there} == {
            SAYABLE,
            "plain",
            "click",
            "twice",
            "'); drop table",
        }
        assert {"buy now", "search", "x [y]", "a\nb"} < offered.keys()
        for name in ("Description", "Features", "Reviews", "Attributes"):
            check(visitor.press(name).html)
            check(visitor.press("< Prev").html)
        check(visitor.choose(SAYABLE).html)
        check(visitor.press("Buy Now").html)
        assert "Thank you" in visitor.html
        (record,) = read_records(running.out / "episodes.jsonl")
        assert Episode.from_json(record).turns[-2].action == f"click[{SAYABLE}]"


def check(html: str) -> None:
    """Check that a page has the tags that are ours, and shows what products say as text."""
    content = Content(html)
    names = {tag for tag, _ in content.tags}
    assert names <= {
        *("html", "head", "meta", "title", "link", "script", "body", "header", "main", "footer", "nav", "section"),
        *("article", "div", "span", "p", "h1", "h2", "h4", "br", "a", "form", "button", "input", "label", "fieldset"),
        *("legend", "img", "ol", "ul", "li", "table", "caption", "thead", "tbody", "tr", "th", "td", "pre", "meter"),
        *("details", "summary"),
    }
    assert [attributes for tag, attributes in content.tags if tag == "script"] == [
        {"src": "/static/shop.js", "defer": None}
    ]
    assert all(attributes["src"].startswith("/static/") for tag, attributes in content.tags if tag == "img")
    assert not any(name.startswith("on") for _, attributes in content.tags for name in attributes)
    assert "evil.example" not in html


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"task=" + b"9" * 20_000, {}, 413),
        (b"x" * 3_000_000, {}, 413),
        (b"no form at all", {}, 400),
        (b"\xff\xfe=\x00&\xed\xa0\x80=%ff%00", {}, 303),
        (b"task=%F0%9F%98%80", {}, 303),
        (b"&".join(b"a=%d" % number for number in range(100)), {}, 400),
        (b'{"task": "0"}', {"Content_Type": "application/json"}, 415),
        (b"task=0", {"Content_Type": "text/plain"}, 415),
    ],
)
def test_garbled_and_huge_forms_are_answered_and_do_nothing(running, body, headers, status):
    visitor = Browser(running.address)
    try:
        assert visitor.ask("POST", "/start", body, **FORM | headers).status == status
    except (BrokenPipeError, ConnectionResetError):
        assert len(body) > 1 << 20  # only so much of it is read
    assert (
        visitor.get("/fixed_0").search("\ud83d\ude00 <r> ][".encode("utf-16", "surrogatepass").decode("utf-16")).status
        == 200
    )


def test_requests_that_are_no_http_end_alone(running):
    visitor = Browser(running.address)
    address = ("127.0.0.1", running.server.guard.port)
    start = f"Host: {visitor.host}\r\nCookie: {visitor.cookie}\r\n"
    for raw, answer in (
        ("", b""),
        ("\x00\x01\x02\r\n\r\n", b"400 "),
        ("GET\r\n\r\n", b"400 "),
        (f"PUT / HTTP/1.1\r\n{start}\r\n", b"HTTP/1.0 501"),
        (f"OPTIONS / HTTP/1.1\r\n{start}\r\n", b"HTTP/1.0 501"),
        (f"POST /start HTTP/1.1\r\n{start}\r\n", b"HTTP/1.0 411"),
        (f"POST /start HTTP/1.1\r\n{start}Content-Length: -1\r\n\r\n", b"HTTP/1.0 411"),
        (f"POST /start HTTP/1.1\r\n{start}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.0 411"),
        (f"GET http://[ HTTP/1.1\r\n{start}\r\n", b"HTTP/1.0 400"),
        (f"GET /{'x' * 70_000} HTTP/1.1\r\n{start}\r\n", b"HTTP/1.0 414"),
        (f"GET / HTTP/1.1\r\n{start}" + "A: b\r\n" * 200 + "\r\n", b"HTTP/1.0 431"),
    ):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(raw.encode())
            connection.shutdown(socket.SHUT_WR)
            got = connection.makefile("rb").read()
            assert got.startswith(answer)
            assert b"Python" not in got
    assert visitor.get("/").status == 200


def test_a_slow_visitor_keeps_nobody_waiting(running):
    address = ("127.0.0.1", running.server.guard.port)
    with socket.create_connection(address) as slow:
        slow.sendall(b"POST /start HTTP/1.1\r\n")
        connection = HTTPConnection(*address, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 403
        connection.close()
