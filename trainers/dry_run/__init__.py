"""What a training would take, counted in operations and bytes and measured in a few steps."""
