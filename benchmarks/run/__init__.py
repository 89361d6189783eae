"""The folder of an evaluation: what is to be played, by whom, what has been, and what it was made with."""
