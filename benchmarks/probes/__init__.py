"""Questions to a model, and what is counted of its answers."""
