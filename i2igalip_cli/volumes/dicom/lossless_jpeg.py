"""Lossless JPEG by GDCM, in a process of its own: on damaged bytes GDCM ends its process.

The process is started at the first such image, serves all further ones, and ends with ours.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from i2igalip_cli.errors import VolumeError, first_line

SECONDS = 60.0  # for one frame
_DESCRIPTION = {  # option of pydicom's decoders: keyword
    "rows": "Rows",
    "columns": "Columns",
    "samples_per_pixel": "SamplesPerPixel",
    "photometric_interpretation": "PhotometricInterpretation",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
}


def decode_lossless_jpeg(dataset: Dataset, index: int) -> npt.NDArray[Any]:
    """Decode a frame.

    Args:
        dataset: With encapsulated pixels.
        index: Of the frame, from 0.

    Returns:
        Stored values (rows, columns).

    Raises:
        VolumeError: GDCM can't decode it.
    """
    frames = int(dataset.get("NumberOfFrames") or 1)
    frame = get_frame(dataset.PixelData, index, number_of_frames=frames)
    options = {name: dataset.get(keyword) for name, keyword in _DESCRIPTION.items()}
    options["number_of_frames"] = 1
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    answer = _SERVER.ask((bytes(frame), syntax, options))
    if isinstance(answer, str):
        raise VolumeError(answer)
    return answer


class _Server:
    """The process, and the pipes to it; a fork of ours gets one of its own."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin anew: what a parent has started isn't ours to use."""
        self._process: subprocess.Popen[bytes] | None = None
        self._turns = threading.Lock()
        self._asked = 0

    def ask(self, question: object) -> npt.NDArray[Any] | str:
        """The decoded frame, or what is wrong with it."""
        with self._turns:
            process = self._process = self._process or _start()
            watch = threading.Timer(SECONDS, process.kill)
            watch.start()
            try:
                return self._exchange(process, question)
            except BaseException as error:
                # Whatever came between: an answer that is still on its way is nobody's.
                process.kill()
                process.communicate()
                self._process = None
                if not isinstance(error, (OSError, EOFError, pickle.UnpicklingError)):
                    raise
                return "gdcm: ended itself on these bytes, or took too long"
            finally:
                watch.cancel()

    def _exchange(
        self, process: subprocess.Popen[bytes], question: object
    ) -> npt.NDArray[Any] | str:
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        self._asked += 1
        pickle.dump((self._asked, question), process.stdin)
        process.stdin.flush()
        number, answer = pickle.load(process.stdout)
        if number != self._asked:
            raise EOFError(f"answer {number} to question {self._asked}")
        found: npt.NDArray[Any] | str = answer
        return found


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _serve() -> None:
    """Answer questions until the other side is gone."""
    answers = os.fdopen(os.dup(1), "wb")  # what GDCM prints mustn't come between
    os.dup2(2, 1)
    with contextlib.suppress(EOFError):
        while True:
            number, (frame, syntax, options) = pickle.load(sys.stdin.buffer)
            pickle.dump((number, _decode(frame, syntax, options)), answers)
            answers.flush()


def _decode(frame: bytes, syntax: str, options: Mapping[str, Any]) -> npt.NDArray[Any] | str:
    try:
        found, _ = get_decoder(UID(syntax)).as_array(
            encapsulate([frame]), index=0, raw=True, decoding_plugin="gdcm", **options
        )
        return np.asarray(found)
    except Exception as error:  # decoders meet damaged bytes with any error at all
        return first_line(error)


_SERVER = _Server()

if __name__ == "__main__":
    _serve()
