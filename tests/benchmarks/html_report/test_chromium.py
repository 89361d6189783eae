"""The report in a real browser that has no window."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.prompt_config import Question
from benchmarks.report import main
from tests.benchmarks.html_report.written import (
    HOSTILE,
    episode_of,
    hostile_turns,
    turns_of,
    write_episodes,
    write_judgement,
    write_next_action,
    write_pairs,
    write_question,
)

playwright = pytest.importorskip("playwright.sync_api", reason="Run: pip install -e '.[dev]'")

TASKS = 150
ALL = 2 * TASKS + 2


@pytest.fixture
def window(quiet_page) -> Iterator[object]:
    """A page that fails the test if it asks for anything but itself."""
    page, asked = quiet_page
    page.set_viewport_size({"width": 1300, "height": 800})
    yield page
    assert {address.partition("#")[0].rpartition("/")[2] for address in asked} == {"report.html"}


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """A report of two agents on many tasks, one of them with a text of a megabyte, and of both asked questions."""
    folder = tmp_path_factory.mktemp("report")
    ways = {"base": ("go north", "dance", "look"), "after ACT": ("go north", "light lamp")}
    for started, (label, way) in enumerate(ways.items()):
        episodes = [
            episode_of(n, label, turns=turns_of(*way, thought=f"room {n} of {label}"), success=label != "base")
            for n in range(TASKS)
        ]
        episodes.append(episode_of(TASKS, label, turns=hostile_turns("x" * 1_000_000), text="huge"))
        write_episodes(folder / "runs" / f"{started} {label}" / "e", label, episodes)
        outcomes = ["right", "wrong" if label == "base" else "right"]
        pairs = write_pairs(folder / label)
        write_judgement(folder / "runs" / f"{started} {label}" / "j", label, outcomes, pairs=pairs)
        actions = ["right", "alternative"] if label == "base" else ["wrong", "inadmissible"]
        write_next_action(folder / "runs" / f"{started} {label}" / "n", label, actions, asked=pairs)
    return report(folder)


def report(folder: Path, *words: str) -> str:
    out = folder / "report.html"
    main([str(folder / "runs"), "--out", str(out), *words])
    return out.as_uri()


def text(window, selector: str) -> str:
    return window.locator(selector).first.inner_text()


def current(window) -> str:
    return text(window, ".turns [aria-current] .did")


def test_an_episode_is_found_opened_and_stepped_through_with_the_keyboard(window, address):
    window.goto(address)
    window.keyboard.press("/")
    window.keyboard.type("light lamp 149")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"2 of {ALL}")
    window.keyboard.press("Escape")
    window.keyboard.press("j")
    window.locator(".turn").wait_for()
    assert text(window, "#view-episodes .goal") == "light lamp 149"
    assert "You are in room 0." in text(window, ".turn")
    window.keyboard.press("ArrowRight")
    assert current(window) == "dance"
    assert "did not carry this out" in text(window, ".turn")
    assert "room 149 of base" in text(window, ".thought")
    window.keyboard.press("End")
    assert "It is dark." in text(window, ".turn")
    window.keyboard.press("Escape")
    assert window.locator(".turn").count() == 0
    window.keyboard.press("?")
    assert "next and previous turn" in text(window, "dialog[open]")


def test_two_agents_stand_side_by_side_and_the_turn_at_which_they_part_is_marked(window, address):
    window.goto(f"{address}#episodes?e=7&t=1")
    window.keyboard.press("c")
    window.locator(".columns.two").wait_for()
    assert [each.inner_text() for each in window.locator(".columns.two .turns [aria-current] .did").all()] == [
        "dance",
        "light lamp",
    ]
    assert "part at turn 2" in text(window, ".part-note")
    assert window.locator(".parting").count() == 2
    window.keyboard.press("Escape")
    window.locator(".columns.two").wait_for(state="detached")
    assert "e=7" in window.url


def test_the_keyboard_stays_where_it_is_and_opened_commands_stay_open(window, address):
    window.goto(f"{address}#episodes?e=7")
    window.locator(".turn summary").click()
    window.focus("[aria-label='next turn']")
    window.keyboard.press("Enter")
    window.locator(".turn h3:text('Turn 2')").wait_for()
    assert window.evaluate("document.activeElement.ariaLabel") == "next turn"
    assert "dance" in text(window, ".commands .taken")


def test_filters_and_a_link_from_a_number_choose_episodes(window, address):
    window.goto(address)
    window.locator(".types a[href^='#episodes']").last.click()
    window.locator("#view-episodes .count").wait_for()
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"{TASKS} of {ALL}")
    window.select_option("#view-episodes select[name=outcome]", "success")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"{TASKS} of {ALL}")
    window.select_option("#view-episodes select[name=run]", label=f"base ({TASKS + 1})")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"0 of {ALL}")
    assert not window.locator("#view-episodes .list").is_visible()
    window.go_back()
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"{TASKS} of {ALL}")


def test_what_was_said_is_searched_in_every_block(window, address):
    window.goto(f"{address}#episodes?q=room+41+of+base")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"0 of {ALL}")
    window.check("#view-episodes [name=deep]")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"1 of {ALL}")


def test_what_is_left_out_of_the_page_is_counted_beside_what_is_on_it(window, tmp_path):
    write_episodes(tmp_path / "runs", "base", [episode_of(n, "base", turns=turns_of("go")) for n in range(1005)])
    window.goto(f"{report(tmp_path, '--episodes', '5')}#episodes")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text("5 of 5 · 1,000 more are not on this page")


def test_only_the_rows_in_sight_are_elements_and_the_last_can_be_reached(window, address):
    window.goto(f"{address}#episodes")
    assert 5 < window.locator("#view-episodes [role=option]").count() < 40
    window.focus("#view-episodes .list")
    window.keyboard.press("End")
    window.locator(f"#view-episodes [role=option][aria-posinset='{ALL}'][aria-selected=true]").wait_for()


def test_a_search_is_shown_from_its_first_result(window, address):
    window.goto(f"{address}#episodes")
    window.focus("#view-episodes .list")
    window.keyboard.press("End")
    window.locator(f"#view-episodes [aria-posinset='{ALL}']").wait_for()
    window.fill("#view-episodes [name=q]", "lamp")
    playwright.expect(window.locator("#view-episodes .count")).to_have_text(f"{2 * TASKS} of {ALL}")
    assert window.evaluate("document.querySelector('#view-episodes .list').scrollTop") == 0


def test_what_was_asked_for_last_is_what_is_shown(window, address):
    window.goto(f"{address}#episodes?e=7")
    window.locator(".turn").wait_for()
    press = "key => document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))"
    window.evaluate(f"['c', 'Escape'].forEach({press})")  # the second while the first still waits for its episodes
    window.wait_for_timeout(100)
    assert "vs" not in window.url
    assert window.locator(".columns.two").count() == 0


def test_a_text_of_a_megabyte_is_shown_in_pieces(window, address):
    window.goto(f"{address}#episodes?q=huge&e=150")
    window.locator(".turn .more").first.wait_for()
    before = len(text(window, ".turn .said"))
    window.locator(".turn .more").first.click()
    assert len(text(window, ".turn .said")) > before
    assert window.evaluate("document.body.textContent.length") < 2_000_000


def test_a_pair_is_shown_in_both_orders_with_its_state_and_the_other_models(window, address):
    window.goto(f"{address}#pairs")
    window.keyboard.press("j")
    window.locator(".order").first.wait_for()
    orders = [each.inner_text() for each in window.locator(".order").all()]
    assert "Action 1, the expert's · chosen" in orders[0]
    assert "Action 1 · chosen" in orders[1]
    assert "log-probability -2.250" in orders[0]
    assert "You stand at door 0." in text(window, "#view-pairs .detail")
    rows = window.locator(".asked tbody tr").all()
    assert [row.inner_text().split() for row in rows][1] == ["after", "ACT", "✓", "right", "✓", "right"]


def test_a_next_action_is_shown_with_its_state_its_commands_and_the_other_models(window, address):
    window.goto(address)
    window.locator(".types a[href^='#actions']").last.click()
    playwright.expect(window.locator("#view-actions .count")).to_have_text("2 of 4")
    window.goto(f"{address}#actions")
    assert window.locator("#view-actions [name=split]").is_hidden()  # all are of one
    window.select_option("#view-actions [name=outcome]", "not admissible")
    window.keyboard.press("Escape")
    window.keyboard.press("j")
    window.locator(".order").first.wait_for()
    answers = [each.inner_text() for each in window.locator(".order").all()]
    assert len(answers) == 3  # as it is, and twice more
    assert "An action that is not admissible" in answers[0]
    assert answers[0].index("The expert's") < answers[0].index("go north") < answers[0].index("The model's · chosen")
    assert answers[0].index("fly") < answers[0].index("log-probability -1.250") < answers[0].index("The alternative")
    assert "I shall fly." in answers[0]
    assert "The south is warm." in text(window, "#view-actions .asking >> nth=2")
    assert "You stand at door 1." in text(window, "#view-actions .detail")
    window.locator("#view-actions summary").click()
    assert text(window, "#view-actions .commands .taken") == "go north"
    window.locator(".asked a").click()
    playwright.expect(window.locator("#view-actions .order h3").first).to_contain_text("As the alternative")
    assert window.locator("#view-actions .order").first.locator(".option").count() == 2


def test_next_actions_are_found_by_what_was_said(window, address):
    window.goto(f"{address}#actions?q=door+1")
    playwright.expect(window.locator("#view-actions .count")).to_have_text("0 of 4")
    window.check("#view-actions [name=deep]")
    playwright.expect(window.locator("#view-actions .count")).to_have_text("2 of 4")


def test_hostile_episodes_and_questions_run_nothing_and_are_seen(window, tmp_path):
    episodes = [episode_of(0, HOSTILE, turns=hostile_turns(HOSTILE, 3), text=HOSTILE)]
    for name in ("one", "other"):
        write_episodes(tmp_path / "runs" / name, HOSTILE, episodes, text=HOSTILE)
    write_judgement(tmp_path / "runs" / "j", HOSTILE, ["neither", "malformed"], text=HOSTILE)
    write_next_action(tmp_path / "runs" / "n", HOSTILE, ["wrong", "malformed"], text=HOSTILE)
    address = report(tmp_path)
    places = ("#overview", "#episodes?e=0&vs=1&t=1", "#pairs?e=0", "#pairs?run=</script>&e=__proto__", "#%22%27<")
    for place in (*places, "#actions?e=1", "#actions?e=0"):
        window.goto("about:blank")
        window.goto(address + place)
        window.wait_for_timeout(100)
    assert "<script>alert(1)</script>" in text(window, "#view-actions .option.taken")
    window.goto(f"{address}#episodes?e=0&vs=1&t=1")
    window.locator(".columns.two").wait_for()
    assert "<script>alert(1)</script>" in text(window, ".turn .said")
    assert "[U+202E]" in text(window, ".turn .said")
    assert window.locator("img, iframe").count() == 0
    assert window.evaluate("[...document.scripts].filter(each => !each.type).length") == 1


def test_the_prompt_of_a_turn_is_folded_and_is_text(window, tmp_path):
    episodes = [episode_of(0, "x", turns=hostile_turns(HOSTILE, 3), text=HOSTILE)]
    write_question(write_episodes(tmp_path / "runs", "base", episodes), Question(history="conversation"))
    window.goto(f"{report(tmp_path)}#episodes?e=0&t=1")
    fold = window.locator(".turn details", has_text="prompt: 3 messages")
    assert not fold.locator(".said").first.is_visible()
    fold.locator("summary").click()
    assert "alert(1)</script>" in fold.locator(".said").first.inner_text()
    assert "may differ from what was asked" in fold.inner_text()
    window.keyboard.press("ArrowRight")
    window.locator(".turn details[open]", has_text="prompt: 5 messages").wait_for()
    assert window.locator("img, iframe").count() == 0


def test_nothing_runs_over_the_edge_of_a_phone(window, address):
    window.set_viewport_size({"width": 390, "height": 800})
    for place in ("", "#episodes", "#episodes?e=7&t=1", "#episodes?e=7&vs=158", "#pairs?e=0", "#actions?e=3"):
        window.goto("about:blank")
        window.goto(address + place)
        window.wait_for_timeout(100)
        assert window.evaluate("document.documentElement.scrollWidth") == 390
    window.goto(f"{address}#episodes")
    window.locator("#view-episodes [role=option]").first.click()
    window.locator("#view-episodes .back").click()
    assert window.locator("#view-episodes .list").is_visible()


def test_the_theme_follows_the_system_and_then_the_switch(window, address):
    window.goto(address)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = window.evaluate(ground)
    window.emulate_media(color_scheme="dark")
    dark = window.evaluate(ground)
    assert dark != light
    window.click("#theme")
    assert window.evaluate(ground) == light
    window.reload()
    assert window.evaluate(ground) == light
    window.keyboard.press("t")
    assert window.evaluate(ground) == dark


def test_axe_finds_nothing_to_complain_about(window, address):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="Run: pip install -e '.[dev]'").Axe()
    places = ("", "#episodes?q=nobody", "#episodes?e=7&vs=158&t=1", "#pairs?e=0", "#actions?e=1")
    for scheme, width, looked_at in (("light", 1300, places), ("dark", 390, places[::2])):
        window.emulate_media(color_scheme=scheme)
        window.set_viewport_size({"width": width, "height": 800})
        for place in looked_at:
            window.goto("about:blank")
            window.goto(address + place)
            window.wait_for_timeout(100)
            assert axe.run(window).generate_snapshot() == ""
    window.evaluate("document.querySelector('.back').replaceChildren()")
    assert "button-name" in axe.run(window).generate_snapshot()
