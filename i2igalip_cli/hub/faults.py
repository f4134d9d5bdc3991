"""What can fail in a download, each in one line with the way out."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from i2igalip_cli.errors import CheckpointError, first_line, os_reason
from i2igalip_cli.hub.manifest import WeightsFile

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError


@contextlib.contextmanager
def say_disk_faults(path: Path) -> Iterator[None]:
    """Turn the operating system's errors on files into one line; the network's pass.

    Args:
        path: Named where the error names no file.

    Raises:
        CheckpointError: In place of such an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError):
            raise
        raise CheckpointError(
            f"can't read or write {error.filename or path}: {os_reason(error)}; "
            "HF_HOME names the folder"
        ) from error


def hub_faults() -> tuple[type[Exception], ...]:
    """What a download raises: the operating system's errors, and those of the HTTP library.

    Which library that is changes with huggingface_hub; the bases of its own error tell.
    """
    from huggingface_hub.errors import HfHubHTTPError

    return (OSError, *HfHubHTTPError.__bases__)


def explain(row: WeightsFile, error: Exception) -> tuple[str, float | None]:
    """Say what went wrong with a download, and whether another try makes sense.

    Args:
        row: The file that was to be fetched.
        error: Of huggingface_hub or of the HTTP library below it.

    Returns:
        One line, and the least seconds before another try; None where that is vain.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return (
            "not on this machine, and HF_HUB_OFFLINE forbids fetching it; unset it, or bring a "
            "bundle from elsewhere (download-weights NAME --to DIR)"
        ), None
    if isinstance(error, HfHubHTTPError):
        return _explain_status(row, error)
    return (
        f"no connection to {constants.ENDPOINT}, or it broke ({first_line(error)}); check the "
        "network and the proxies, then run the command again: it goes on where it stopped"
    ), 0.0


def _explain_status(row: WeightsFile, error: "HfHubHTTPError") -> tuple[str, float | None]:
    """The same for an answer of the hub that isn't the file."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    response = error.response
    status = response.status_code
    where = f"{row.repo}@{row.revision[:8]}"
    if status in (401, 403):
        return (
            f"the hub refuses {row.repo} ({status}): it is private, gated or gone; accept its "
            "terms there, then log in with `hf auth login` or set HF_TOKEN"
        ), None
    if status == 404:
        what = "repository, revision or file"
        what = "file" if isinstance(error, EntryNotFoundError) else what
        what = "revision" if isinstance(error, RevisionNotFoundError) else what
        return f"the hub has no such {what}: {where} (404); check HF_ENDPOINT", None
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        if wait.isdigit():
            return f"the hub limits requests (429); try again in {wait} s", float(wait)
        return "the hub limits requests (429); try again later", 0.0
    if status == 408 or status >= 500:
        return f"the hub fails ({status}); try again later", 0.0
    return f"the hub answers {status} for {where}", None
