"""`python -m i2igalip_cli`."""

from i2igalip_cli.cli import main

main()
