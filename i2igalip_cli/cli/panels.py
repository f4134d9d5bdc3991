"""Plain help in sections: an option's `rich_help_panel` names its own, without rich's boxes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import typer
from typer.core import TyperCommand


class _Formatter(Protocol):
    """What typer's formatter of help can do; the class itself is private to typer."""

    def section(self, name: str) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None: ...


class PanelCommand(TyperCommand):
    """A command whose help has a section for each panel, in the order of its parameters."""

    def format_options(  # type: ignore[override]  # typer's own context is private to it
        self, ctx: typer.Context, formatter: _Formatter
    ) -> None:
        """Write the sections; what names no panel is an argument or an option, as elsewhere."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                other = f"{parameter.param_type_name.capitalize()}s"
                name = getattr(parameter, "rich_help_panel", None) or other
                sections.setdefault(name, []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records)
