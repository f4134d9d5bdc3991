"""The parameters of every method: `python -m i2igalip_cli.methods [--domains N] [--json]`."""

import argparse
import json

import torch
from torch import nn

from i2igalip_cli.config import GeneratorConfig, TrainConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import METHODS
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder


class EncoderSizes(TextImageEncoder):
    """What BiomedCLIP's encoder says of its size, without its weights."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.depth, self.width = 12, 768


def count(name: str, domains: int) -> dict[str, int]:
    """Parameters that a method learns with the paper's settings, by network.

    Args:
        name: In `METHODS`.
        domains: How many domains it translates between.
    """
    config = TrainConfig(method=name, generator=GeneratorConfig(domains=domains))
    named = [Domain(name=f"D{n}", caption=f"domain {n}") for n in range(domains)]
    with torch.device("meta"):  # shapes alone: no memory, no arithmetic
        captions = torch.empty(domains, config.generator.context)
        method = METHODS[name](config, named, captions, None, EncoderSizes())
    return method.parameters_by_network()


def main() -> None:
    """Print the table, or JSON for machines."""
    parser = argparse.ArgumentParser(
        prog="python -m i2igalip_cli.methods", description="Parameters of every method."
    )
    parser.add_argument("--domains", type=int, default=3, help="number of domains (IXI has 3)")
    parser.add_argument("--json", action="store_true", help="method names and totals as JSON")
    options = parser.parse_args()
    if options.domains < 1:
        parser.error(f"--domains {options.domains}: at least 1")
    counts = {name: count(name, options.domains) for name in METHODS}
    if options.json:
        print(json.dumps({name: sum(networks.values()) for name, networks in counts.items()}))
        return
    for name, networks in counts.items():
        for network, number in {**networks, "in all": sum(networks.values())}.items():
            print(f"{name:<10} {network:<16} {number:>13,}")


if __name__ == "__main__":
    main()
