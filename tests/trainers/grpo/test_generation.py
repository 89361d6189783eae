"""What writes the replies, as far as it can be tested without vLLM."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from packaging.version import Version

from act_gym.config import check_bounds
from act_gym.errors import MissingDependencyError, UsageError
from trainers.act import ActConfig, train
from trainers.grpo import generation
from trainers.run.logging import quiet


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, first on the path; what is put there counts as installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(folder: Path, version: str) -> None:
    info = folder / f"vllm-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")


def test_the_range_that_fits_is_trls_own() -> None:
    fitting = generation.fitting_vllm()
    assert len(fitting) == 2
    assert Version("0.0.1") not in fitting
    assert str(fitting).replace("vllm", "") in " ".join(
        line.replace(" ", "") for line in importlib.metadata.requires("trl") or () if line.startswith("vllm")
    )


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_without_vllm_the_error_names_the_command_that_installs_it(
    mode: str, pairs_file: Path, tiny_model: Path, tmp_path: Path
) -> None:
    arguments = ActConfig(pairs=pairs_file, model=str(tiny_model), out=tmp_path / "run", vllm=mode)  # type: ignore[arg-type]
    with pytest.raises(MissingDependencyError, match=r"not installed\. Run: pip install 'vllm<=.*,>=.*'"):
        train(arguments)
    assert not arguments.out.exists()


def test_a_version_that_does_not_fit_is_refused_with_the_range(installed: Path) -> None:
    install(installed, "0.6.3")
    with pytest.raises(UsageError, match=r"vllm 0\.6\.3 is installed; TRL .* works with vllm<=.* Run: pip install"):
        generation.check(ActConfig(vllm="colocate"))


def test_a_version_that_fits_may_have_a_builds_name_and_is_said_to_share_no_prompts(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upper = next(each.version for each in generation.fitting_vllm() if each.operator == "<=")
    install(installed, f"{upper}+cu129")
    generation.check(ActConfig(vllm="colocate"))
    assert "sampling from one prompt is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vllm": "colocate", "vllm_memory": 1.5}, "--vllm-memory is 1.5"),
        ({"vllm": "colocate", "vllm_tensor_parallel": 0}, "--vllm-tensor-parallel is 0"),
        ({"vllm": "colocate", "vllm_tensor_parallel": 2}, "does not divide 1 processes"),
        ({"vllm": "server", "vllm_server": "127.0.0.1:8000"}, "expected an address such as http://"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked(ActConfig(**settings))  # type: ignore[arg-type]


def checked(settings: ActConfig) -> None:
    check_bounds(settings)
    generation.check(settings)


@pytest.mark.parametrize("mode", ["off", "colocate", "server"])
def test_trl_takes_what_the_settings_come_to(mode: str, tmp_path: Path) -> None:
    quiet()
    from trl import GRPOConfig

    given = generation.config(ActConfig(vllm=mode, vllm_server="http://10.0.0.2:9000"))  # type: ignore[arg-type]
    config = GRPOConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True, report_to="none", **given)
    assert config.use_vllm == (mode != "off")
    assert config.vllm_mode == ("server" if mode == "server" else "colocate")
    if mode == "server":
        assert config.vllm_server_base_url == "http://10.0.0.2:9000"
    if mode == "colocate":
        assert config.vllm_max_model_length == 2048 + 24
        assert config.vllm_gpu_memory_utilization == 0.3
