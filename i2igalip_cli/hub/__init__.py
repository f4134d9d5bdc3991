"""Weights: the manifest, finding and verifying their files, fetching them, and offline bundles.

Only `fetch.py` touches the network, and only when asked to.
"""

from i2igalip_cli.hub.bundle import check_bundle_folder, write_bundle
from i2igalip_cli.hub.fetch import download
from i2igalip_cli.hub.files import (
    FileReport,
    file_sha256,
    locate,
    mend,
    require,
    verify,
)
from i2igalip_cli.hub.find import EncoderPaths, find_checkpoint, find_encoder, is_here
from i2igalip_cli.hub.manifest import (
    WeightsEntry,
    WeightsFile,
    choose,
    is_bundle,
    limits_of,
    read_manifest,
    shipped_folder,
)

__all__ = [
    "EncoderPaths",
    "FileReport",
    "WeightsEntry",
    "WeightsFile",
    "check_bundle_folder",
    "choose",
    "download",
    "file_sha256",
    "find_checkpoint",
    "find_encoder",
    "is_bundle",
    "is_here",
    "limits_of",
    "locate",
    "mend",
    "read_manifest",
    "require",
    "shipped_folder",
    "verify",
    "write_bundle",
]
