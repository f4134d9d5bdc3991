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
        ConfigError: A domain that the checkpoint doesn't know, a direction that it didn't learn, or
            several sources of which one has a scale of its own, and nothing was said.
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
    if len(into) == 1:
        return into[0], target
    scaled = [domain.name for domain in into if _has_own_scale(domain)]
    if scaled:
        raise ConfigError(
            f"{checkpoint.name} scales {', '.join(scaled)} in another way than the rest: say which "
            f"the source is, such as --from {into[0].name}"
        )
    return None, target


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


def _has_own_scale(domain: Domain) -> bool:
    """Whether MR of a domain can't be brought to [0, 1] without knowing that it is of it.

    CT is refused or warned of by its file and its numbers (`sources`).
    """
    own = domain.window is not None or domain.percentile is not None
    return own and domain.modality == "MR"
