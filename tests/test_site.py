"""The documentation site builds without a warning, and its facts are those of the code."""

import re
import subprocess
import sys
from inspect import isclass
from pathlib import Path

import pytest

import act_gym
from act_gym.benchmarks import BENCHMARKS
from scripts import environment_facts

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("furo")
    pytest.importorskip("myst_parser")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.stderr == ""
    for page in DOCS.rglob("*.md"):
        assert (tmp_path / page.relative_to(DOCS)).with_suffix(".html").exists()
    assert "<mfrac>" in (tmp_path / "algorithms/act.html").read_text(encoding="utf-8")
    assert "learning_rate" in (tmp_path / "api/trainers.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", environment_facts.SHOWN)
def test_an_environment_page_has_the_splits_of_the_code(page):
    written = (DOCS / "environments" / f"{page}.md").read_text(encoding="utf-8")
    assert written == environment_facts.filled(page, ["splits"])


@pytest.mark.parametrize("page", ["alfworld", "webshop"])
def test_an_environment_page_has_the_transcript_of_today(page):
    if page == "alfworld":
        pytest.importorskip("alfworld")
    written = (DOCS / "environments" / f"{page}.md").read_text(encoding="utf-8")
    assert written == environment_facts.filled(page, ["transcript"])


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_environment_page_has_every_argument(name):
    text = (DOCS / "environments" / f"{name.lower()}.md").read_text(encoding="utf-8")
    from inspect import signature

    from act_gym.benchmarks import _load

    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    for engine in BENCHMARKS[name].engines.values():
        assert set(signature(_load(engine)).parameters) <= named
    assert all(f'"{limit}"' in text for limit in BENCHMARKS[name].step_limits)


def test_the_algorithm_pages_explain_every_metric():
    pytest.importorskip("torch")
    from trainers.run.callbacks import _NAMES

    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "algorithms").glob("*.md"))
    pages += (DOCS / "algorithms.md").read_text(encoding="utf-8")
    explained = {
        name for row in re.findall(r"^\| (`[^|]*) \|", pages, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert set(_NAMES.values()) - explained == set()


def test_the_reference_has_every_public_name():
    text = (DOCS / "api" / "act_gym.md").read_text(encoding="utf-8")
    public = {name for name in act_gym.__all__ if isclass(getattr(act_gym, name)) or callable(getattr(act_gym, name))}
    assert public - set(re.findall(r"act_gym\.(\w+)$", text, re.MULTILINE)) == set()


ENGINES = {
    "ALFWorld `native`": "act_gym.engines.alfworld.native:NativeEngine",
    "ALFWorld `textworld`": "act_gym.engines.alfworld.textworld:TextWorldEngine",
    "ScienceWorld": "act_gym.engines.scienceworld:JvmEngine",
    "WebShop": "act_gym.engines.webshop.engine:WebShopEngine",
}
FEATURES = {
    '`admissible_commands="templates"`': "action_templates",
    "`observe=`": "observe",
    "`snapshot()`, `restore()`": "snapshot",
    "`plan()`, from any state": "plan",
}


@pytest.mark.parametrize("feature", FEATURES)
def test_the_capability_matrix_is_true(feature):
    from act_gym.benchmarks import _load

    rows = [
        line.strip("|").split("|") for line in (DOCS / "capabilities.md").read_text().splitlines() if line[:1] == "|"
    ]
    head = [cell.strip() for cell in rows[0]]
    row = next([cell.strip() for cell in cells] for cells in rows if cells[0].strip() == feature)
    said = {engine: cell != "refused" for engine, cell in zip(head[1:], row[1:], strict=True)}
    assert said == {engine: hasattr(_load(path), FEATURES[feature]) for engine, path in ENGINES.items()}


def test_the_citation_names_this_version_and_the_pictures_load_nothing():
    import yaml

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["license"]) == (act_gym.__version__, "Apache-2.0")
    pictures = sorted((DOCS / "_static").glob("*.svg"))
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    for picture in pictures:
        assert f"docs/_static/{picture.name}" in shown
        assert not re.search(r"url\(['\"]?http|href=", picture.read_text(encoding="utf-8"))
        assert picture.stat().st_size < 40_000


def test_every_link_of_a_page_leads_somewhere():
    tops = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md")]
    for page in [*tops, DOCS / "llms.txt", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
