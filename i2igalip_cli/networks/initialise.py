"""How networks begin."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Networks made while this lasts have the weights of a seed; the global state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def initialise_normal(*networks: nn.Module, deviation: float = 0.02) -> None:
    """Convolutions and linear layers of a normal distribution around 0, as DCGAN begins.

    Radford et al. 2016; CycleGAN and the patch discriminators have taken it over.
    """
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_xavier(network: nn.Module) -> None:
    """Convolutions and linear layers after Glorot and Bengio 2010, uniform, without biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
