"""What an evaluation shows while it runs and when it is done: tables, a live view, plots, trackers."""
