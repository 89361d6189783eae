"""Entry point of `python -m act_gym`, the same as the command `act-gym`."""

from act_gym.cli import main

raise SystemExit(main())
