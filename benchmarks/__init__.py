"""Evaluation: programs that measure agents and models, with an interval for every number.

`evaluate` plays whole tasks, `judge` asks which of two actions is better, `next_action` asks for
the expert's action, and `report` joins any of their run folders into one page. `stats` has intervals and
tests, `run` keeps an evaluation's folder, `probes`, `reporting` and `html_report` ask and show; `paper`, `parity`
and `speed` compare us with the paper and the originals.
"""
