import json
from dataclasses import replace

import pytest

from act_gym import env_ids, tasks
from act_gym.benchmarks import BENCHMARKS, Benchmark
from act_gym.cli.list_envs import entries, main
from act_gym.paths import install_command


def test_every_environment_is_listed_with_its_number_of_tasks():
    found = {entry.id: entry for entry in entries()}
    assert tuple(found) == env_ids()
    assert found["act/ALFWorld-unseen"].tasks == 134
    assert found["act/ScienceWorld"].tasks == 7207
    assert found["act/ScienceWorld-unseen"].task_types == 6
    assert all(entry.tasks == len(tasks(entry.id)) for entry in found.values())


def test_json_holds_the_same_and_nothing_else_is_printed(capsys):
    assert main(["--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in listed] == list(env_ids())
    assert listed[0]["max_turns"] == 50


def test_a_pipe_gets_one_plain_line_for_each_environment(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(env_ids())
    assert all(line.count("\t") == 5 for line in lines)


def test_what_is_missing_is_a_command_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    original = BENCHMARKS["ALFWorld"]
    without = Benchmark(
        name=original.name,
        splits=original.splits,
        max_turns=original.max_turns,
        task_source=original.task_source,
        engines=original.engines,
        packages=("no_such_simulator",),
        data=original.data,
    )
    monkeypatch.setattr("act_gym.benchmarks.BENCHMARKS", {"ALFWorld": without})
    assert entries()[0].missing == (install_command("alfworld"), "act-gym download alfworld")
    (tmp_path / original.data).mkdir(parents=True)
    assert entries()[0].missing == (install_command("alfworld"),)


def test_generated_games_need_no_data_and_the_package_they_are_made_from(monkeypatch, tmp_path):
    monkeypatch.setenv("ACT_GYM_DATA", str(tmp_path))
    missing = {entry.id: entry.missing for entry in entries()}
    assert missing["act/ALFWorld-seen"] == ("act-gym download alfworld",)
    assert missing["act/ALFWorld-generated-seen"] == ()
    assert missing["act/WebShop-seen"] == ("act-gym download webshop",)
    without = replace(BENCHMARKS["ALFWorld"], generator_package="no_such_package")
    monkeypatch.setattr("act_gym.benchmarks.BENCHMARKS", {"ALFWorld": without})
    assert {entry.id: entry.missing for entry in entries()}["act/ALFWorld-generated-seen"] == (
        install_command("alfworld"),
    )


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_names_packages_that_its_simulator_really_needs(name):
    assert all(entry.missing[:1] != (install_command(name.lower()),) for entry in entries())
