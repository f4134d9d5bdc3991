"""`i2igalip download-weights`: fetch, list, check and bundle weights."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from i2igalip_cli.cli.console import Json, plain, print_json, print_table, progress, say
from i2igalip_cli.errors import CheckpointError

if TYPE_CHECKING:
    from i2igalip_cli.hub import FileReport, WeightsEntry


def download_weights(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Entries of the manifest.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All entries.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Show what there is.")] = False,
    check: Annotated[
        bool, typer.Option("--verify", help="Compare what is here with its SHA-256.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Make a bundle for machines without network."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch, list or check the weights.

    They go to the Hugging Face cache (HF_HOME). Other commands load a bundle with --weights DIR.
    """
    from i2igalip_cli import hub

    if sum((listing, check, to is not None)) > 1:
        raise typer.BadParameter("--list, --verify and --to exclude each other")
    if names and everything:
        raise typer.BadParameter("give names or --all, not both")
    entries = hub.read_manifest()
    chosen = hub.choose(entries, names) if names else entries
    if listing:
        _list_weights(chosen, as_json)
    elif check:
        here = [entry for entry in chosen if names or any(hub.locate(entry))]
        _verify_weights(here, as_json)
    elif names or everything:
        _fetch_weights(chosen, to, as_json)
    else:
        raise typer.BadParameter("give the name of an entry, --all, --list or --verify")


def _list_weights(entries: "list[WeightsEntry]", as_json: bool) -> None:
    from dataclasses import asdict

    from rich.table import Table

    from i2igalip_cli import hub

    where = [
        "ships" if entry.ships else "here" if all(hub.locate(entry)) else "to fetch"
        for entry in entries
    ]
    rows = list(zip(entries, where, strict=True))
    if as_json:
        print_json([{**asdict(e), "size": e.size, "where": place} for e, place in rows])
        return
    table = Table("name", "kind", "MB", "licence", "where", "what it is")
    for entry, place in rows:
        label = f"{entry.name} (default)" if entry.default else entry.name
        size = f"{entry.size / 1e6:.1f}"
        table.add_row(label, entry.kind, size, entry.license, place, entry.description)
    print_table(table)


def _verify_weights(entries: "list[WeightsEntry]", as_json: bool) -> None:
    from i2igalip_cli import hub

    found = {entry.name: hub.verify(entry) for entry in entries}
    _print_reports(found, as_json)
    bad = [e for e in entries if any(r.state in ("wrong", "absent") for r in found[e.name])]
    if bad:
        ways = "; ".join(f"{entry.name}: {hub.mend(entry)}" for entry in bad)
        raise CheckpointError(f"wrong or absent files: {ways}")


def _fetch_weights(entries: "list[WeightsEntry]", to: Path | None, as_json: bool) -> None:
    from i2igalip_cli import hub

    if to is not None:
        hub.check_bundle_folder(to)
    found = {}
    for entry in entries:
        origin = "ships with i2igalip" if entry.ships else f"from {' and '.join(entry.sources)}"
        say(plain(f"{entry.label}, {origin}"))
        with progress(f"{entry.name}, MB") as advance:

            def show(done: int, total: int, advance: Callable[[int, int], None] = advance) -> None:
                advance(round(done / 1e6), round(total / 1e6))

            found[entry.name] = hub.download(entry, show)
    bundle = None if to is None else hub.write_bundle(entries, to)
    _print_reports(found, as_json, bundle)


def _print_reports(
    found: "dict[str, list[FileReport]]", as_json: bool, bundle: Path | None = None
) -> None:
    """Each file with its state, by entry; with the bundle that was made of them."""
    if as_json:
        rows = [
            {
                "name": name,
                "files": [
                    {
                        "file": report.file.file,
                        "state": report.state,
                        "path": None if report.path is None else str(report.path),
                        "sha256": report.sha256 or None,
                    }
                    for report in reports
                ],
            }
            for name, reports in found.items()
        ]
        print_json({"entries": rows, "bundle": None if bundle is None else str(bundle)})
        return
    for name, reports in found.items():
        for report in reports:
            typer.echo(f"{name}: {report.describe()}")
    if bundle is not None:
        typer.echo(f"bundle: {bundle}")
