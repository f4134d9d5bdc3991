"""The figures of the paper (I2I-Galip, MIDL 2025), tables 1 to 5, as they are printed there.

`galip-S` is trained for each two domains, `galip-M` once for all; `galip` is both. What a table
doesn't have, such as CUT or intervals, isn't here.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Quality(NamedTuple):
    """PSNR in dB and SSIM in percent."""

    psnr: float
    ssim: float


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """A column of table 3, in millions of parameters.

    Attributes:
        generator: As printed: the networks of one model, domain or direction.
        discriminator: Likewise.
        total: Of all networks for four domains.
    """

    generator: tuple[float, ...]
    discriminator: tuple[float, ...]
    total: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A column of table 4: a single-domain translation on an NVIDIA RTX A5000.

    Attributes:
        memory_mib: Of training.
        training_hours: In all.
        inference_seconds: Of a slice.
    """

    memory_mib: int
    training_hours: float
    inference_seconds: float


_IXI = ("T1:T2", "T2:T1", "T2:PD", "PD:T2", "T1:PD", "PD:T1")
_TABLE_1 = {
    "galip-M": (
        (27.22, 90.18),
        (27.30, 90.86),
        (32.34, 95.74),
        (33.12, 95.39),
        (26.76, 90.75),
        (27.70, 91.20),
    ),
    "galip-S": (
        (27.47, 90.54),
        (27.33, 91.06),
        (32.11, 95.65),
        (32.87, 95.62),
        (26.99, 90.80),
        (27.75, 91.07),
    ),
    "cyclegan": (
        (26.10, 87.36),
        (26.31, 88.51),
        (27.43, 93.68),
        (31.07, 93.81),
        (24.56, 88.26),
        (25.91, 89.47),
    ),
    "ugatit": (
        (24.44, 86.19),
        (24.51, 86.85),
        (26.81, 91.39),
        (29.03, 92.11),
        (22.98, 85.16),
        (24.83, 87.44),
    ),
    "syndiff": (
        (26.34, 91.87),
        (27.60, 92.14),
        (33.15, 96.87),
        (29.81, 96.99),
        (27.29, 92.49),
        (25.54, 92.41),
    ),
    "unit": (
        (23.59, 84.40),
        (24.76, 86.63),
        (25.22, 91.42),
        (29.10, 93.30),
        (23.20, 86.00),
        (23.50, 80.05),
    ),
    "egsde": (
        (16.93, 53.32),
        (17.44, 57.54),
        (17.98, 75.93),
        (16.40, 57.55),
        (19.70, 71.21),
        (19.71, 59.73),
    ),
}
_PELVIS = ("T1:CT", "T2:CT")
_TABLE_2 = {
    "galip-S": ((26.13, 90.86), (27.08, 91.30)),
    "cyclegan": ((24.55, 78.63), (27.39, 89.92)),
    "ugatit": ((25.79, 89.34), (26.01, 87.48)),
    "syndiff": ((23.81, 75.16), (21.73, 75.07)),
    "unit": ((26.02, 79.22), (25.15, 75.30)),
    "egsde": ((19.03, 74.63), (14.74, 66.67)),
}


def _named(
    table: dict[str, tuple[tuple[float, float], ...]], directions: tuple[str, ...]
) -> dict[str, dict[str, Quality]]:
    return {
        method: {way: Quality(*pair) for way, pair in zip(directions, row, strict=True)}
        for method, row in table.items()
    }


# By method, then by SOURCE:TARGET.
TABLE_1 = _named(_TABLE_1, _IXI)
TABLE_2 = _named(_TABLE_2, _PELVIS)
TABLE_3 = {
    "galip": Complexity(generator=(13.2,), discriminator=(23.9,), total=108.8),
    "cyclegan": Complexity(generator=(11.3,), discriminator=(2.7,), total=169.5),
    "ugatit": Complexity(generator=(278.9,), discriminator=(56.4,), total=4023.6),
    "syndiff": Complexity(generator=(39.7, 7.8), discriminator=(27.7, 2.7), total=936.6),
    "unit": Complexity(generator=(5.4, 5.4), discriminator=(2.8,), total=162.2),
    "egsde": Complexity(generator=(164.0,), discriminator=(), total=657.2),
}
TABLE_4 = {
    "cyclegan": Cost(memory_mib=3128, training_hours=4.5, inference_seconds=0.00353),
    "galip": Cost(memory_mib=7074, training_hours=27.0, inference_seconds=0.04883),
    "syndiff": Cost(memory_mib=9638, training_hours=35.0, inference_seconds=0.1792),
}
# By what was changed: a weight that is 0, or the encoder; "" for nothing. Averages over IXI's test
# set.
TABLE_5 = {
    "galip-S": {
        "": Quality(29.09, 92.48),
        "adversarial": Quality(19.80, 60.80),
        "cls": Quality(29.00, 92.26),
        "cycle": Quality(27.91, 90.93),
        "clip": Quality(28.90, 92.23),
        "identity": Quality(28.74, 91.12),
        "encoder": Quality(19.06, 66.67),
    },
    "galip-M": {
        "": Quality(29.07, 92.35),
        "adversarial": Quality(18.62, 49.05),
        "cls": Quality(28.88, 91.99),
        "cycle": Quality(28.08, 90.88),
        "clip": Quality(28.99, 92.18),
        "identity": Quality(28.76, 92.01),
        "encoder": Quality(27.54, 91.21),
    },
}


def family(method: str) -> str:
    """The method that a variant is of: "galip" of "galip-S"."""
    return method.partition("-")[0]


def find_quality(method: str, source: str, target: str) -> list[Quality]:
    """What the paper has for a method and a direction: several where it says more exactly.

    Its pelvic MR is T1- or T2-weighted, and the domain `pelvic-MR` doesn't say which.
    """
    if target == "pelvic-CT":
        return list(TABLE_2.get(method, {}).values()) if source == "pelvic-MR" else []
    found = TABLE_1.get(method, {}).get(f"{source}:{target}")
    return [] if found is None else [found]
