"""From a raw folder to a dataset: find, split, normalise, cut."""

from i2igalip_cli.engine.dataset import LeftOut
from i2igalip_cli.engine.prepare.checking import check
from i2igalip_cli.engine.prepare.finding import Found, RawVolume, find_volumes
from i2igalip_cli.engine.prepare.run import Plan, PrepareReport, plan, prepare
from i2igalip_cli.engine.prepare.splitting import read_lock, split_subjects

__all__ = [
    "Found",
    "LeftOut",
    "Plan",
    "PrepareReport",
    "RawVolume",
    "check",
    "find_volumes",
    "plan",
    "prepare",
    "read_lock",
    "split_subjects",
]
