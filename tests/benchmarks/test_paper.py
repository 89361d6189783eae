"""The paper's tables: which jobs a table is made of, what they share, and how it is shown."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from statistics import pstdev

import pytest
import yaml

from act_gym.errors import RunError, UnknownNameError
from benchmarks.paper.jobs import Job, JobRunner, JobStore, command, digest_of, working_in
from benchmarks.paper.program import main
from benchmarks.paper.protocol import Cell, Protocol
from benchmarks.paper.rows import COLUMNS, ROWS, Row, columns_of, published, rows_of
from benchmarks.paper.table import Table

PROTOCOL = Protocol(version="v2", model="tiny", judge=8)


def plan(root: Path, protocol: Protocol, names: list[str], seeds: int = 1, *, digest: str = "1") -> list[Cell]:
    workshop = JobStore(root / "jobs", lambda place: f"{digest} {place}")
    columns = columns_of(protocol.version, ["alfworld"], judge=protocol.judge > 0)
    rows = rows_of(protocol.version, names)
    return [cell for seed in range(seeds) for row in rows for cell in protocol.cells(workshop, row, columns, seed)]


def names_of(cells: list[Cell], kind: str = "") -> list[str]:
    """Return the keys of all jobs, each once, in order."""
    jobs = {job.folder.name: None for cell in cells for job in cell.job.everything()}
    return [name for name in jobs if name.startswith(kind)]


def test_rows_share_what_they_have_in_common(tmp_path):
    cells = plan(tmp_path, PROTOCOL, ["il", "il-il", "il-rl", "il-rl-rl", "act-il", "act-il-rl"])
    counts = {kind: len(names_of(cells, f"{kind}-")) for kind in ("collect", "pairs", "act", "imitation", "rl", "eval")}
    # Imitation: of the untouched model, again after it, and after ACT. RL: after IL, again, and after ACT→IL.
    assert counts == {"collect": 2, "pairs": 1, "act": 1, "imitation": 3, "rl": 3, "eval": 6}


def test_seeds_share_the_data_and_nothing_that_is_trained(tmp_path):
    one, three = plan(tmp_path, PROTOCOL, ["act-il"]), plan(tmp_path, PROTOCOL, ["act-il"], seeds=3)
    for kind in ("collect-", "pairs-", "held-out-"):
        assert names_of(three, kind) == names_of(one, kind)
    assert len(names_of(three, "act-")) == len(names_of(three, "imitation-")) == 3


def test_the_warm_up_stands_before_every_row_alike_and_is_run_once(tmp_path):
    cells = plan(tmp_path, replace(PROTOCOL, warmup=True), ["prompt", "il", "act-il"])
    assert len(names_of(cells, "warmup-")) == 1
    asked = {cell.row.name: str(cell.job.settings["model"]) for cell in cells}
    assert "warmup-" in asked["prompt"]
    without = plan(tmp_path, PROTOCOL, ["prompt"])
    assert without[0].job.settings["model"] == "tiny"


def test_keys_follow_content_and_not_places_or_ways_of_running(tmp_path):
    names = names_of(plan(tmp_path / "a", PROTOCOL, ["act-il"]))
    assert names_of(plan(tmp_path / "b", PROTOCOL, ["act-il"])) == names
    faster = tmp_path / "faster.yaml"
    faster.write_text("collect: {workers: 7}\n")
    assert names_of(plan(tmp_path / "a", replace(PROTOCOL, layers=(faster,)), ["act-il"])) == names
    other = names_of(plan(tmp_path / "a", PROTOCOL, ["act-il"], digest="2"))
    # The expert plays alike whatever the model's weights are.
    assert [name for name in other if name in names] == [name for name in names if name.startswith("collect-")]


def test_a_setting_changes_its_stage_and_what_stands_on_it_alone(tmp_path):
    slower = tmp_path / "slower.yaml"
    slower.write_text("imitation: {learning_rate: 1.0e-6}\n")
    before = plan(tmp_path, PROTOCOL, ["act-il"])
    after = plan(tmp_path, replace(PROTOCOL, layers=(slower,)), ["act-il"])
    changed = {name.partition("-")[0] for name in set(names_of(after)) - set(names_of(before))}
    assert changed == {"imitation", "eval", "judge"}


def test_a_layer_cannot_change_which_stages_a_row_has(tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text("stages: [rl]\n")
    cells = plan(tmp_path, replace(PROTOCOL, layers=(layer,)), ["il"])
    assert names_of(cells, "rl-") == []
    assert len(names_of(cells, "imitation-")) == 1


def test_models_are_asked_as_their_last_stage_was_trained(tmp_path):
    def options(name: str) -> str:
        return " ".join(plan(tmp_path, PROTOCOL, [name])[0].job.settings["agent_options"])

    for name in ("prompt-reasoning", "act", "il-rl", "early-experience-reflection"):
        assert "thinking=true max_new_tokens=1024" in options(name), name
    for name in ("prompt", "il", "act-il", "early-experience-world"):
        assert "thinking" not in options(name), name


def test_a_row_is_played_on_the_whole_suites_and_states_are_shown_as_in_training(tmp_path):
    layer = tmp_path / "layer.yaml"
    layer.write_text("pairs: {window: 1, max_characters: 500}\n")
    job = plan(tmp_path, replace(PROTOCOL, layers=(layer,)), ["il"])[0].job
    assert job.settings["suite"] == ["alfworld-seen-140", "alfworld-unseen-134"]
    assert {"window=1", "max_characters=500", "temperature=0.4"} <= set(job.settings["agent_options"])
    cut = plan(tmp_path, replace(PROTOCOL, limit=4), ["il"])[0].job
    assert (cut.settings["limit"], cut.settings["env"]) == (4, ["act/ALFWorld-seen", "act/ALFWorld-unseen"])


def test_another_models_pairs_take_the_place_of_ones_own(tmp_path):
    cells = plan(tmp_path, replace(PROTOCOL, reused={"alfworld": tmp_path / "theirs"}), ["act-il"])
    act = next(job for cell in cells for job in cell.job.everything() if job.name == "act")
    assert act.settings["pairs"] == str(tmp_path / "theirs" / "pairs.jsonl")
    assert names_of(cells, "pairs-") == []


def test_version_one_asks_for_the_next_action_and_version_two_for_the_score():
    last = {version: columns[-1] for version, columns in COLUMNS.items()}
    assert (last["v1"].kind, last["v1"].name) == ("next_action", "accuracy")
    assert (last["v2"].kind, last["v2"].name) == ("episodes", "score")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_published_numbers_belong_to_rows_and_fill_their_columns(version):
    names = {row.name for row in ROWS[version]}
    for model in ("Qwen3-8B", "Qwen3-4B", "models/Olmo-3-7B-Instruct", "smollm2"):
        whose, numbers = published(version, model)
        assert whose.lower() in model.lower() or whose == "Qwen3-8B"
        assert set(numbers) <= names
        assert {len(cells) for cells in numbers.values()} == {4}
        assert all(0 <= cell[0] <= 100 for cells in numbers.values() for cell in cells if cell)
    missing = names - set(published(version, "Qwen3-8B")[1])
    assert missing == ({"early-experience-world"} if version == "v2" else set())


def test_every_row_that_is_run_has_a_recipe_and_an_unknown_one_is_named_with_the_nearest():
    for version, rows in ROWS.items():
        assert all(row.recipe(version).exists() for row in rows if not row.published_only)
    with pytest.raises(UnknownNameError, match="Did you mean act-il"):
        rows_of("v2", ["act-ill"])


ROW, COLUMN = Row("il", "IL <b>"), COLUMNS["v2"][0]


def table(values: dict[int, float], seeds: int = 3) -> Table:
    return Table(
        title="A & B",
        rows=[ROW, Row("sand", "SAND", published_only=True)],
        columns=[COLUMN],
        values={("il", COLUMN): values},
        seeds=seeds,
        published={"il": [[85.71, 0.58]], "sand": [[85.71]]},
        source="published",
        notes=["<script>alert(1)</script>"],
    )


def test_a_cell_is_the_mean_over_seeds_with_the_population_deviation():
    values = {0: 0.5, 1: 0.6, 2: 0.8}
    assert table(values).ours(ROW, COLUMN) == f"63.33 ± {pstdev([50, 60, 80]):.2f}"
    assert table({0: 0.5}).ours(ROW, COLUMN) == "50.00 (1 of 3)"
    assert table({0: 0.5}, seeds=1).ours(ROW, COLUMN) == "50.00"
    assert table({}).ours(ROW, COLUMN) == ""


def test_every_form_of_the_table_holds_the_same_numbers(capsys):
    shown = table({0: 0.5, 1: 0.6})
    assert "| IL <b> | 55.00 ± 5.00 (2 of 3) / 85.71 ± 0.58 |\n| SAND | / 85.71 |" in shown.markdown()
    lines = list(csv.DictReader(io.StringIO(shown.csv())))
    assert (lines[0]["mean"], lines[0]["std"], lines[0]["values"]) == ("55.0000", "5.0000", "50.0000 60.0000")
    assert (lines[1]["mean"], lines[1]["published_mean"]) == ("", "85.71")
    shown.print()
    assert "85.71 ± 0.58" in capsys.readouterr().out


def test_a_digest_follows_what_a_file_holds_and_is_remembered(tmp_path):
    file, remembered = tmp_path / "pairs.jsonl", {}
    file.write_text("one")
    first = digest_of(str(file), remembered)
    assert len(remembered) == 1
    file.write_text("three")
    assert digest_of(str(file), remembered) != first
    assert digest_of("nobody/knows", remembered) == "nobody/knows"


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    with working_in(tmp_path), pytest.raises(RunError, match="is locked by another"), working_in(tmp_path):
        pass
    with working_in(tmp_path):
        pass


def job(folder: Path, name: str, settings: dict, *needs: Job, module: str = "trainers.collect") -> Job:
    return Job(name, module, settings, folder / name, needs)


def test_a_job_that_fails_stops_what_stands_on_it_and_nothing_else(tmp_path, capsys):
    bad = job(tmp_path, "bad", {"env": ["act/Nowhere"]})
    above = job(tmp_path, "above", {"env": ["act/Nowhere"]}, bad)
    refused = job(tmp_path, "refused", {}, module="benchmarks.judge")
    good = job(tmp_path, "good", {"env": ["act/ALFWorld-generated-train"], "limit": 1})
    with working_in(tmp_path) as lock:
        worker = JobRunner(lock)
        assert [worker.do(each) for each in (above, refused, good)] == [False, False, True]
    assert "No environment act/Nowhere" in worker.failed[above.folder]
    assert "exit status 2" in worker.failed[refused.folder]
    assert good.done
    assert not above.folder.exists()
    assert capsys.readouterr().out == "", "stdout is for the table"


def test_checkpoints_are_discarded_when_nothing_needs_them_and_made_again_when_something_does(tmp_path):
    model = job(tmp_path, "model", {"learning_rate": 1e-5, "stages": []}, module="trainers.imitation")
    first, second = job(tmp_path, "first", {}, model), job(tmp_path, "second", {"env": ["act/Nowhere"]}, model)
    for done in (model, first):
        (done.folder / "checkpoint").mkdir(parents=True)
        done.marker.write_text("{}")
    with working_in(tmp_path) as lock:
        worker = JobRunner(lock)
        worker.discard([model, first, second])
        assert not model.discarded, "the second still needs it"
        worker.discard([model, first])
        assert model.discarded
        assert worker.do(first), "what is done stays done"
        assert not worker.do(second)
    # It was tried again, and its settings are no imitation's.
    assert "stages" in worker.failed[model.folder]


def test_a_job_can_be_run_by_hand_and_training_behind_a_launch_command(tmp_path):
    made = job(tmp_path, "imitation", {"learning_rate": 1e-5}, module="trainers.imitation")
    words = command(made, "accelerate launch --config_file 'my zero3.yaml'")
    assert words[:6] == ["accelerate", "launch", "--config_file", "my zero3.yaml", "-m", "trainers.imitation"]
    assert command(job(tmp_path, "collect", {}), "accelerate launch")[:3] == ["act-gym", "train", "collect"]


def test_the_plan_of_a_whole_table_is_printed_and_nothing_is_written(tmp_path, capsys):
    argv = ["--dry-run", "--judge", "0", "--benchmarks", "webshop", "--seeds", "2"]
    assert main([*argv, "--out", str(tmp_path / "paper")]) == 0
    output = capsys.readouterr().out
    # Data: 2. Each seed: 2 ACT, choice, DPO, 2 experiences, reflection, world; 7 IL and 6 RL, each after what it stands
    # on; 14 evaluations.
    assert output.startswith("72 jobs, 0 of them done, for 28 cells")
    assert output.count("to do") == 72
    assert not (tmp_path / "paper").exists()


def test_what_a_job_is_asked_fits_its_program(tmp_path):
    from act_gym.config import from_recipes
    from benchmarks.evaluate import EvalConfig

    made = plan(tmp_path, PROTOCOL, ["il"])[0].job
    recipe = tmp_path / "job.yaml"
    recipe.write_text(yaml.safe_dump(dict(made.settings)))
    assert from_recipes(EvalConfig, [recipe]).suite == ("alfworld-seen-140", "alfworld-unseen-134")
