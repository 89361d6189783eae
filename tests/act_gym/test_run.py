import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from act_gym.errors import RunError
from act_gym.records import read_records
from act_gym.run import Run, sha256_of


@dataclass(frozen=True)
class Arguments:
    steps: int = 3
    rate: float = 0.1
    names: tuple[str, ...] = ("a", "b")
    out: Path = Path("somewhere")
    resume: bool = False


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text("{}\n")
    return path


def test_a_run_folder_says_what_was_run_with_what_on_what(tmp_path, data):
    run = Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[data])
    config = json.loads(run.path("config.json").read_text())
    assert config == {"steps": 3, "rate": 0.1, "names": ["a", "b"], "out": "somewhere", "resume": False}
    manifest = json.loads(run.path("manifest.json").read_text())
    assert manifest["program"] == "trainers.act"
    assert manifest["inputs"] == {str(data): hashlib.sha256(b"{}\n").hexdigest()}
    assert {"act-gym", "gymnasium"} <= set(manifest["versions"])
    assert {"platform", "python", "cpus"} == set(manifest["machine"])


def test_measurements_are_appended_one_a_line(tmp_path):
    folder = tmp_path / "run"
    Run(folder, "trainers.act", Arguments()).log(step=1, loss=0.5)
    Run(folder, "trainers.act", Arguments(), resume=True).log(step=2, loss=0.25)
    rows = list(read_records(folder / "metrics.jsonl"))
    assert [(row["step"], row["loss"]) for row in rows] == [(1, 0.5), (2, 0.25)]
    assert rows[0]["time"] <= rows[1]["time"]


def test_a_folder_in_use_is_not_taken_over_without_resume(tmp_path):
    Run(tmp_path / "run", "trainers.act", Arguments())
    with pytest.raises(RunError, match="--resume"):
        Run(tmp_path / "run", "trainers.act", Arguments())


def test_how_a_run_is_carried_out_may_change_on_resume(tmp_path, data):
    Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[data])
    manifest = (tmp_path / "run" / "manifest.json").read_bytes()
    again = replace(Arguments(), resume=True, out=Path("elsewhere"))
    Run(tmp_path / "run", "trainers.act", again, inputs=[data], resume=True)
    assert (tmp_path / "run" / "manifest.json").read_bytes() == manifest


def test_what_a_run_computes_may_not_change_on_resume(tmp_path, data):
    Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[data])
    with pytest.raises(RunError, match=r"(?s)rate: 0\.1 then, 0\.2 now.*steps: 3 then, 4 now"):
        Run(tmp_path / "run", "trainers.act", Arguments(steps=4, rate=0.2), inputs=[data], resume=True)
    with pytest.raises(RunError, match=r"program: 'trainers\.act' then, 'trainers\.rl' now"):
        Run(tmp_path / "run", "trainers.rl", Arguments(), inputs=[data], resume=True)
    data.write_text('{"changed": 1}\n')
    with pytest.raises(RunError, match="inputs: "):
        Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[data], resume=True)


def test_a_damaged_run_folder_is_named(tmp_path):
    Run(tmp_path / "run", "trainers.act", Arguments())
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(RunError, match="not a readable run folder"):
        Run(tmp_path / "run", "trainers.act", Arguments(), resume=True)


def test_an_input_that_is_not_there_is_named_and_makes_no_folder(tmp_path):
    with pytest.raises(RunError, match=r"Cannot read .*absent\.jsonl: No such file"):
        Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[tmp_path / "absent.jsonl"])
    assert not (tmp_path / "run").exists()


def test_a_checksum_is_the_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"abc")
    # The example of FIPS 180-2, appendix B.1.
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
