"""The doctor, by breaking what it looks at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from act_gym.cli.doctor import Finding, findings, main
from act_gym.engines.webshop.catalogue import open_shop, shops_folder
from act_gym.paths import install_command


def find(subject: str) -> Finding:
    return next(finding for finding in findings() if finding.subject.startswith(subject))


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_java_that_is_none_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("Java").state == "ok"
    monkeypatch.setenv("ACT_GYM_JAVA", shutil.which("true") or "")
    assert find("Java").state == "broken"
    assert "unset it" in find("Java").says


@pytest.mark.parametrize(
    ("wanted", "state", "says"),
    [
        (["numpy>=2.0"], "ok", "numpy 2"),
        (["numpy>=99"], "broken", "expected >=99"),
        (["no-such-package"], "broken", "no-such-package is missing"),
    ],
)
def test_versions_are_compared_with_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, wanted: list[str], state: str, says: str
) -> None:
    monkeypatch.setattr("act_gym.cli.doctor.requires", lambda _: wanted)
    found = find("packages of act-gym")
    assert (found.state, says in found.says) == (state, True)


def test_an_extra_that_is_not_installed_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("act_gym.cli.doctor.requires", lambda _: ['no-such-package>=1; extra == "local"'])
    found = find("packages of act-gym[local]")
    assert found == Finding(
        found.subject, "absent", "no-such-package is missing", f"{install_command('local')} --upgrade"
    )


def test_a_cache_folder_that_cannot_be_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path / "file" / "data"))
    found = find("cache folder")
    assert found.state == "broken"
    assert "ACT_GYM_DATA" in found.cure


def test_missing_games_are_counted(data: Path) -> None:
    (data / "alfworld" / "json_2.1.1").mkdir(parents=True)
    found = find("ALFWorld's games")
    assert (found.state, found.cure) == ("broken", "act-gym download alfworld")
    assert "0 of 3,553 train" in found.says


def test_a_changed_catalogue_is_broken(data: Path) -> None:
    place = shops_folder() / "1000"
    shutil.copytree(open_shop("generated-50").folder, place)
    assert find("WebShop's catalogue 1000").state == "ok"
    largest = max((path for path in place.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(content)
    found = find("WebShop's catalogue 1000")
    assert found.state == "broken"
    assert largest.name in found.says
    assert found.cure == "act-gym download webshop --catalogue 1000 --force"


@pytest.mark.slow
def test_a_driver_without_a_torch_for_it_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.parent.mkdir()
    driver.write_text("#!/bin/sh\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{driver.parent}{os.pathsep}{os.environ['PATH']}")
    assert find("GPU").state == "broken"


def test_a_fresh_machine_is_told_what_to_run_and_nothing_is_broken(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json"]) == 0
    found = {entry["subject"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert found["act/ALFWorld"]["cure"] == "act-gym download alfworld"
    assert found["act/WebShop"]["cure"].startswith("act-gym download webshop")
    assert found["act/ScienceWorld"]["says"] == "plays scienceworld/boil/0"


def test_few_open_files_are_broken_and_the_exit_status_says_so(tmp_path: Path) -> None:
    answer = subprocess.run(
        ["bash", "-c", f"ulimit -n 200; exec {sys.executable} -m act_gym.cli.doctor"],
        env={**os.environ, "ACT_GYM_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "BROKEN  open files: 200 at once; many workers need more\n        → ulimit -n 1024\n" in answer.stdout
