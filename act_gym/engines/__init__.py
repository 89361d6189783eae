"""The simulators behind the environments, one module each; imported only when played."""
