"""Subjects of a prepared dataset as volumes again, and the list by which they are evaluated.

    python examples/unpack.py DATASET OUT [--split test] [--to DOMAIN] [--any-grid]

Written, in the intensities and at the places they had after all steps of `prepare`, registration
too, of each subject of the split:
    OUT/T1/IXI012_T1.nii.gz             likewise for all domains
    OUT/pairs.csv                       for `evaluate --pairs`, which names
    OUT/T1_to_T2/IXI012_T1_T2.nii.gz    what `translate OUT/T1 --to T2 -o OUT/T1_to_T2` makes
A pair is of two domains of a subject that `prepare` has registered: they lie on one grid, and are
written so, with nothing where one of them was cut. --any-grid pairs all that a subject has, as it
lies, for archives that registered volumes on grids of their own.
"""

import argparse
import csv
from collections import defaultdict
from itertools import permutations
from pathlib import Path

import numpy as np

from i2igalip_cli import save_volume
from i2igalip_cli.engine.dataset import DatasetIndex, Shard, open_shard, read_index
from i2igalip_cli.volumes import Volume

COLUMNS = ("prediction", "reference", "source", "subject", "target")
Visit = dict[str, Shard]  # by domain


def name_volume(shard: Shard) -> str:
    """A name that says the subject, the visit and at the end the domain."""
    return f"{Path(shard.file).stem.removesuffix(f'_{shard.plane}')}_{shard.domain}"


def find_visits(index: DatasetIndex, split: str, any_grid: bool) -> list[Visit]:
    """The shards of a split, in the first plane, that belong together."""
    visits: dict[tuple[str, ...], Visit] = defaultdict(dict)
    for shard in index.shards:
        if shard.split == split and shard.plane == index.planes[0]:
            grid = "" if any_grid else shard.grid
            visits[shard.subject, shard.session, grid][shard.domain] = shard
    return list(visits.values())


def find_frame(shards: list[Shard]) -> tuple[np.ndarray, np.ndarray]:
    """First slice, row and column of a box that holds all of some shards, and its size."""
    starts = np.array([(shard.first, *shard.corner) for shard in shards])
    ends = starts + [shard.shape for shard in shards]
    return starts.min(axis=0), ends.max(axis=0) - starts.min(axis=0)


def unpack(dataset: Path, shard: Shard, frame: tuple[np.ndarray, np.ndarray], path: Path) -> None:
    """Write the slices of a shard, in their place in a frame, as a volume in its own unit."""
    (start, size), (low, high) = frame, shard.window
    within = np.subtract((shard.first, *shard.corner), start)
    array = np.full(size, low, np.float32)
    place = tuple(slice(a, a + n) for a, n in zip(within, shard.shape, strict=True))
    array[place] += np.float32(high - low) * open_shard(dataset, shard)
    back = np.eye(4)
    back[:3, 3] = -within
    path.parent.mkdir(parents=True, exist_ok=True)
    save_volume(Volume(array=array, affine=np.reshape(shard.affine, (4, 4)) @ back), path)


def list_pairs(visits: list[Visit], domains: list[str], wanted: list[str]) -> list[tuple[str, ...]]:
    """A row of COLUMNS for each direction of each visit; the target tells the direction."""
    rows = []
    for source, target in permutations(domains, 2):
        for visit in visits:
            if target in wanted and {source, target} <= visit.keys():
                ours, theirs = (name_volume(visit[domain]) for domain in (source, target))
                prediction = f"{source}_to_{target}/{ours}_{target}.nii.gz"
                files = (f"{target}/{theirs}.nii.gz", f"{source}/{ours}.nii.gz")
                rows.append((prediction, *files, visit[source].subject, f"{source} to {target}"))
    return rows


def main() -> None:
    """Unpack the split that the command line asks for."""
    parser = argparse.ArgumentParser(description="Volumes of a prepared dataset, and their pairs.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--to", action="append", metavar="DOMAIN", help="only these; default all")
    parser.add_argument("--any-grid", action="store_true")
    options = parser.parse_args()
    index = read_index(options.dataset)
    domains = [domain.name for domain in index.domains]
    visits = find_visits(index, options.split, options.any_grid)
    pairs = list_pairs(visits, domains, options.to or domains)
    if not pairs:
        raise SystemExit(f"{options.dataset}: no subject of {options.split} has registered volumes")
    for visit in visits:
        shards = list(visit.values())
        for shard in shards:
            frame = find_frame([shard] if options.any_grid else shards)
            path = options.out / shard.domain / f"{name_volume(shard)}.nii.gz"
            if not path.exists():
                unpack(options.dataset, shard, frame, path)
    with (options.out / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *pairs])
    print(f"{options.out / 'pairs.csv'}: {len(pairs)} pairs of {len(visits)} visits")


if __name__ == "__main__":
    main()
