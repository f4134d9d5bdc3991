"""Which domain's caption fits each volume, by the text-image encoder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2igalip_cli import hub
from i2igalip_cli.domains import Domain
from i2igalip_cli.engine.dataset import Shard, open_shard
from i2igalip_cli.engine.quality.captions import share_captions
from i2igalip_cli.engine.quality.embedding import choose_slices, embed_slices
from i2igalip_cli.engine.side_by_side import Progress

BIOMEDCLIP = "biomedclip"  # the paper's encoder: it has seen medical images of all kinds
SLICES = 8  # of a volume


def check_encoder(encoder: str) -> None:
    """Refuse an encoder that can't be asked, before hours are spent on what it shall judge.

    Args:
        encoder: Its name or folder; "" takes BiomedCLIP where this machine has it.

    Raises:
        CheckpointError: The encoder that was named isn't here or can't be loaded; BiomedCLIP is
            here, but damaged.
    """
    if encoder:
        from i2igalip_cli.engine.encoders import open_encoder  # torch: not for every audit

        open_encoder(encoder)
    elif hub.is_here(BIOMEDCLIP):
        hub.find_encoder(BIOMEDCLIP)


def fit_captions(
    folder: Path, shards: Sequence[Shard], domains: Sequence[Domain], encoder: str, tell: Progress
) -> tuple[dict[str, dict[str, float]], str]:
    """Compare volumes with the captions of a dataset's domains.

    Args:
        folder: The prepared dataset.
        shards: One of each volume.
        domains: With the captions.
        encoder: Its name or folder; "" takes BiomedCLIP where this machine has it.
        tell: Called with (volumes done, volumes in all).

    Returns:
        By volume's name, how well it fits each domain, in [0, 1]; {} and the reason where no
        encoder was named and none is here.

    Raises:
        CheckpointError: The encoder that was named isn't here, or one can't be loaded.
        DatasetError: A shard can't be read.
    """
    if not (encoder or hub.is_here(BIOMEDCLIP)):
        return {}, f"no encoder: `i2igalip download-weights {BIOMEDCLIP}`, or --encoder"
    from i2igalip_cli.engine.encoders import open_encoder  # torch: not for every audit

    opened = open_encoder(encoder or BIOMEDCLIP)
    captions = opened.encode_captions([domain.caption for domain in domains]).numpy()
    found = {}
    for number, shard in enumerate(shards):
        stored = open_shard(folder, shard)
        slices = np.asarray(stored[choose_slices(stored, SLICES)], np.float32)[:, None]
        shares = share_captions(embed_slices(opened, slices, SLICES), captions)
        found[shard.source] = dict(
            zip((domain.name for domain in domains), shares.tolist(), strict=True)
        )
        tell(number + 1, len(shards))
    return found, ""
