"""Infrastructure of every stage: settings, run folder, checkpoints, processes and provenance of the data."""
