"""What a file's name says: whose image it is, of which domain, and what tells it from others.

BIDS names (`sub-01_ses-2_run-1_T2w`), names that end in a domain (`patient7_T2`), and what
`translate` makes of both (`sub-01_desc-synth_T2w`, `patient7_T1_T2`). Other names are read by a
pattern: `{subject}_{domain}.nii.gz` says which part of a name is what.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.errors import EvaluationError

DERIVED = frozenset({"desc"})  # entities that say how an image was derived,
ACQUIRED = frozenset({"desc", "acq", "ce", "rec", "proc"})  # or by which sequence it was acquired
OUTLINES = ("mask", "seg", "dseg", "labels")  # endings of masks and label maps
NO_IMAGES = (*OUTLINES, "qc")  # and of what else lies beside images: maps of their quality
_BIDS_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+(?=_|$)")
_BIDS_FOLDER = re.compile(r"((sub|ses)-[A-Za-z0-9]+|anat|derivatives|i2igalip)$")
_OTHER_DOMAINS = ("CT", "MR", "CBCT", "FLAIR")  # endings that say a contrast, too
_PIECE = re.compile(r"\{([A-Za-z_]\w*)\}|(\*)|([^{}*]+)|(.)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ImageName:
    """What is known of an image by its name.

    Attributes:
        path: Below the folder that was searched, without suffix.
        context: Folders that tell images of equal names apart; "" for none.
        subject: Whose image it is.
        domain: Of which domain; "" if the name doesn't say.
        entities: What else tells it from others: ses, run, acq ... by key.
    """

    path: str
    context: str
    subject: str
    domain: str
    entities: Mapping[str, str] = field(default_factory=dict)

    @property
    def qualified_subject(self) -> str:
        """The subject, with the folders that tell it from others of its name."""
        return "/".join(part for part in (self.context, self.subject) if part)

    def identity(self, dropped: frozenset[str] = frozenset(), *, flat: bool = False) -> str:
        """What two images of one thing share, in lower case.

        Args:
            dropped: Entities that don't matter; "domain" for the domain.
            flat: Whether folders don't matter.
        """
        kept = [f"{k}-{v}" for k, v in sorted(self.entities.items()) if k not in dropped]
        subject = self.subject if flat else self.qualified_subject
        domain = "" if "domain" in dropped else self.domain
        return " ".join([subject, *kept, domain]).casefold()


def canonical_domain(text: str) -> str:
    """Name of a domain by its name or its suffix in BIDS, in any case; "" if it isn't known."""
    wanted = text.casefold()
    for domain in DOMAINS.values():
        if wanted and wanted in (domain.name.casefold(), domain.bids.casefold()):
            return domain.name
    return next((name for name in _OTHER_DOMAINS if wanted == name.casefold()), "")


def read_name(path: PurePosixPath) -> ImageName:
    """Read a name by the rules of BIDS, or else by its ending.

    Args:
        path: Below the folder that was searched, without suffix.
    """
    if _BIDS_SUBJECT.match(path.name):
        return _read_bids(path)
    stem, domain = _split_ending(path.name)
    folders = path.parent.parts
    if not stem and folders:  # subject/T2
        return ImageName(
            path=path.as_posix(), context="/".join(folders[:-1]), subject=folders[-1], domain=domain
        )
    return ImageName(
        path=path.as_posix(),
        context="/".join(folders),
        subject=stem or path.name,
        domain=domain,
    )


def _read_bids(path: PurePosixPath) -> ImageName:
    subject, *parts = path.name.split("_")
    entities = {key: value for key, _, value in (p.partition("-") for p in parts if "-" in p)}
    plain = [part for part in parts if "-" not in part]
    ending = plain.pop() if plain else ""
    others = "_".join(part for part in plain if not canonical_domain(part))
    return ImageName(
        path=path.as_posix(),
        context="/".join(part for part in path.parent.parts if not _BIDS_FOLDER.match(part)),
        subject=subject,
        domain=canonical_domain(ending) or ending,
        entities={**entities, **({"others": others} if others else {})},
    )


def _split_ending(name: str) -> tuple[str, str]:
    """A name without the domains that it ends in, and the last of these.

    `translate` puts the target behind the source: of patient7_T1_T2 both go.
    """
    domain = ""
    while name:
        head, _, ending = name.rpartition("_")
        found = canonical_domain(ending) or (ending if ending in NO_IMAGES else "")
        if not found:
            break
        domain, name = domain or found, head
    return name, domain


@dataclass(frozen=True)
class NamePattern:
    """How the names on one side are built.

    Attributes:
        text: Literal text with {subject}, {domain}, other {words} that tell images apart (these
            and domains hold no "_"), and `*` for what doesn't matter. With a "/" it is a path
            below the folder, else a name.
    """

    text: str

    def __post_init__(self) -> None:
        """Refuse a pattern that can't tell subjects apart.

        Raises:
            EvaluationError: No {subject}, a brace alone, or a placeholder twice.
        """
        names = self.placeholders
        if "subject" not in names:
            raise EvaluationError(f"pattern '{self.text}': it has no {{subject}}")
        if len(set(names)) < len(names):
            raise EvaluationError(f"pattern '{self.text}': a placeholder stands in it twice")
        if any(piece[4] for piece in _pieces(self.text)):
            raise EvaluationError(f"pattern '{self.text}': write {{subject}}, {{domain}}, {{word}}")

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(piece[1] for piece in _pieces(self.text) if piece[1] is not None)

    def read(self, path: PurePosixPath, suffix: str) -> ImageName | None:
        """What a name says by this pattern; None where it doesn't fit.

        Args:
            path: Below the folder, without suffix.
            suffix: Of the file, "" for a folder of DICOM; the pattern may leave it out.
        """
        named = path.as_posix() if "/" in self.text else path.name
        rule = re.compile("".join(map(_rule, _pieces(self.text))))
        match = rule.fullmatch(named) or rule.fullmatch(named + suffix)
        if match is None:
            return None
        found = match.groupdict()
        subject, domain = found.pop("subject"), found.pop("domain", "")
        return ImageName(
            path=path.as_posix(),
            context="",
            subject=subject,
            domain=canonical_domain(domain) or domain,
            entities=found,
        )


def _pieces(text: str) -> list[re.Match[str]]:
    return list(_PIECE.finditer(text))


def _rule(piece: re.Match[str]) -> str:
    if piece[1] is not None:
        # Only a subject may hold a "_": {subject}_{domain} cuts patient_7_T2 where people would.
        return f"(?P<{piece[1]}>{'[^/]+?' if piece[1] == 'subject' else '[^/_]+'})"
    return "[^/]*" if piece[2] else re.escape(piece[3] or piece[4])
