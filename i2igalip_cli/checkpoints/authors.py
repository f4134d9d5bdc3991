"""Reads what the authors' program writes."""

from pathlib import Path
from typing import TYPE_CHECKING

from i2igalip_cli.config import GeneratorConfig
from i2igalip_cli.errors import CheckpointError

if TYPE_CHECKING:
    from i2igalip_cli.networks.unet import Generator


def load_authors_generator(path: str | Path) -> "Generator":
    """Read a generator that the authors' program saved with torch.save.

    Sizes are read off the tensors. The file is unpickled for tensors only: it can't run code.

    Args:
        path: The file; a plain state or one under a key, with or without a "module." prefix.

    Returns:
        Module called as `generator(slices, tokens, domain_index)`, in evaluation mode.

    Raises:
        CheckpointError: Absent, holds more than tensors, or other tensors than a generator's.
    """
    import pickle

    import torch

    from i2igalip_cli.networks.unet import Generator

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: holds more than tensors; refused, it could run code") from (
            error
        )
    except Exception as error:  # torch's reader of pickles meets garbage with any error at all
        reason = (str(error).splitlines() or ["empty"])[0]
        raise CheckpointError(f"{path}: not a file of torch.save ({reason})") from error
    if isinstance(state, dict) and "label_emb.weight" not in state:
        inner = [v for v in state.values() if isinstance(v, dict)]
        state = inner[0] if len(inner) == 1 else state
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no state of a generator")
    state = {str(name).removeprefix("module."): tensor for name, tensor in state.items()}
    attended = [name for name in state if name.endswith("attn2.to_k.weight")]
    if "label_emb.weight" not in state or not attended:
        raise CheckpointError(f"{path}: holds no generator of I2I-Galip (no label_emb or attn2)")
    config = GeneratorConfig(
        domains=state["label_emb.weight"].shape[0], context=state[attended[0]].shape[1]
    )
    generator = Generator(config)
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: other tensors than the paper's generator has ({str(error).splitlines()[1]})"
        ) from error
    return generator.eval()
