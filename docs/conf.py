"""Sphinx settings of the documentation site; `scripts/docs` builds it."""

import re
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from docutils.utils.math import latex2mathml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from act_gym.version import __version__  # noqa: E402

project = "act-gym"
copyright = "the act-gym authors"  # noqa: A001
release = version = __version__
repository = "https://github.com/act-gym/act-gym/blob/main/"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nitpicky = False
html_theme = "furo"
html_title = f"act-gym {release}"
html_static_path = ["_static"]
html_extra_path = ["llms.txt"]
html_math_renderer = "mathml"
html_theme_options = {
    "source_repository": "https://github.com/act-gym/act-gym/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"


ATTRIBUTES = ("attribute", "data", "property")
kept: dict[str, list[str]] = {}


def outside(app, docname, source):
    """Turn links to files outside `docs/` into addresses of the repository."""
    here = (Path(app.srcdir) / docname).parent

    def address(link):
        target, _, anchor = link[1].partition("#")
        path = (here / target).resolve()
        if (path.is_relative_to(app.srcdir) and path.suffix == ".md") or not path.is_relative_to(ROOT):
            return link[0]
        return f"]({repository}{path.relative_to(ROOT)}{'#' * bool(anchor)}{anchor})"

    source[0] = re.sub(r"\]\((?![a-z]+:|#)([^)\s]+)\)", address, source[0])


def literal(app, what, name, obj, options, lines):  # noqa: ARG001  (Sphinx's names)
    """Read `code` in a docstring as reStructuredText reads ``code``."""

    def double(found):
        return f"``{' '.join(found[1].split())}``" + (f"\\ {found[2]}" if found[2] else "")

    text = re.sub(r"(?<![`:])`([^`]+)`(?!`)(\w?)", double, "\n".join(lines))
    lines[:] = text.split("\n")
    if what in ATTRIBUTES:  # napoleon would take the words before a colon for its type
        kept[name] = lines[:]
        lines[:] = ["kept"]


def restore(app, what, name, obj, options, lines):  # noqa: ARG001
    """Put an attribute's text back."""
    if what in ATTRIBUTES:
        lines[:] = kept.pop(name)


def page_of(script):
    """Return a percent-format script as Markdown: its prose, and its code as blocks."""
    parts = []
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if "[markdown]" in kind:
            parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines()))
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def write_tutorials(app):
    """Write a page for each script of `examples/` that is a notebook, with the output that it had once."""
    folder = Path(app.srcdir) / "tutorials"
    folder.mkdir(exist_ok=True)
    for path in sorted((ROOT / "examples").glob("*.py")):
        script = path.read_text(encoding="utf-8")
        if not script.startswith("# %%"):
            continue
        output = path.with_suffix(".txt")
        shown = f"\n## Output\n\n```text\n{output.read_text(encoding='utf-8')}```\n" if output.exists() else ""
        text = page_of(script) + shown + f"\nThe script: [{path.name}]({repository}examples/{path.name})\n"
        page = folder / f"{path.stem}.md"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def mathml(display):
    """Return a visitor that writes a formula as MathML, which browsers show without a script."""

    def visit(writer, node):
        writer.body.append(latex2mathml.tex2mathml(node.astext(), as_block=display))
        raise SkipNode

    return visit


def setup(app):
    """Add the hooks above to Sphinx."""
    app.add_html_math_renderer("mathml", (mathml(False), None), (mathml(True), None))
    app.connect("builder-inited", write_tutorials)
    app.connect("source-read", outside)
    app.connect("autodoc-process-docstring", literal, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", restore, priority=600)
