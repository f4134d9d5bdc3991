"""The parameters of every method: `python -m i2igalip_cli.methods [--domains N] [--json]`."""

import argparse
import json

import torch
from torch import nn

from i2igalip_cli.config import GeneratorConfig, TrainConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import METHODS
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

IXI = 3  # domains


class EncoderSizes(TextImageEncoder):
    """What BiomedCLIP's encoder says of its size, without its weights."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.depth, self.width = 12, 768


def count(name: str, domains: int = IXI) -> dict[str, int]:
    """Parameters that a method learns with the paper's settings, by network.

    Counted as in Table 3 of the paper: what translates once, as for IXI's three domains, and a
    discriminator for each domain. (A generator for another number of domains has 128 parameters
    more or less for each, the rows of its label table.)

    Args:
        name: In `METHODS`.
        domains: How many domains it translates between.
    """
    config = TrainConfig(method=name, generator=GeneratorConfig(domains=IXI))
    named = [Domain(name=f"D{n}", caption=f"domain {n}") for n in range(IXI)]
    with torch.device("meta"):  # shapes alone: no memory, no arithmetic
        captions = torch.empty(IXI, config.generator.context)
        method = METHODS[name](config, named, captions, None, EncoderSizes())
    counted = method.parameters_by_network()
    return {
        network: number if network in method.exported else number // IXI * domains
        for network, number in counted.items()
    }


def main() -> None:
    """Print the table, or JSON for machines."""
    parser = argparse.ArgumentParser(
        prog="python -m i2igalip_cli.methods",
        description="Parameters of every method, counted as in Table 3 of the paper.",
    )
    parser.add_argument("--domains", type=int, default=IXI, help="of the JSON; IXI has 3")
    parser.add_argument("--json", action="store_true", help="method names and totals as JSON")
    options = parser.parse_args()
    if options.domains < 1:
        parser.error(f"--domains {options.domains}: at least 1")
    if options.json:
        totals = {name: sum(count(name, options.domains).values()) for name in METHODS}
        print(json.dumps(totals))
        return
    for name in METHODS:
        one = count(name, 1)
        rows = {
            **one,
            f"in all, {IXI} domains": sum(count(name, IXI).values()),
            f"in all, {IXI + 1} domains": sum(count(name, IXI + 1).values()),
        }
        for row, number in rows.items():
            label = f"{row} a domain" if row == "discriminator" else row
            print(f"{name:<10} {label:<24} {number:>13,}")


if __name__ == "__main__":
    main()
