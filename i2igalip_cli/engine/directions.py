"""Which domain a translation goes to, and from which: as far as the method has learned it."""

from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.domains import Domain, find_domain
from i2igalip_cli.errors import ConfigError


def find_direction(
    checkpoint: Checkpoint, to: str, source: str | None
) -> tuple[Domain | None, Domain]:
    """The source and the target of a translation.

    Args:
        checkpoint: Knows its domains, and which of them it translates to which.
        to: The target, by name or caption.
        source: The source, likewise; None where nothing was said.

    Returns:
        The source's domain and the target's. The source is the only one that leads to the target,
        where nothing was said; None where there are several.

    Raises:
        ConfigError: A domain that the checkpoint doesn't know, or a direction that it didn't learn.
    """
    target = find_domain(to, checkpoint.domains)
    own = None if source is None else find_domain(source, checkpoint.domains)
    into = [
        domain
        for domain in checkpoint.domains
        if _translates(checkpoint, domain, target) and own in (None, domain)
    ]
    if not into:
        said = "" if own is None else f"{own.name} to "
        raise ConfigError(
            f"{checkpoint.name} ({checkpoint.config.method}) doesn't translate {said}"
            f"{target.name}, only {describe_directions(checkpoint)}"
        )
    return into[0] if len(into) == 1 else own, target


def learned_back(checkpoint: Checkpoint, source: Domain, target: Domain) -> bool:
    """Whether what was translated can be translated back."""
    return _translates(checkpoint, target, source)


def describe_directions(checkpoint: Checkpoint) -> str:
    """What a checkpoint translates, for people: "T1 to T2 and T2 to T1"."""
    known = [
        f"{source.name} to {target.name}"
        for source in checkpoint.domains
        for target in checkpoint.domains
        if source != target and _translates(checkpoint, source, target)
    ]
    return " and ".join(known)


def _translates(checkpoint: Checkpoint, source: Domain, target: Domain) -> bool:
    names = [domain.name for domain in checkpoint.domains]
    return checkpoint.config.translates(names.index(source.name), names.index(target.name))
