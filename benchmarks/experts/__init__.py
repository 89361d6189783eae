"""How good the experts are: whether they solve a task from any state, how shortly, and how fast."""
