"""Patterns of names: `{subject}_{domain}.nii.gz` says which part of a name is what."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from i2igalip_cli.engine.evaluator.naming import ImageName, canonical_domain
from i2igalip_cli.errors import EvaluationError

_PIECE = re.compile(r"\{([A-Za-z_]\w*)\}|(\*)|([^{}*]+)|(.)", re.DOTALL)


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
