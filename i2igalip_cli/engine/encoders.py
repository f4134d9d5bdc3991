"""Which text-image encoder a name means, and whether a checkpoint was trained with it."""

from pathlib import Path

from i2igalip_cli import hub
from i2igalip_cli.checkpoints import Checkpoint
from i2igalip_cli.errors import CheckpointError
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder


def open_encoder(name: str, weights: Path | None = None) -> TextImageEncoder:
    """Open an encoder; never another one in its place.

    Args:
        name: A folder, a name that `download-weights --list` shows, or an open_clip name.
        weights: A bundle of `download-weights --to` in which names are looked up first.

    Raises:
        CheckpointError: One of ours that isn't on this machine (the message says how to fetch it);
            one of open_clip that can't be fetched; one that can't be loaded.
    """
    paths = hub.find_encoder(name, weights)
    if paths is None:
        return TextImageEncoder.from_name(name)
    return TextImageEncoder.from_folder(paths.folder, paths.text_tower)


def open_encoder_of(
    checkpoint: Checkpoint, name: str | None = None, weights: str | Path | None = None
) -> TextImageEncoder:
    """Open the encoder that a checkpoint was trained with.

    Args:
        checkpoint: Names its encoder and that one's hash.
        name: Where the encoder is found, if not under the name that the checkpoint has for it.
        weights: What the checkpoint was loaded from; a bundle of `download-weights --to` is where
            the encoder is looked up first.

    Raises:
        CheckpointError: It isn't here, can't be loaded, or is another one.
    """
    known = str(checkpoint.provenance.get("encoder", ""))
    wanted = str(checkpoint.provenance.get("encoder_sha256", ""))
    if not (name or known):
        raise CheckpointError(f"{checkpoint.name} doesn't say which encoder it was trained with")
    bundle = None
    if weights is not None and hub.is_bundle(Path(weights)):
        bundle = Path(weights)
    encoder = open_encoder(name or known, bundle)
    found = encoder.fingerprint()
    if found != wanted:
        raise CheckpointError(
            f"the encoder {name or known} ({found[:12]}) isn't the one that {checkpoint.name} was "
            f"trained with ({known}, {wanted[:12] or 'unknown'}); give that one with --encoder"
        )
    return encoder
