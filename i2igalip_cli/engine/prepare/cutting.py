"""One volume to shards: intensities to [0, 1], the field of view to its foreground, slices."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from i2igalip_cli.config import Plane, PrepareConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.dataset import Shard, Split
from i2igalip_cli.engine.prepare.finding import RawVolume
from i2igalip_cli.engine.prepare.scaling import describe_scale
from i2igalip_cli.engine.prepare.steps import Stepped
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.foreground import Box, find_box, foreground_level
from i2igalip_cli.volumes.intensity import IntensityWindow, find_window
from i2igalip_cli.volumes.slicing import (
    in_plane_spacing,
    place_slices,
    turn_box,
    view_slices,
)


@dataclass(frozen=True, kw_only=True)
class Cutter:
    """What all volumes of a dataset are cut by.

    Attributes:
        domains: By name.
        settings: Planes and crop.
        out: Folder of the dataset.
    """

    domains: Mapping[str, Domain]
    settings: PrepareConfig
    out: Path

    def cut(
        self, raw: RawVolume, stepped: Stepped, split: Split, content: str
    ) -> tuple[list[Shard], list[str]]:
        """Write the shards of a volume, one a plane.

        Args:
            raw: Where it came from.
            stepped: Itself, after all steps.
            split: Of its subject.
            content: Identity of what the file holds.

        Returns:
            The shards, none of a plane without foreground; and what people should know.

        Raises:
            VolumeError: It can't be scaled.
        """
        notes, volume = [], stepped.volume
        window = find_window(volume.array, self.domains[raw.domain], self.settings.policy)
        box = find_box(volume, window, self.settings.crop)
        scaled = describe_scale(window, self.domains[raw.domain], self.settings.policy)
        shards = []
        for plane in self.settings.planes:
            slices, place = self._cut_plane(volume, window, box, plane)
            if len(slices) == 0:
                notes.append(f"{raw.name}: no {plane} slice with foreground; left out")
                continue
            kept = _describe_cut(volume, plane, slices.shape, place)
            told = replace(stepped, log=(*stepped.log, scaled, kept))
            shard = _describe(raw, told, window, split, content, plane, slices.shape, place)
            (self.out / shard.file).parent.mkdir(parents=True, exist_ok=True)
            np.save(self.out / shard.file, slices)
            shards.append(shard)
        return shards, notes

    def _cut_plane(
        self, volume: Volume, window: IntensityWindow, box: Box, plane: Plane
    ) -> tuple[npt.NDArray[np.float16], tuple[int, int, int]]:
        """The slices (N, H, W) of a plane, without empty ends; where their corner lies."""
        across, rows, columns = turn_box(box, volume.shape, volume.affine, plane)
        view = view_slices(volume.array[box], volume.affine, plane)
        slices = window.to_unit(view)
        bright = view > foreground_level(window, self.settings.crop)
        kept = np.flatnonzero(bright.mean(axis=(1, 2)) >= self.settings.least_foreground)
        first, last = (int(kept[0]), int(kept[-1])) if kept.size else (0, -1)
        corner = (across.start + first, rows.start, columns.start)
        return slices[first : last + 1].astype(np.float16), corner


def name_file(text: str) -> str:
    """A part of a file's name that no path can hide in; other texts have other names."""
    safe = re.sub(r"[^\w.-]", "_", text).lstrip(".")
    if safe == text:
        return text
    return f"{safe[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def content_hash(volume: Volume) -> str:
    """Identity of a scan's intensities, whatever its file is called and however it is packed."""
    digest = hashlib.sha256(repr(volume.shape).encode())
    digest.update(np.ascontiguousarray(volume.array).tobytes())
    return digest.hexdigest()


def _describe_cut(
    volume: Volume, plane: Plane, shape: tuple[int, ...], place: tuple[int, int, int]
) -> str:
    """What of a volume is kept as slices of a plane, a line of its log."""
    whole = view_slices(volume.array, volume.affine, plane).shape
    return (
        f"kept {shape[0]} of {whole[0]} {plane} slices, {shape[1]} x {shape[2]} of "
        f"{whole[1]} x {whole[2]} pixels, from {place} on"
    )


def _describe(
    raw: RawVolume,
    stepped: Stepped,
    window: IntensityWindow,
    split: Split,
    content: str,
    plane: Plane,
    shape: tuple[int, ...],
    place: tuple[int, int, int],
) -> Shard:
    (first, row, column), volume = place, stepped.volume
    names = (name_file(raw.subject), name_file(raw.session), plane)
    scan = "_".join(name for name in names if name)
    return Shard(
        subject=raw.subject,
        session=raw.session,
        domain=raw.domain,
        split=split,
        file=Path(split, raw.domain, f"{scan}.npy").as_posix(),
        source=raw.name,
        content=content,
        plane=plane,
        shape=(shape[0], shape[1], shape[2]),
        first=first,
        corner=(row, column),
        window=(window.low, window.high),
        spacing_mm=in_plane_spacing(volume.affine, plane),
        grid=_grid(volume),
        raw=stepped.raw,
        steps=stepped.log,
        affine=tuple(place_slices(volume.affine, volume.shape, plane, place).ravel().tolist()),
        header=raw.header,
        contradiction=raw.contradiction,
        notes=raw.notes,
    )


def _grid(volume: Volume) -> str:
    """Identity of a voxel grid; affines that differ by less than 0.1 micrometre count as one."""
    affine = np.round(volume.affine, 4) + 0.0  # no negative zeros
    return hashlib.sha256(repr((volume.shape, affine.tolist())).encode()).hexdigest()[:16]
