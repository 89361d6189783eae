"""Run a command in an 80-column terminal and save its output as an SVG, for the pages.

.venv/bin/python scripts/terminal_picture.py docs/_static/terminal.svg act-gym eval --suite … --agent random
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text


def recorded(words: list[str]) -> str:
    """Return a command's standard output in a terminal of 80 columns."""
    reader, writer = pty.openpty()
    env = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    with subprocess.Popen(words, stdout=writer, stderr=subprocess.DEVNULL, env=env) as running:
        os.close(writer)
        chunks = []
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while chunk := os.read(reader, 4096):
                chunks.append(chunk)
        running.wait()
    return b"".join(chunks).decode()


def picture(command: str, output: str) -> str:
    """Return an SVG without outside fonts."""
    text = output.replace("\r\n", "\n").strip("\n")
    console = Console(width=84, record=True, file=StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "green"), command))
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title="act-gym")
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


if __name__ == "__main__":
    target, *words = sys.argv[1:]
    own = [sys.executable, "-m", "act_gym", *words[1:]] if words[0] == "act-gym" else words
    Path(target).write_text(picture(shlex.join(words), recorded(own)), encoding="utf-8")
