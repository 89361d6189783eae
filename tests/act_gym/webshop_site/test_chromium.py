"""A whole purchase, clicked through in a real browser that has no window."""

from collections.abc import Iterator

import gymnasium as gym
import pytest

from act_gym.errors import EngineError
from act_gym.io.jsonl import read_records
from act_gym.types import Episode
from tests.act_gym.webshop_site.conftest import NASTY


@pytest.fixture
def window(quiet_page) -> Iterator[object]:
    """A page that fails the test if it asks another server for anything."""
    page, asked = quiet_page
    yield page
    assert {address.split("/")[2].partition(":")[0] for address in asked} == {"127.0.0.1"}


def click(window, text: str) -> None:
    with window.expect_navigation():
        window.locator(f'button.btn:text-is("{text}")').click()


def plan(stock) -> tuple[int, tuple[str, ...]]:
    """Return a goal that wants two options, and what buys it."""
    env = gym.make("act/WebShop", catalogue=str(stock))
    for goal in range(60):
        env.reset(options={"task_index": goal})
        if len(env.unwrapped.engine.session.goal.options) == 2:
            try:
                return goal, env.unwrapped.expert_commands()
            except EngineError:
                continue
    raise LookupError("no goal with two options")


def test_a_purchase_with_mouse_and_keyboard_is_the_environments_episode(open_shop, stock, window):
    goal, commands = plan(stock)
    query, product = (command.partition("[")[2].removesuffix("]") for command in commands[:2])
    first, second = (command.removeprefix("click[").removesuffix("]") for command in commands[2:4])
    with open_shop() as running:
        window.goto(running.address)
        assert "token" not in window.url
        window.fill("#task", str(goal))
        with window.expect_navigation():
            window.press("#task", "Enter")
        window.wait_for_selector("input:focus")  # the search bar gets the keyboard by itself, when the page is drawn
        with window.expect_navigation():
            window.keyboard.type(query)
            window.keyboard.press("Enter")
        with window.expect_navigation():
            window.locator(f'.product-link:text-is("{product.upper()}")').click()
        for name in ("Description", "Features", "Reviews"):
            click(window, name)
            assert window.locator("h1").inner_text() == name
            click(window, "< Prev")
        with window.expect_navigation():
            window.locator(f'label:text-is("{first}")').click()
        choose_by_keyboard(window, second)
        assert window.evaluate("document.activeElement.value") == second  # the keyboard stays there
        assert window.locator("input:checked").count() == 2
        click(window, "Buy Now")
        assert window.locator("#reward pre").inner_text() == "1.0"
        assert f"{len(commands) + 6} actions" in window.locator("footer").inner_text()
        (record,) = read_records(running.out / "episodes.jsonl")
    episode = Episode.from_json(record)
    told = [f"click[{name}]" for page in ("description", "features", "reviews") for name in (page, "< prev")]
    assert [turn.action for turn in episode.turns] == [*commands[:2], *told, *commands[2:]]
    assert episode.success


def choose_by_keyboard(window, value: str) -> None:
    """Go to a value with the arrow keys, which chooses nothing, and choose it with the space bar."""
    radio = window.locator(f'input[type=radio][value="{value}"]')
    group = window.locator(f'form:has(input[value="{value}"]) input')
    group.last.focus()
    for _ in range(group.count() + 1):
        window.keyboard.press("ArrowRight")
        if radio.evaluate("radio => radio.checked"):
            break
    assert radio.evaluate("radio => radio.checked")
    with window.expect_navigation():
        window.keyboard.press("Space")


def test_an_agent_that_clicks_on_radio_buttons_by_script_chooses_them(open_shop, stock, window):
    """As WebShop's own browser environment does where it cannot click on what it sees."""
    goal, commands = plan(stock)
    with open_shop() as running:
        window.goto(running.address)
        window.goto(running.address.partition("?")[0] + f"fixed_{goal}")
        for command in commands:
            name, _, argument = command.removesuffix("]").partition("[")
            with window.expect_navigation():
                if name == "search":
                    window.fill("#search_input", argument)
                    window.evaluate("document.getElementById('search_input').form.requestSubmit()")
                else:
                    window.evaluate(
                        """wanted => [...document.querySelectorAll(".btn, .product-link, input[type='radio']")]
                        .find(each => (each.value || each.textContent).toLowerCase() === wanted).click()""",
                        argument,
                    )
        assert float(window.locator("#reward pre").inner_text()) == 1.0


def test_hostile_products_run_nothing_in_a_browser(open_shop, nasty, window, tmp_path):
    with open_shop(catalogue=str(nasty), show_attrs=True, max_turns=50) as running:
        window.goto(running.address)
        assert NASTY.split("\x1b")[0] in window.locator(".wanted").first.inner_text()
        with window.expect_navigation():
            window.locator('button:text-is("Start a random task")').click()
        window.fill("#search_input", "hammer")
        click(window, "Search")
        with window.expect_navigation():
            window.locator(".product-link").first.click()
        for name in ("Description", "Features", "Attributes"):
            click(window, name)
            click(window, "< Prev")
        with window.expect_navigation():
            window.locator('label:text-is("plain")').click()
        click(window, "Buy Now")
        assert "Thank you" in window.content()
        assert window.evaluate("document.scripts.length") == 1
        assert window.evaluate("[...document.images].every(image => image.src.startsWith(location.origin))")


def test_going_back_in_the_browser_leads_to_where_the_visit_is(open_shop, window):
    with open_shop() as running:
        window.goto(running.address)
        window.goto(running.address.partition("?")[0] + "fixed_0")
        window.fill("#search_input", "black for women")
        click(window, "Search")
        click(window, "Next >")
        window.go_back()
        assert "cannot be taken back" in window.locator("[role=status]").inner_text()
        assert "/search_results/fixed_0/2" in window.url
        assert len(running.customers.find("fixed_0").turns) == 2


def test_nothing_runs_over_the_edge_of_a_phone_and_a_choice_leaves_the_page_where_it_is(open_shop, stock, window):
    goal, commands = plan(stock)
    query, product, first = (command.partition("[")[2].removesuffix("]") for command in commands[:3])
    window.set_viewport_size({"width": 360, "height": 500})
    with open_shop() as running:
        window.goto(running.address)
        check_width(window)
        window.goto(running.address.partition("?")[0] + f"fixed_{goal}")
        check_width(window)
        window.fill("#search_input", query)
        click(window, "Search")
        check_width(window)
        with window.expect_navigation():
            window.locator(f'.product-link:text-is("{product.upper()}")').click()
        check_width(window)
        window.evaluate("window.scrollTo(0, 50)")
        with window.expect_navigation():
            window.evaluate(f"document.querySelector('input[value=\"{first}\"]').click()")
        assert window.evaluate("window.scrollY") == 50
        click(window, "Buy Now")
        check_width(window)


def check_width(window) -> None:
    assert window.evaluate("document.documentElement.scrollWidth") <= 360
