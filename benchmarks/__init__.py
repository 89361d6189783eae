"""Evaluation: programs that measure agents and models, with an interval for every number.

`evaluate` plays whole tasks, `judge` asks which of two actions is better, `next_action` asks for
the expert's action, and `report` joins any of their run folders into one page. `statistics` puts the
intervals on, `runs` keeps an evaluation's folder, `asking`, `shown` and `pages` ask and show; `paper`,
`parity`, `experts` and `speed` hold us against the paper, the originals and the clock.
"""
