"""The version of the whole project; `pyproject.toml` reads it from here."""

__version__ = "0.1.0"
