import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_gym.errors import RunError
from act_gym.io.jsonl import RecordWriter, read_records, write_json

# A lone surrogate is legal in a Python string and not in UTF-8: a model's reply may hold one.
texts = st.text(max_size=30) | st.just("\ud800") | st.just("line\u2028break\x85\r\n")
records = st.lists(st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=4), max_size=6)


def written(path, rows):
    with RecordWriter(path) as writer:
        for row in rows:
            writer.write(row)


@given(rows=records)
def test_records_come_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "new" / "rows.jsonl"
    written(path, rows)
    assert list(read_records(path)) == rows


@given(data=st.data())
def test_a_file_torn_at_any_byte_keeps_its_whole_lines_and_can_be_continued(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    rows = data.draw(records)
    written(path, rows)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    whole = rows[: content[:cut].count(b"\n")]
    assert list(read_records(path)) == whole
    written(path, [{"next": 1}])
    assert list(read_records(path)) == [*whole, {"next": 1}]


def test_a_torn_line_longer_than_one_block_is_cut_off(tmp_path):
    path = tmp_path / "rows.jsonl"
    written(path, [{"n": 0}])
    with path.open("ab") as file:
        file.write(b'{"n": "' + b"x" * 200_000)
    written(path, [{"n": 1}])
    assert list(read_records(path)) == [{"n": 0}, {"n": 1}]


def test_a_writer_killed_at_work_loses_nothing_that_was_finished(tmp_path):
    path = tmp_path / "rows.jsonl"
    program = (
        "import sys; from pathlib import Path; from act_gym.io.jsonl import RecordWriter\n"
        "writer = RecordWriter(Path(sys.argv[1])); n = 0\n"
        "while True: writer.write({'n': n, 'text': 'x' * 5000}); print(n, flush=True); n += 1"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 30:
                break
        time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.read()
    numbers = [record["n"] for record in read_records(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 30
    written(path, [{"n": len(numbers)}])
    assert [record["n"] for record in read_records(path)] == list(range(len(numbers) + 1))


def test_a_number_that_json_does_not_know_is_refused_and_leaves_the_file_whole(tmp_path):
    path = tmp_path / "rows.jsonl"
    with RecordWriter(path) as writer:
        writer.write({"loss": 1.0})
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.write({"loss": float("nan")})
        writer.write({"loss": 2.0})
    assert list(read_records(path)) == [{"loss": 1.0}, {"loss": 2.0}]


def test_a_line_that_does_not_fit_the_disk_leaves_the_file_whole(tmp_path, small_disk):
    path = tmp_path / "rows.jsonl"
    with small_disk(10_000), RecordWriter(path) as writer:
        writer.write({"text": "x" * 6_000})
        with pytest.raises(OSError, match="File too large"):
            writer.write({"text": "y" * 6_000})
        writer.write({"text": "z"})
    assert [record["text"][0] for record in read_records(path)] == ["x", "z"]


def test_a_json_file_that_does_not_fit_the_disk_leaves_the_old_one(tmp_path, small_disk):
    path = tmp_path / "config.json"
    write_json(path, {"a": 1})
    with small_disk(10_000), pytest.raises(OSError, match="File too large"):
        write_json(path, {"a": "x" * 20_000})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RunError, match=r"nothing\.jsonl: No such file"):
        list(read_records(tmp_path / "nothing.jsonl"))


@pytest.mark.parametrize(("line", "complaint"), [(b"{oops}\n", "is not JSON"), (b"[1]\n", "is not a JSON object")])
def test_a_bad_line_is_named_with_its_number(tmp_path, line, complaint):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"n": 0}\n' + line + b'{"n": 2}\n')
    with pytest.raises(RunError, match=f"line 2, {complaint}"):
        list(read_records(path))


def test_a_json_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "new" / "config.json"
    write_json(path, {"a": "\ud800é"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("inf")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": "\ud800é"}
    assert [file.name for file in path.parent.iterdir()] == ["config.json"]
