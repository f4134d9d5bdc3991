"""The parameters of every method: `python -m i2igalip_cli.methods [--domains N] [--json]`."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from i2igalip_cli.config import CONFIGS, TrainConfig, UgatitConfig
from i2igalip_cli.domains import Domain
from i2igalip_cli.methods import METHODS, Method
from i2igalip_cli.methods.base import Part
from i2igalip_cli.networks.text_image_encoder import TextImageEncoder

IXI = 3  # domains
CONTEXT = 512  # of a pooled caption


class EncoderSizes(TextImageEncoder):
    """What BiomedCLIP's encoder says of its size, without its weights."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.depth, self.width = 12, 768


def sized(config: TrainConfig) -> Method[Any]:
    """A method without memory for its weights, as for IXI's domains."""
    domains = 2 if config.two_domains else IXI
    named = [Domain(name=f"D{n}", caption=f"domain {n}") for n in range(domains)]
    with torch.device("meta"):  # shapes alone: no memory, no arithmetic
        captions = torch.empty(domains, CONTEXT)
        fitted = config.fit(domains, CONTEXT)
        return METHODS[config.method](fitted, named, captions, None, EncoderSizes())


def variants() -> Mapping[str, TrainConfig]:
    """The settings of every method by a name for the table."""
    return {
        **{name: kind() for name, kind in CONFIGS.items()},
        "ugatit light": UgatitConfig(light=True),
    }


def count(parts: Mapping[str, Part], domains: int) -> int:
    """Parameters that a method learns in all directions, counted as in Table 3 of the paper.

    Args:
        parts: Of the method. (A generator of I2I-Galip has 128 parameters more or less for each
            domain, the rows of its label table: counted is IXI's.)
        domains: Between how many it translates.
    """
    return sum(part.times(domains) * part.parameters for part in parts.values())


def main() -> None:
    """Print the table, or JSON for machines."""
    parser = argparse.ArgumentParser(
        prog="python -m i2igalip_cli.methods",
        description="Parameters of every method, counted as in Table 3 of the paper.",
    )
    parser.add_argument("--domains", type=int, default=IXI, help="of the JSON; IXI has 3")
    parser.add_argument("--json", action="store_true", help="method names and totals as JSON")
    parser.add_argument(
        "--parts", action="store_true", help="of the JSON: one of each part instead"
    )
    options = parser.parse_args()
    if options.domains < 1:
        parser.error(f"--domains {options.domains}: at least 1")
    if options.json:
        print(json.dumps(_tabulate(options.domains, parts=options.parts)))
        return
    for name, config in variants().items():
        parts = sized(config).parts()
        rows = {
            part if one.each == "model" else f"{part} a {one.each}": one.parameters
            for part, one in parts.items()
        }
        for domains in (IXI, IXI + 1):
            rows[f"in all, {domains} domains"] = count(parts, domains)
        for row, number in rows.items():
            print(f"{name:<14} {row:<28} {number:>13,}")


def _tabulate(domains: int, *, parts: bool) -> dict[str, Any]:
    """Totals by method, or what one of each of its parts has."""
    if parts:
        return {
            name: {part: one.parameters for part, one in sized(config).parts().items()}
            for name, config in variants().items()
        }
    return {name: count(sized(config).parts(), domains) for name, config in variants().items()}


if __name__ == "__main__":
    main()
