"""What every stage stands on: its settings, run folder, checkpoints, processes and where its data came from."""
