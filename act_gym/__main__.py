"""`python -m act_gym` is the command `act-gym`."""

from act_gym.cli import main

raise SystemExit(main())
