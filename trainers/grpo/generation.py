"""Generation backends of GRPO: transformers in the training process, vLLM in it (colocate), or a vLLM server.

Only settings: the sampling is TRL's. The versions of vLLM that fit are read from the installed TRL's own
requirements. It was never run with vLLM, which needs a GPU (docs/scale.md lists the tests without one).
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from act_gym.errors import MissingDependencyError, UsageError
from trainers.run import distributed
from trainers.run.config import GroupSettings, GroupStageConfig
from trainers.run.logging import note

__all__ = ["check", "config", "fitting_vllm"]


def fitting_vllm() -> SpecifierSet:
    """Return the versions of vLLM that the installed TRL works with; all, if it names none."""
    for line in requires("trl") or ():
        requirement = Requirement(line)
        if requirement.name == "vllm" and (
            requirement.marker is None or requirement.marker.evaluate({"extra": "vllm"})
        ):
            return requirement.specifier
    return SpecifierSet()


def check(settings: GroupSettings) -> None:
    """Check, before anything is loaded, whether the settings' vLLM can work.

    Args:
        settings: The stage's.

    Raises:
        MissingDependencyError: vLLM is not installed.
        UsageError: TRL does not work with the one that is, or the settings do not fit together.
    """
    if settings.vllm == "off":
        return
    if distributed.count() % settings.vllm_tensor_parallel:
        raise UsageError(
            f"--vllm-tensor-parallel {settings.vllm_tensor_parallel} does not divide {distributed.count()} processes."
        )
    address = urlsplit(settings.vllm_server)
    if settings.vllm == "server" and (address.scheme not in ("http", "https") or not address.hostname):
        raise UsageError(
            f"--vllm-server is {settings.vllm_server!r}; expected an address such as http://127.0.0.1:8000."
        )
    fitting = fitting_vllm()
    command = f"pip install 'vllm{fitting}'"
    try:
        found = Version(version("vllm"))
    except PackageNotFoundError:
        raise MissingDependencyError(
            f"--vllm {settings.vllm} needs the package vllm, which", command=f"{command}   (or --vllm off)"
        ) from None
    if Version(found.base_version) not in fitting:
        raise UsageError(
            f"vllm {found} is installed; TRL {version('trl')} works with vllm{fitting}. "
            f"Run: {command}   (or --vllm off)"
        )
    note(
        "note: vLLM writes the replies and keeps a cache of prompts of its own; "
        "this project's sampling from one prompt is not used."
    )


def config(settings: GroupStageConfig) -> dict[str, Any]:
    """Return the arguments of TRL's GRPOConfig that choose the generation backend."""
    common = {"ds3_gather_for_generation": settings.gather_for_generation}
    if settings.vllm == "off":
        return common
    longest = settings.max_prompt_tokens + settings.max_completion_tokens if settings.max_prompt_tokens else None
    if settings.vllm == "server":
        return {
            **common,
            "use_vllm": True,
            "vllm_mode": "server",
            "vllm_server_base_url": settings.vllm_server,
            "vllm_server_timeout": settings.vllm_timeout,
        }
    return {
        **common,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": settings.vllm_memory,
        "vllm_tensor_parallel_size": settings.vllm_tensor_parallel,
        "vllm_max_model_length": longest,
        "vllm_enable_sleep_mode": settings.vllm_sleep,
    }
