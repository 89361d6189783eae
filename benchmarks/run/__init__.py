"""Run folder of an evaluation: schedule, episode store, manifest, loader."""
