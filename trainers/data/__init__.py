"""Training data: expert steps and action pairs become questions, and replies become rewards."""
