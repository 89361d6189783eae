"""GRPO with a prompt that is run once a group: how groups are made, packed, trained on and foreseen."""
