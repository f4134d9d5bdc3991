"""`python -m i2igalip_cli` is `i2igalip`."""

from i2igalip_cli.cli import main

if __name__ == "__main__":
    main()
