"""A configuration reports all of its faults together."""

from i2igalip_cli.errors import ConfigError

Faults = list[tuple[bool, str]]  # whether it is one, and what to say


def raise_faults(owner: object, faults: Faults) -> None:
    """Raise one ConfigError that lists every fault whose condition holds."""
    found = [message for condition, message in faults if condition]
    if found:
        raise ConfigError(f"{type(owner).__name__}: " + "; ".join(found))
