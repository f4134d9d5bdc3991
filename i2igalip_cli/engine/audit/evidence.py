"""What the checks judge by, gathered once from a prepared dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from i2igalip_cli.engine.audit.pairs import Fit
from i2igalip_cli.engine.audit.portraits import Portrait
from i2igalip_cli.engine.audit.scales import Scale
from i2igalip_cli.engine.audit.templates import LEAST_SUBJECTS
from i2igalip_cli.engine.audit.twins import Twins
from i2igalip_cli.engine.dataset import DatasetIndex
from i2igalip_cli.engine.quality.orientation import Lie


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """All that is known of a dataset.

    Attributes:
        index: Of the dataset.
        portraits: One of each volume.
        lies: By volume's name, how it lies against the other subjects; of those that have enough.
        distances: By volume's name, how far it is from the other subjects of each domain.
        scales: By volume's name, how large it is against the others; of domains that have enough.
        twins: Volumes that look alike at low resolution.
        fits: Of the volumes of one subject with each other.
        captions: By volume's name, how well it fits the caption of each domain, in [0, 1]; {} where
            no encoder was at hand.
        unread: Why no encoder looked at them; "" where one did.
    """

    index: DatasetIndex
    portraits: Sequence[Portrait]
    lies: Mapping[str, Lie]
    distances: Mapping[str, Mapping[str, float]]
    scales: Mapping[str, Scale]
    twins: Sequence[Twins]
    fits: Sequence[Fit]
    captions: Mapping[str, Mapping[str, float]]
    unread: str = ""

    @property
    def domains(self) -> list[str]:
        """Names, in the dataset's order."""
        return [domain.name for domain in self.index.domains]

    @property
    def many(self) -> list[str]:
        """Domains with enough volumes for a middle that one wrong volume doesn't rule."""
        return [name for name in self.domains if len(self.of_domain(name)) >= LEAST_SUBJECTS]

    @property
    def too_few(self) -> str:
        """What can't be judged for want of volumes; "" where all can."""
        few = [name for name in self.domains if name not in self.many]
        return f"too few volumes of {', '.join(few)}" if few else ""

    def of_domain(self, name: str) -> list[Portrait]:
        """The portraits of a domain's volumes."""
        return [portrait for portrait in self.portraits if portrait.domain == name]
