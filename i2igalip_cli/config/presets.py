"""How public datasets lay their files: pure data.

IXI (brain-development.org): folders of one contrast each, names such as IXI002-Guys-0828-T1.nii.gz
that carry the subject and one of three hospitals. Gold Atlas (Nyholm et al. 2018, Medical Physics
45): a folder a patient, such as 1_01_P, of which the first number is the hospital. The splits are
those of the I2I-Galip paper (appendix B.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What is known of a dataset before a file is read.

    Attributes:
        patterns: File-name pattern of each domain.
        subject: Regular expression of a volume's path, with the group "subject" and, where names
            carry it, "site"; "" where the general rule serves.
        split: Numbers of subjects for train, val and test.
        contrasts: Domain by the contrast that a header or a sidecar tells: what decides for DICOM,
            and what names are compared with.
        insisted: Domains whose pattern people gave: it is stronger than a header.
    """

    patterns: Mapping[str, str]
    subject: str = ""
    split: tuple[float, ...] = (0.7, 0.1, 0.2)
    contrasts: Mapping[str, str] = field(default_factory=dict)
    insisted: tuple[str, ...] = ()

    @property
    def counts_subjects(self) -> bool:
        """Whether `split` holds numbers of subjects rather than shares."""
        return sum(self.split) > 1 and all(float(part).is_integer() for part in self.split)


GENERAL = Preset(
    patterns={name: f"*{name}*" for name in ("T1", "T2", "PD")},
    contrasts={name: name for name in ("T1", "T2", "PD")},
)
PRESETS: dict[str, Preset] = {
    "ixi": Preset(
        patterns={name: f"*-{name}.nii*" for name in ("T1", "T2", "PD")},
        subject=r"(?:^|/)(?P<subject>IXI\d+)-(?P<site>[A-Za-z]+)-\d+",
        split=(25, 5, 10),
        contrasts={name: name for name in ("T1", "T2", "PD")},
    ),
    "gold-atlas": Preset(
        patterns={"pelvic-MR": "*T1.nii*", "pelvic-CT": "*CT.nii*"},
        subject=r"(?:^|/)(?P<subject>(?P<site>\d+)_\d+_P)(?![A-Za-z0-9])",
        split=(9, 1, 4),
        contrasts={"T1": "pelvic-MR", "CT": "pelvic-CT"},
    ),
}
