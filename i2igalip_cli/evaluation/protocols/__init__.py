"""Protocols: one a file, one line in `PROTOCOLS`."""

from i2igalip_cli.evaluation.protocols.base import (
    Case,
    IntArray,
    Protocol,
    ProtocolScores,
    ProtocolSettings,
    hash_settings,
)
from i2igalip_cli.evaluation.protocols.fixed import Fixed
from i2igalip_cli.evaluation.protocols.multiscale import Multiscale
from i2igalip_cli.evaluation.protocols.paper import Paper
from i2igalip_cli.evaluation.protocols.slicewise import BoolArray
from i2igalip_cli.evaluation.protocols.synthrad import SynthRAD2023, SynthRAD2025

PROTOCOLS: dict[str, type[Protocol]] = {
    protocol.name: protocol for protocol in (Paper, Fixed, Multiscale, SynthRAD2023, SynthRAD2025)
}

__all__ = [
    "PROTOCOLS",
    "BoolArray",
    "Case",
    "IntArray",
    "Protocol",
    "ProtocolScores",
    "ProtocolSettings",
    "hash_settings",
]
