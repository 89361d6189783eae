"""What is learnt from: decisions and pairs become questions, and replies become rewards."""
