"""Imports only go down: benchmarks, trainers, agents, act_gym; and no module imports itself in a circle."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from act_gym.cli import COMMANDS, TRAINERS

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "act_gym": {"act_gym"},
    "agents": {"act_gym", "agents"},
    "trainers": {"act_gym", "agents", "trainers"},
    "benchmarks": {"act_gym", "agents", "benchmarks", "trainers"},
}
MODELS = {"accelerate", "datasets", "deepspeed", "peft", "safetensors", "tokenizers", "torch", "transformers", "trl"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for layer in MAY_IMPORT for path in sorted((ROOT / layer).rglob("*.py"))}


def imports_of(path: Path, *, lazy: bool = True) -> set[str]:
    """Names of modules a file imports; without `lazy`, only those imported when it is."""
    found = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else str(node.module) for name in names}
        if lazy or not runs_later(node):
            waiting.extend(ast.iter_child_nodes(node))
    return found


def runs_later(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name):
    layer = name.partition(".")[0]
    ours = {imported.partition(".")[0] for imported in imports_of(MODULES[name])} & MAY_IMPORT.keys()
    assert ours <= MAY_IMPORT[layer]


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("act_gym")])
def test_the_library_never_imports_a_model(name):
    assert not {imported.partition(".")[0] for imported in imports_of(MODULES[name])} & MODELS


def test_no_module_imports_itself_in_a_circle():
    graph = {name: imports_of(path, lazy=False) & MODULES.keys() - {name} for name, path in MODULES.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_importing_the_library_loads_gymnasium_and_numpy_and_nothing_else():
    program = (
        "import sys, gymnasium, numpy\n"
        "before = set(sys.modules)\n"
        "import act_gym, act_gym.cli.list_envs, act_gym.cli\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["act_gym"]


def test_the_help_of_a_command_waits_for_no_model():
    modules = sorted({module for module, _ in [*COMMANDS.values(), *TRAINERS.values()]})
    program = f"""
import sys
from importlib import import_module
for module in {modules}:
    import_module(module)
    if found := {MODELS} & sys.modules.keys():
        sys.exit(f"{{module}} imports {{found}}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""


def test_the_scan_sees_what_it_looks_for(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import torch.nn\ndef later():\n    from trainers import act\n", encoding="utf-8")
    assert imports_of(path, lazy=False) == {"torch.nn"}
    assert imports_of(path) >= {"torch.nn"}
    assert any(name.startswith("trainers") for name in imports_of(path))
