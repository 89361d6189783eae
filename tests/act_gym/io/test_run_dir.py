import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from act_gym.errors import RunError, UsageError
from act_gym.io.jsonl import read_records
from act_gym.io.run_dir import Run, sha256_of


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
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    again = replace(Arguments(), resume=True, out=Path("elsewhere"))
    Run(tmp_path / "run", "trainers.act", again, inputs=[data], resume=True)
    after = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (start,) = after.pop("resumed")
    assert after == manifest
    assert start["git"] == manifest["git"]
    assert start["started"] >= manifest["started"]


def test_what_a_run_computes_may_not_change_on_resume(tmp_path, data):
    Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[data])
    with pytest.raises(RunError, match=r"(?m)^  setting  then  now\n  rate     0\.1   0\.2\n  steps    3     4$"):
        Run(tmp_path / "run", "trainers.act", Arguments(steps=4, rate=0.2), inputs=[data], resume=True)
    with pytest.raises(RunError, match=r'program +"trainers\.act" +"trainers\.rl"'):
        Run(tmp_path / "run", "trainers.rl", Arguments(), inputs=[data], resume=True)
    data.write_text('{"changed": 1}\n')
    with pytest.raises(RunError, match=r"inputs\..*data\.jsonl"):
        Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[data], resume=True)


def test_a_fact_stands_in_the_manifest_and_may_not_change_on_resume(tmp_path):
    folder = tmp_path / "run"
    Run(folder, "benchmarks.evaluate", Arguments(), facts={"agent": {"weights": "1f", "window": (3, 4)}})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["agent"] == {"weights": "1f", "window": [3, 4]}
    same = {"agent": {"weights": "1f", "window": (3, 4)}}
    Run(folder, "benchmarks.evaluate", Arguments(), facts=same, resume=True)
    with pytest.raises(RunError, match=r'(?m)^  agent\.weights  "1f"  "2e"$'):
        Run(
            folder, "benchmarks.evaluate", Arguments(), facts={"agent": {**same["agent"], "weights": "2e"}}, resume=True
        )


@pytest.mark.parametrize("word", ["api_key=sk-1", "token=sk-1", "HF_TOKEN=sk-1", "client-secret=sk-1"])
def test_a_secret_among_the_arguments_is_refused_before_anything_is_written(tmp_path, word):
    with pytest.raises(UsageError, match="by the environment") as caught:
        Run(tmp_path / "run", "benchmarks.evaluate", Arguments(names=("max_new_tokens=3", word)))
    assert "sk-1" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_address_with_a_password_is_refused(tmp_path):
    with pytest.raises(UsageError, match="password") as caught:
        Run(tmp_path / "run", "benchmarks.evaluate", Arguments(names=("base_url=http://me:sk-1@host:80/v1",)))
    assert "sk-1" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    Run(tmp_path / "run", "benchmarks.evaluate", Arguments(names=("base_url=http://host:80/v1", "a@b:c")))


def test_a_damaged_run_folder_is_named(tmp_path):
    Run(tmp_path / "run", "trainers.act", Arguments())
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(RunError, match="not a readable run folder"):
        Run(tmp_path / "run", "trainers.act", Arguments(), resume=True)


def test_an_input_that_is_not_there_is_named_and_makes_no_folder(tmp_path):
    with pytest.raises(RunError, match=r"Cannot read .*absent\.jsonl: No such file.*act-gym train pairs"):
        Run(tmp_path / "run", "trainers.act", Arguments(), inputs=[tmp_path / "absent.jsonl"])
    assert not (tmp_path / "run").exists()


def test_a_checksum_is_the_sha256_of_the_bytes(tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"abc")
    # The example of FIPS 180-2, appendix B.1.
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
