"""An enhanced multi-frame image made of single-frame ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.uid import UID, EnhancedCTImageStorage, EnhancedMRImageStorage, generate_uid

_BY_FRAME = ("ImagePositionPatient", "InstanceNumber", "SOPInstanceUID", "PixelData")
_IN_GROUPS = (
    *("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope"),
    *("RescaleIntercept", "RescaleType", "EchoTime", "WindowCenter", "WindowWidth", "ImageType"),
)


def make_enhanced(
    slices: Sequence[FileDataset],
    order: Sequence[int] | None = None,
    contents: Sequence[Mapping[str, Any]] | None = None,
    rescale_by_frame: bool = False,
) -> FileDataset:
    """One enhanced image of the same kind.

    Args:
        slices: What make_series made.
        order: Which slice each frame is; None for theirs.
        contents: Attributes of each frame's FrameContentSequence.
        rescale_by_frame: Whether the rescale stands in each frame's groups; otherwise shared.
    """
    order = range(len(slices)) if order is None else order
    first = slices[0]
    whole = FileDataset("", {}, file_meta=first.file_meta, preamble=b"\0" * 128)
    for element in first:
        if element.keyword not in (*_BY_FRAME, *_IN_GROUPS):
            whole[element.tag] = element
    ct = first.Modality == "CT"
    whole.SOPClassUID = EnhancedCTImageStorage if ct else EnhancedMRImageStorage
    whole.SOPInstanceUID = generate_uid()
    whole.ImageType = [*first.ImageType[:3], "NONE"]
    whole.file_meta.MediaStorageSOPClassUID = UID(whole.SOPClassUID)
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    whole.NumberOfFrames = len(order)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(first, "ImageOrientationPatient")]
    shared.PixelMeasuresSequence = [_item(first, "PixelSpacing", "SliceThickness")]
    if not rescale_by_frame and "RescaleSlope" in first:
        names = ("RescaleSlope", "RescaleIntercept")
        shared.PixelValueTransformationSequence = [_item(first, *names)]
    whole.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place, number in enumerate(order):
        frame = Dataset()
        frame.PlanePositionSequence = [_item(slices[number], "ImagePositionPatient")]
        content = Dataset()
        content.DimensionIndexValues = [1, number + 1]
        for keyword, value in (contents[place] if contents else {}).items():
            setattr(content, keyword, value)
        frame.FrameContentSequence = [content]
        if rescale_by_frame:
            names = ("RescaleSlope", "RescaleIntercept")
            frame.PixelValueTransformationSequence = [_item(slices[number], *names)]
        frames.append(frame)
    whole.PerFrameFunctionalGroupsSequence = frames
    whole.PixelData = b"".join(slices[number].PixelData for number in order)
    whole["PixelData"].VR = "OW"
    assert len(whole.PixelData) == len(order) * np.prod((first.Rows, first.Columns)) * 2
    return whole


def _item(dataset: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        item[keyword] = dataset[keyword]
    return item
