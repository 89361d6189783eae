"""What is learnt from: steps and pairs become questions, and replies become rewards."""
