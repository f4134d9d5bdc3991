"""`python -m i2igalip_cli.engine.cohort`: the worker of a supervisor, which alone starts it."""

from i2igalip_cli.engine.cohort.worker import main

main()
