"""What can go wrong, said to a person: what is wrong, which value, and the way out."""


class GalipError(Exception):
    """Something the user can mend; `cli.py` shows its text as one red line and exits with 1."""


def one_line(text: str) -> str:
    """A text from a file or another library on one line, without what a terminal would obey."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def first_line(error: BaseException) -> str:
    """The first line of another library's error, or its kind where it says nothing."""
    return one_line((str(error).splitlines() or [""])[0]) or type(error).__name__


def os_reason(error: OSError) -> str:
    """What the system says of a call that failed; the library's words where it has none of them."""
    return error.strerror or first_line(error)


class VolumeError(GalipError):
    """A volume that can't be read, written, or used as it is."""


class EmptyVolumeError(VolumeError):
    """A volume in which there is nothing to translate: constant, or without a finite voxel."""


class ConfigError(GalipError):
    """A setting, a domain or a name that isn't known or doesn't fit the others."""


class CheckpointError(GalipError):
    """A checkpoint or an encoder folder that is absent, damaged, or of another format."""


class DatasetError(GalipError):
    """A raw folder or a prepared dataset that doesn't hold what training needs."""


class StoppedError(GalipError):
    """A run that a signal stopped in order: it can be resumed.

    Args:
        message: What was saved and how to go on.
        exit_code: 128 and the signal's number, as shells have it.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class EvaluationError(GalipError):
    """Predictions and references that can't be compared."""
