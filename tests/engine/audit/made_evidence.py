"""Evidence made by hand, for the checks."""

from dataclasses import replace

import numpy as np

from i2igalip_cli.config import CropPolicy, IntensityPolicy
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine.audit import Evidence
from i2igalip_cli.engine.audit.pairs import Fit, list_couples
from i2igalip_cli.engine.audit.portraits import BINS, Portrait
from i2igalip_cli.engine.audit.scales import measure_scales
from i2igalip_cli.engine.audit.templates import Templates
from i2igalip_cli.engine.audit.twins import list_twins
from i2igalip_cli.engine.dataset import DatasetIndex, Shard
from i2igalip_cli.engine.quality.orientation import SIDE

DARK = {"T1": 0.3, "T2": 0.7, "PD": 0.5, "pelvic-CT": 0.4}


def shard(subject="a", domain="T1", split="train", **values) -> Shard:
    return Shard(
        **{
            "subject": subject,
            "domain": domain,
            "split": split,
            "file": f"{split}/{domain}/{subject}.npy",
            "source": f"{subject}_{domain}.nii",
            "plane": "axial",
            "shape": (9, 9, 9),
            "first": 0,
            "corner": (0, 0),
            "window": (0.0, 1.0),
            "spacing_mm": (1.0, 1.0),
            **values,
        }
    )


def cube(subject: str, domain: str) -> np.ndarray:
    """A body with a bright front and a subject's own texture, dark or bright by its domain."""
    rng = np.random.default_rng([*f"{subject}{domain}".encode()])
    i, j, k = np.indices((SIDE,) * 3) / (SIDE - 1) - 0.5
    body = (i**2 / 0.2 + j**2 / 0.24 + k**2 / 0.16) < 1
    texture = 0.04 * rng.standard_normal(body.shape)
    return np.clip(body * (DARK[domain] + 0.6 * j + 0.8 * k + texture), 0, 1).astype(np.float16)


def portrait(subject="a", domain="T1", split="train", **values) -> Portrait:
    own = {name: values.pop(name) for name in list(values) if name in Shard.__dataclass_fields__}
    histogram = np.zeros(BINS, np.float32)
    histogram[int(DARK[domain] * BINS)] = 1
    return Portrait(
        **{
            "shard": shard(subject, domain, split, **own),
            "cube": cube(subject, domain),
            "size_mm": (150.0, 180.0, 140.0),
            "empty": 0.3,
            "air": 0.3,
            "histogram": histogram,
            "thumbnail": b"",
            **values,
        }
    )


def cohort(subjects="abcdefgh", domains=("T1", "T2")) -> list[Portrait]:
    splits = {name: ("train", "train", "val", "test")[n % 4] for n, name in enumerate(subjects)}
    return [portrait(name, domain, splits[name]) for name in subjects for domain in domains]


def evidence(
    portraits, fits=(), captions=None, unread="no encoder", left_out=(), noise=1.0
) -> Evidence:
    """All that checks judge by; `noise` is how far that of twins agrees."""
    names = dict.fromkeys(one.domain for one in portraits)
    index = DatasetIndex(
        domains=tuple(DOMAINS[name] for name in names),
        policy=IntensityPolicy(),
        crop=CropPolicy(),
        planes=("axial",),
        shards=tuple(one.shard for one in portraits),
        left_out=tuple(left_out),
    )
    templates = Templates(portraits)
    return Evidence(
        index=index,
        portraits=portraits,
        lies=templates.judge_lies(portraits),
        distances=templates.measure_distances(portraits),
        scales=measure_scales(portraits),
        twins=[replace(one, noise=noise) for one in list_twins(portraits)],
        fits=fits,
        captions=captions or {},
        unread=unread,
    )


def but(portraits, name: str, **values) -> list[Portrait]:
    """Portraits, the one of this name with other values."""
    assert any(one.name == name for one in portraits)
    return [replace(one, **values) if one.name == name else one for one in portraits]


def fits(portraits, **changed) -> list[Fit]:
    """Fits of all couples as they are in a sound dataset, but for those of some subjects."""
    usual = {"own": 0.7, "mirrored": 0.55, "other": 0.5}
    return [
        Fit(couple=couple, **{**usual, **changed.get(couple.first.subject, {})})
        for couple in list_couples([one.shard for one in portraits], {})
    ]


def volumes(checked) -> list[tuple[str, ...]]:
    return [one.volumes for one in checked.findings]


def fit_to(portraits, **others) -> dict[str, dict[str, float]]:
    """What an encoder says that names volumes as they are labelled, but for some."""
    seen = {one.name: others.get(one.name.removesuffix(".nii"), one.domain) for one in portraits}
    return {
        name: {domain: 0.9 if domain == best else 0.1 for domain in ("T1", "T2")}
        for name, best in seen.items()
    }
