"""One thread for each process, and one way to open a browser."""

import os
import shutil
from collections.abc import Iterator

import pytest

# Browser tests wait for events. A busy machine may take minutes for what takes an idle one a second.
_PATIENCE = 240_000  # milliseconds

# Models here are tiny, and threads that wait for each other cost more than they do.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; processes that tests start inherit it


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """A real browser that has no window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Run: pip install -e '.[dev]'")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("No Chromium on this machine. Run: apt-get install chromium")
    playwright.expect.set_options(timeout=_PATIENCE)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"], timeout=_PATIENCE
        )
        yield browser
        browser.close()


@pytest.fixture
def quiet_page(chromium) -> Iterator[tuple[object, set[str]]]:
    """A page that fails the test if it complains about anything, and the addresses that it has asked for."""
    context = chromium.new_context()
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: asked.add(request.url))
    yield page, asked
    context.close()
    assert complaints == []
