"""A derived series in its files: written whole, or not at all."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import DataElement, Dataset
from pydicom.config import IGNORE
from volumes.dicom.series_maker import affine_of, make_series
from volumes.dicom.written_series import (
    FLOAT,
    KINDS,
    bare_volume,
    intensities,
    source_volume,
    written,
)

from i2igalip_cli import __version__
from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom.write import IMPLEMENTATION_CLASS_UID, write


def test_intensities_of_each_slice_are_its_own(tmp_path: Path) -> None:
    volume = source_volume(make_series())
    np.testing.assert_array_equal(intensities(written(volume, tmp_path / "out")), volume.array)


@pytest.mark.parametrize("kind", KINDS)
def test_file_meta_information(tmp_path: Path, kind) -> None:
    written(KINDS[kind](), tmp_path / "out")
    for file in (tmp_path / "out").iterdir():
        assert file.read_bytes()[128:132] == b"DICM"
        dataset = pydicom.dcmread(file)
        meta = dataset.file_meta
        assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert meta.MediaStorageSOPClassUID == dataset.SOPClassUID
        assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert meta.ImplementationVersionName == f"I2IGALIP_{__version__}"
        assert len(meta.ImplementationVersionName) <= 16


def test_all_else_is_the_same_each_time(tmp_path: Path) -> None:
    volume = source_volume(make_series())
    changing = {"SOPInstanceUID", "SeriesInstanceUID", "InstanceCreationTime", "SeriesTime"}
    changing |= {"ContentTime", "ContributingEquipmentSequence"}
    changing |= {"InstanceCreationDate", "SeriesDate", "ContentDate"}  # at midnight
    for one, two in zip(
        written(volume, tmp_path / "1"), written(volume, tmp_path / "2"), strict=True
    ):
        differing = {e.keyword for e in one if e != two.get(e.tag)}
        assert differing <= changing
        assert one.keys() == two.keys()


@pytest.mark.slow
def test_names_have_as_many_digits_as_the_slices_need(tmp_path: Path) -> None:
    array = np.zeros((1, 1, 10_001), np.float32)
    write(bare_volume(affine_of("LPS"), array=array), tmp_path / "out", dtype=FLOAT)
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names[0] == "00001.dcm"
    assert names[-1] == "10001.dcm"
    assert pydicom.dcmread(tmp_path / "out" / names[-1]).InstanceNumber == 10_001


def test_a_folder_in_the_way_is_kept(tmp_path: Path) -> None:
    first = written(bare_volume(), tmp_path / "out")
    with pytest.raises(VolumeError, match="out exists; give another -o or --overwrite"):
        write(bare_volume(), tmp_path / "out", dtype=FLOAT)
    again = pydicom.dcmread(tmp_path / "out" / "0001.dcm")
    assert again.SOPInstanceUID == first[0].SOPInstanceUID


def test_a_series_of_this_program_is_replaced_whole(tmp_path: Path) -> None:
    array = np.zeros((7, 5, 9), np.float32)
    first = written(bare_volume(array=array), tmp_path / "out")
    second = written(bare_volume(), tmp_path / "out", overwrite=True)
    assert len(second) == 4
    assert second[0].SeriesInstanceUID != first[0].SeriesInstanceUID
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["IM0001", "0001.dcm", "notes.txt"])
def test_overwriting_never_takes_what_this_program_did_not_write(tmp_path: Path, name) -> None:
    series = make_series(tmp_path / "out", stored=np.zeros((7, 5, 1), np.int16), names=[name])
    written(bare_volume(), tmp_path / "out2")
    (tmp_path / "out2" / "0001.dcm").rename(tmp_path / "out" / "0002.dcm")
    before = (tmp_path / "out" / name).read_bytes()
    with pytest.raises(VolumeError, match=f"{name} in it isn't of a series that i2igalip wrote"):
        write(source_volume(make_series()), tmp_path / "out", dtype=FLOAT, overwrite=True)
    assert (tmp_path / "out" / name).read_bytes() == before
    assert len(series) == 1


def test_a_file_is_not_a_folder_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(VolumeError, match=r"can't write .*out: .*choose another -o"):
        write(bare_volume(), tmp_path / "out", dtype=FLOAT, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "a file"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(VolumeError, match=r"can't write .*choose another -o"):
        write(bare_volume(), tmp_path / "absent" / "out", dtype=FLOAT)
    written(bare_volume(), tmp_path / "kept")
    save = Dataset.save_as

    def full(dataset, file, **options):
        if Path(file).name == "0003.dcm":
            Path(file).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(dataset, file, **options)

    monkeypatch.setattr(Dataset, "save_as", full)
    before = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    for name, overwrite in (("out", False), ("kept", True)):
        with pytest.raises(VolumeError, match="No space left on device"):
            write(bare_volume(), tmp_path / name, dtype=FLOAT, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()} == before


def test_a_value_that_no_file_can_hold_is_refused_in_one_line(tmp_path: Path) -> None:
    volume = source_volume(make_series())
    broken = volume.header.datasets[0]
    broken[0x00101030] = DataElement(0x00101030, "DS", [], validation_mode=IGNORE)
    broken[0x00101030]._value = object()  # as damaged memory would be
    broken[0x0020000D]._value = 5
    with pytest.raises(VolumeError, match=r"out: .* a value that isn't legal DICOM") as caught:
        write(volume, tmp_path / "out", dtype=FLOAT)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_header_of_other_slices_is_refused(tmp_path: Path) -> None:
    volume = source_volume(make_series())
    cut = source_volume(make_series(), array=volume.array[:, :, 1:])
    with pytest.raises(VolumeError, match="its header is of 4 slices, its array of 3"):
        write(cut, tmp_path / "out", dtype=FLOAT)
