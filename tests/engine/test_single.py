"""One volume to several targets: what is in memory, and what is judged before."""

import weakref

import pytest
from conftest import make_checkpoint, write_head

from i2igalip_cli.checkpoints import save_checkpoint
from i2igalip_cli.domains import DOMAINS
from i2igalip_cli.engine import single
from i2igalip_cli.engine.cohort.settings import TranslationSettings
from i2igalip_cli.errors import ConfigError, VolumeError


def test_no_earlier_result_is_in_memory(identity, t1, checkpoint_file, monkeypatch) -> None:
    alive: weakref.WeakSet = weakref.WeakSet()
    counts: list[int] = []
    save = single.save_volume

    def saving(volume, path, **kwargs) -> None:
        alive.add(volume)
        counts.append(len(alive))
        save(volume, path, **kwargs)

    monkeypatch.setattr(single, "save_volume", saving)
    settings = TranslationSettings(
        targets=("T1", "T2", "PD"), weights=str(checkpoint_file), options=identity
    )
    reports = single.translate_single(t1, settings)
    assert counts == [1, 1, 1]
    assert [report.values["target"] for report in reports] == ["T1", "T2", "PD"]
    assert len(alive) == 0


def test_what_one_target_cant_be_stops_all_before_the_first(identity, tmp_path) -> None:
    """CT has no place in an unsigned type, MR has."""
    domains = tuple(DOMAINS[name] for name in ("T1", "pelvic-MR", "pelvic-CT"))
    save_checkpoint(make_checkpoint(domains=domains), tmp_path / "tiny.safetensors")
    path = write_head(tmp_path / "in.nii")
    before = set(tmp_path.iterdir())
    for targets, error in (
        (("pelvic-MR", "pelvic-CT"), VolumeError),
        (("pelvic-MR", "T9"), ConfigError),
    ):
        settings = TranslationSettings(
            targets=targets,
            weights=str(tmp_path / "tiny.safetensors"),
            dtype="uint16",
            options=identity,
        )
        with pytest.raises(error):
            single.translate_single(path, settings)
    assert set(tmp_path.iterdir()) == before
