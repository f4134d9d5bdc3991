"""The imaging domains: a name, the caption that conditions the generator, and the intensity scale.

Captions are written once, here, and travel inside every checkpoint: training and translation
can't spell them differently. A checkpoint and a dataset list their own domains, so a domain that
stands only there (a user's own) works like one of these.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from i2igalip_cli.errors import ConfigError

Modality = Literal["MR", "CT"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
CT_WINDOW = (-1024.0, 3000.0)  # HU, of the paper: CT that says nothing else


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One imaging domain.

    Attributes:
        name: Short name, as given to `--to`; matched without regard to case.
        caption: The sentence whose embedding conditions the generator.
        modality: "MR" (arbitrary units) or "CT" (Hounsfield units).
        window: Fixed intensity window (low, high) in the domain's unit that maps to [0, 1];
            None where the unit is arbitrary and a volume's own percentiles set the window.
        percentile: Percentile of a volume's foreground that maps to 1; None goes by the policy of
            the dataset or checkpoint.
        bids: Suffix of its files in a BIDS dataset, such as "T1w"; "" where BIDS has none.
    """

    name: str
    caption: str
    modality: Modality = "MR"
    window: tuple[float, float] | None = None
    percentile: float | None = None
    bids: str = field(default="", compare=False)  # how files are named makes no other domain


_ROWS = (
    Domain(name="T1", caption="This MRI is T1-weighted", bids="T1w"),
    Domain(name="T2", caption="This MRI is T2-weighted", bids="T2w"),
    Domain(name="PD", caption="This MRI is PD-weighted", bids="PDw"),
    Domain(name="pelvic-MR", caption="This is pelvic MRI"),
    Domain(name="pelvic-CT", caption="This is pelvic CT", modality="CT", window=CT_WINDOW),
)
DOMAINS: dict[str, Domain] = {domain.name: domain for domain in _ROWS}


def find_domain(text: str, domains: Iterable[Domain], holder: str = "the checkpoint") -> Domain:
    """Find a domain by its name or its caption, without regard to case.

    Args:
        text: What the user wrote.
        domains: Where to look, usually the domains of a checkpoint.
        holder: Who lists these domains, for the message.

    Raises:
        ConfigError: No domain has that name or caption; the message lists the known ones.
    """
    known = list(domains)
    wanted = text.strip().casefold()
    for domain in known:
        if wanted in (domain.name.casefold(), domain.caption.casefold()):
            return domain
    names = ", ".join(f"{domain.name} ('{domain.caption}')" for domain in known)
    raise ConfigError(f"unknown domain '{text}': {holder} knows {names}")
