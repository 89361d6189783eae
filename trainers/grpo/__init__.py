"""GRPO with shared prompts: building, packing, training and probing groups whose prompt is run once."""
