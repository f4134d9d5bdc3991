"""Enhanced multi-frame images as what they mean: a dataset for each frame.

In an enhanced image, what varies by frame (position, rescale, echo time ...) stands in functional
groups, shared or per frame, one sequence of one item a macro (PS3.3 C.7.6.16). Flattened, every
frame reads like a single-frame image.
"""

from collections.abc import Iterator

from pydicom import DataElement, Dataset
from pydicom.tag import Tag

from i2igalip_cli.errors import VolumeError

_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_OF_THE_WHOLE = (
    *_GROUPS,
    "NumberOfFrames",
    "DimensionIndexSequence",
    "DimensionOrganizationSequence",
    "DimensionOrganizationType",
)
_ALIASES = {  # keyword in a functional group: keyword in a single-frame image
    "FrameType": "ImageType",
    "EffectiveEchoTime": "EchoTime",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
}
MAXIMUM_FRAMES = 100_000


def count_frames(dataset: Dataset) -> int | None:
    """Frames of a multi-frame image; None for a single-frame one.

    Raises:
        VolumeError: The number of frames is no sensible one, or differs from the groups.
    """
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        number = int(dataset.get("NumberOfFrames") or 1)
        if number > 1:
            raise VolumeError(f"{number} frames without functional groups: their places are lost")
        return None
    groups = dataset.PerFrameFunctionalGroupsSequence
    number = int(dataset.get("NumberOfFrames") or 0)
    if not 0 < number <= MAXIMUM_FRAMES or number != len(groups):
        raise VolumeError(f"{number} frames, but functional groups of {len(groups)}")
    return number


def flatten(dataset: Dataset) -> Iterator[tuple[int | None, Dataset]]:
    """Each frame's number (from 1) and dataset; (None, the dataset itself) if single-frame.

    Args:
        dataset: As read; it isn't changed.

    Raises:
        VolumeError: As for `count_frames`.
    """
    if count_frames(dataset) is None:
        yield None, dataset
        return
    left = {Tag(keyword) for keyword in _OF_THE_WHOLE}
    common = Dataset({tag: element for tag, element in dataset.items() if tag not in left})
    for item in dataset.get("SharedFunctionalGroupsSequence") or ():
        _lift(item, common)
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        frame = Dataset()
        frame.update(common)
        _lift(item, frame)
        frame.InstanceNumber = number
        yield number, frame


def _lift(groups: Dataset, frame: Dataset) -> None:
    """Put the elements of each macro's only item at the top level of a frame."""
    for group in groups:
        if group.VR != "SQ" or group.tag.is_private or len(group.value) != 1:
            continue
        for element in group.value[0]:
            name = _ALIASES.get(element.keyword)
            if name is not None:
                setattr(frame, name, element.value)
            frame[element.tag] = DataElement(element.tag, element.VR, element.value)
