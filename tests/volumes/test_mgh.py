"""FreeSurfer's MGH and MGZ, with nibabel as the other reader and writer."""

import gzip
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from i2igalip_cli.errors import EmptyVolumeError, VolumeError
from i2igalip_cli.volumes import Volume, list_volumes, load_entry, load_volume, save_volume

AFFINE = np.array([[-0.9, 0.1, 0, 80], [0, 0, 1.5, -90], [0.1, -0.9, 0, 30], [0, 0, 0, 1.0]])
OFFSETS = {"version": 0, "dims": 4, "type": 20, "goodRASFlag": 28, "delta": 30, "Mdc": 42}


def numbers(shape=(3, 4, 5), dtype=np.int16) -> np.ndarray:
    return np.arange(np.prod(shape)).astype(dtype).reshape(shape)


def write(path: Path, array=None) -> Path:
    nib.save(nib.MGHImage(numbers() if array is None else array, AFFINE), path)
    return path


def patched(path: Path, field: str, value, dtype: str) -> Path:
    raw = bytearray(path.read_bytes())
    content = np.array(value, dtype).tobytes()
    raw[OFFSETS[field] : OFFSETS[field] + len(content)] = content
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("name", ["a.mgh", "a.mgz", "A.MGZ"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "u2"])
def test_what_is_written_keeps_the_header_geometry_bit_for_bit(tmp_path, name, dtype) -> None:
    volume = load_volume(write(tmp_path / "source.mgz", numbers(dtype=dtype)))
    np.testing.assert_array_equal(volume.array, numbers())
    assert volume.stored_dtype == np.dtype(dtype)
    assert volume.warnings == ()
    before = nib.load(tmp_path / "source.mgz")
    np.testing.assert_array_equal(volume.affine, before.affine)
    for stored in ("float32", "int16", "uint16", "uint8", "int32"):
        if np.dtype(dtype).kind == "f" and stored != "float32":
            with pytest.raises(VolumeError, match=r"need a scale, .*use float32"):
                save_volume(volume, tmp_path / name, dtype=stored)
            continue
        save_volume(volume, tmp_path / name, dtype=stored, overwrite=True)
        raw = (tmp_path / name).read_bytes()
        raw = gzip.decompress(raw) if name.lower().endswith("z") else raw
        assert raw[28:90] == gzip.decompress((tmp_path / "source.mgz").read_bytes())[28:90]
        assert load_volume(tmp_path / name).stored_dtype == np.dtype(stored)
        (tmp_path / "plain.mgh").write_bytes(raw)
        after = nib.load(tmp_path / "plain.mgh")
        np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
        np.testing.assert_array_equal(after.affine, before.affine)


def test_each_frame_is_read_by_its_number(tmp_path: Path) -> None:
    array = numbers((3, 4, 5, 6))
    path = write(tmp_path / "a.mgz", array)
    entries = list_volumes(path)
    assert [entry.volume for entry in entries] == list(range(6))
    for n, entry in enumerate(entries):
        np.testing.assert_array_equal(load_entry(entry).array, array[..., n])
    save_volume(load_volume(path, volume=3), tmp_path / "b.mgh", dtype="int16")
    np.testing.assert_array_equal(nib.load(tmp_path / "b.mgh").get_fdata(), array[..., 3])
    with pytest.raises(VolumeError, match="6 volumes on a fourth axis"):
        load_volume(path)


def test_a_volume_of_another_format_gets_a_fresh_header(tmp_path: Path) -> None:
    volume = Volume(array=numbers((7, 5, 4)), affine=AFFINE)
    save_volume(volume, tmp_path / "a.mgz")
    image = nib.load(tmp_path / "a.mgz")
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-4)
    np.testing.assert_array_equal(image.get_fdata(), volume.array)
    again = load_volume(tmp_path / "a.mgz")
    moved = again.affine.copy()
    moved[0, 3] += 5
    save_volume(replace(again, affine=moved), tmp_path / "b.mgz")
    np.testing.assert_allclose(nib.load(tmp_path / "b.mgz").affine, moved, atol=1e-4)


def test_tags_after_the_voxels_are_no_damage(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.mgh").read_bytes()
    (tmp_path / "b.mgh").write_bytes(raw[: 284 + 120])
    (tmp_path / "c.mgz").write_bytes(gzip.compress(raw + b"tags of any length" * 9))
    for name in ("b.mgh", "c.mgz"):
        volume = load_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, numbers())
        assert volume.warnings == ()


def test_an_unset_ras_flag_is_told_and_kept(tmp_path: Path) -> None:
    volume = load_volume(patched(write(tmp_path / "a.mgh"), "goodRASFlag", 0, ">i2"))
    assert "left and right are unknown" in volume.warnings[0]
    # FreeSurfer's Mri::allocHeader: x_r = -1, y_s = -1, z_a = 1; the centre is the origin
    expected = np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
    np.testing.assert_array_equal(volume.affine[:3, :3], expected)
    np.testing.assert_array_equal(volume.affine @ [1.5, 2, 2.5, 1], [0, 0, 0, 1])
    save_volume(volume, tmp_path / "b.mgh")
    assert (tmp_path / "b.mgh").read_bytes()[28:90] == (tmp_path / "a.mgh").read_bytes()[28:90]


@pytest.mark.parametrize(
    ("field", "value", "dtype", "message"),
    [
        ("version", 2, ">i4", "not a readable MGH file"),
        ("dims", [3, 0, 5, 1], ">i4", "damaged: its header says that its shape"),
        ("dims", [3, -4, 5, 1], ">i4", "damaged: its header says that its shape"),
        ("dims", [3, 4, 5, 10**6], ">i4", "more than 32767 volumes"),
        ("dims", [10**5, 10**5, 100, 1], ">i4", "more than 2147483648 voxels"),
        ("dims", [900, 900, 900, 1], ">i4", "truncated: its header asks for"),
        ("type", 7, ">i4", "voxels of type 7"),
        ("delta", [1, 0, 1], ">f4", r"its voxels have the size \[1.0, 0.0, 1.0\] mm"),
        ("delta", [1, np.nan, 1], ">f4", "its voxels have the size"),
        ("Mdc", [0] * 9, ">f4", "its transform by direction cosines is singular"),
        ("Mdc", [np.nan] * 9, ">f4", "direction cosines holds NaN"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path, field, value, dtype, message) -> None:
    path = patched(write(tmp_path / "a.mgh"), field, value, dtype)
    with pytest.raises(VolumeError, match=f"a.mgh: .*{message}"):
        load_volume(path)


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.mgh").read_bytes()
    packed = gzip.compress(raw)
    (tmp_path / "nan.mgh").write_bytes(
        write(tmp_path / "f.mgh", np.full((3, 4, 5), np.nan, np.float32)).read_bytes()
    )
    for name, content, message in [
        ("b.mgh", raw[:283], "not a readable MGH"),
        ("c.mgh", raw[:400], "truncated"),
        ("d.mgz", packed[:-3], "truncated"),
        ("e.mgz", packed[:-8] + b"\0\0\0\0" + packed[-4:], "damaged"),
        ("f.mgz", b"", "not a readable MGH"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(VolumeError, match=f"{name}: .*{message}") as caught:
            load_volume(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(EmptyVolumeError, match="none of its 60 voxels is finite"):
        load_volume(tmp_path / "nan.mgh")
