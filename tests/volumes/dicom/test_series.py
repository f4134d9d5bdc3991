"""Which images make a volume: each rule by a series that keeps it and one that breaks it."""

import numpy as np
import pytest
from pydicom.uid import generate_uid
from volumes.dicom.enhanced_maker import make_enhanced
from volumes.dicom.series_maker import ABSENT, affine_of, make_series, oblique, ramp
from volumes.dicom.test_reader import load, place

from i2igalip_cli.errors import VolumeError
from i2igalip_cli.volumes.dicom import list_volumes, read
from i2igalip_cli.volumes.dicom.multiframe import flatten


def one_study(folder, count, **kwargs):
    """Several sets of slices under one series UID; `kwargs` hold one value a set."""
    uid = generate_uid()
    for number in range(count):
        own = {name: values[number] for name, values in kwargs.items()}
        extra = {"SeriesInstanceUID": uid, **own.pop("extra", {})}
        names = [f"{number}_{k}" for k in range(own.get("stored", ramp()).shape[2])]
        make_series(folder, extra=extra, names=names, **own)


def refusals(folder):
    return [entry.refusal for entry in list_volumes(folder)]


def test_two_series_of_a_folder_are_listed_and_one_is_chosen(tmp_path) -> None:
    make_series(tmp_path / "a", extra={"SeriesNumber": 3, "SeriesDescription": "t1 tse"})
    make_series(
        tmp_path / "b", stored=ramp(low=9), extra={"SeriesNumber": 5, "SeriesDescription": "t2 tse"}
    )
    first, second = list_volumes(tmp_path)
    with pytest.raises(VolumeError, match=r"2 series; choose one .* 3 't1 tse' .* 5 't2 tse'"):
        load(tmp_path)
    for chosen in ("5", second.series, "*T2*"):
        assert load(tmp_path, chosen).array.min() == 9
    with pytest.raises(VolumeError, match=r"no series fits --series 4; there are 3 't1 tse'"):
        load(tmp_path, "4")
    assert (first.number, second.number) == (3, 5)


def test_echoes_and_times_of_one_series_become_volumes_of_their_own(tmp_path) -> None:
    stored = [ramp(), ramp(low=1000)]
    one_study(tmp_path / "echo", 2, stored=stored, extra=[{"EchoTime": "15"}, {"EchoTime": "90"}])
    entries = list_volumes(tmp_path / "echo")
    assert [entry.series[-2:] for entry in entries] == ["/1", "/2"]
    assert ["EchoTime 15" in entries[0].description, "EchoTime 90" in entries[1].description]
    assert [read(entry).array.min() for entry in entries] == [0, 1000]
    times = [{"TemporalPositionIdentifier": k, "InstanceNumber": 10 * k} for k in (2, 1)]
    one_study(tmp_path / "time", 2, stored=stored, extra=times)
    assert [read(e).array.min() for e in list_volumes(tmp_path / "time")] == [1000, 0]


def test_what_varies_within_a_volume_does_not_split_it(tmp_path) -> None:
    """dcm2niix once made ten files of one CT whose exposure varied."""
    per_slice = [
        {"Exposure": str(100 + k), "XRayTubeCurrent": str(k), "AcquisitionTime": f"10000{k}"}
        for k in range(4)
    ]
    per_slice[3]["AcquisitionNumber"] = 2
    make_series(tmp_path, modality="CT", per_slice=per_slice)
    assert len(list_volumes(tmp_path)) == 1


def test_original_and_derived_magnitude_and_phase_are_told_apart(tmp_path) -> None:
    types = [
        ["ORIGINAL", "PRIMARY", "M"],
        ["ORIGINAL", "PRIMARY", "P"],
        ["DERIVED", "PRIMARY", "M"],
    ]
    one_study(tmp_path, 3, extra=[{"ImageType": t} for t in types], stored=[ramp(), ramp(), ramp()])
    assert len(list_volumes(tmp_path)) == 3


def test_true_duplicates_are_dropped_with_a_notice(tmp_path) -> None:
    slices = make_series(tmp_path)
    slices[2].save_as(tmp_path / "again.dcm", enforce_file_format=True)
    volume = load(tmp_path)
    assert volume.shape == (7, 5, 4)
    assert any("1 images were there twice" in warning for warning in volume.warnings)


def test_duplicates_that_nothing_tells_apart_are_refused(tmp_path) -> None:
    one_study(tmp_path, 2, stored=[ramp(), ramp(low=5)])
    assert "duplicate slices: 8 at 4 places" in refusals(tmp_path)[0]


def test_a_second_time_point_that_lacks_a_slice_is_refused(tmp_path) -> None:
    one_study(
        tmp_path,
        2,
        stored=[ramp(), ramp()],
        extra=[{"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}],
    )
    (tmp_path / "1_3").unlink()
    assert "duplicate slices: 7 at 4 places" in refusals(tmp_path)[0]


def test_missing_slices_are_refused_and_made_up_on_request(tmp_path) -> None:
    stored = np.broadcast_to(np.arange(6, dtype=np.uint16) * 100, (7, 5, 6)).copy()
    affine = affine_of("LPS")
    make_series(tmp_path, stored=stored, affine=affine)
    (tmp_path / "IM0004").unlink()
    with pytest.raises(
        VolumeError, match=r"missing slices: 1 .* 3.000 mm .*after slice 3.*--irreg"
    ):
        load(tmp_path)
    linear, nearest = (load(tmp_path, irregular=way) for way in ("resample", "nearest"))
    np.testing.assert_allclose(linear.array[3, 2], [0, 100, 200, 300, 400, 500], atol=1e-3)
    assert nearest.array[3, 2, 3] in (200, 400)
    np.testing.assert_allclose(linear.affine, affine, atol=1e-3)
    assert not linear.header.regular
    assert len(linear.header.datasets) == 6
    assert any("missing slices" in warning for warning in linear.warnings)


def test_irregular_distances_are_refused_and_resampled_on_request(tmp_path) -> None:
    make_series(tmp_path, stored=ramp((7, 5, 5)))
    import pydicom

    dataset = pydicom.dcmread(tmp_path / "IM0003")
    dataset.ImagePositionPatient[2] += 1.2
    dataset.save_as(tmp_path / "IM0003")
    with pytest.raises(
        VolumeError, match=r"irregular distances between slices: 1\.800 to 4\.200 mm"
    ):
        load(tmp_path)
    assert load(tmp_path, irregular="resample").shape == (7, 5, 5)


@pytest.mark.parametrize("degrees", [0.3, 14.0])
def test_a_gantry_tilt_is_told_by_positions_alone(tmp_path, degrees) -> None:
    affine = affine_of("LPS", (1.0, 1.0, 3.0))
    affine[1, 2] += 3.0 * np.tan(np.radians(degrees))
    extra = {"GantryDetectorTilt": "0"}
    make_series(tmp_path, affine=affine, modality="CT", extra=extra)
    if degrees < 0.5:
        np.testing.assert_allclose(load(tmp_path).affine, affine, atol=1e-6)
        return
    with pytest.raises(VolumeError, match=r"gantry tilt: .* 14.0 degrees"):
        load(tmp_path)


def test_an_untilted_volume_has_the_marker_where_the_tilted_one_had_it(tmp_path) -> None:
    affine = oblique("LPS", (1.0, 1.0, 3.0))
    row = affine[:3, 1] / np.linalg.norm(affine[:3, 1])
    affine[:3, 2] += 2.0 * row  # two pixels a slice: the way back needs no interpolation
    stored = np.zeros((8, 9, 5), np.uint16)
    stored[3, 4, 3] = 700
    stored[2, 1, 1] = 300
    make_series(tmp_path, stored=stored, affine=affine, modality="CT")
    volume = load(tmp_path, irregular="resample")
    for value, index in ((700, (3, 4, 3)), (300, (2, 1, 1))):
        (found,) = np.argwhere(np.isclose(volume.array, value, atol=0.5))
        expected = affine[:3] @ (*index, 1)
        np.testing.assert_allclose(volume.affine[:3] @ (*found, 1), expected, atol=2e-3)
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "Siemens mosaic"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "reformatted"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "projection"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "Secondary Capture Image Storage, not MR"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "Segmentation Storage, not MR or CT"),
        ({"ImagePositionPatient": ABSENT}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": ""}, "no ImagePositionPatient or ImageOrientationPatient"),
        ({"PixelSpacing": ABSENT, "ImagerPixelSpacing": ["1", "1"]}, "no PixelSpacing"),
        ({"ImagePositionPatient": ["1", "2", "3"]}, "not a volume: all 4 slices lie at one place"),
        ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, "no pair of unit vectors"),
        ({"Rows": 0}, "no pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_volume_is_refused_by_its_rule(tmp_path, extra, rule) -> None:
    make_series(tmp_path, per_slice=[extra] * 4)
    (refusal,) = refusals(tmp_path)
    assert rule in refusal
    with pytest.raises(VolumeError, match=f"{tmp_path.name}: .*{rule[:20]}"):
        load(tmp_path)


def test_few_slices_and_planes_in_all_directions_are_no_volume(tmp_path) -> None:
    make_series(tmp_path / "few", stored=ramp((7, 5, 2)))
    assert refusals(tmp_path / "few") == ["slice count: 2 slices, a volume needs at least 3"]
    affines = [affine_of("LPS"), affine_of("PSL"), affine_of("LSA")]
    one_study(tmp_path / "scout", 3, affine=affines, stored=[ramp((7, 5, 1))] * 3)
    assert all(
        "slice orientation: 3 in one series" in text for text in refusals(tmp_path / "scout")
    )


def test_other_objects_beside_a_series_do_not_stand_in_its_way(tmp_path) -> None:
    make_series(tmp_path / "a")
    make_series(tmp_path / "a" / "sr", extra={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"})
    assert load(tmp_path / "a").shape == (7, 5, 4)


@pytest.mark.parametrize("by_frame", [False, True])
def test_frames_of_an_enhanced_image_in_any_order(tmp_path, by_frame) -> None:
    stored = ramp()
    affine = oblique("PIR")
    slopes = (1.0, 0.5, 3.0, 2.0) if by_frame else 2.0
    slices = make_series(stored=stored, affine=affine, slopes=slopes, intercepts=-7.0)
    whole = make_enhanced(slices, order=(2, 0, 3, 1), rescale_by_frame=by_frame)
    whole.save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    for path in (tmp_path, tmp_path / "whole.dcm"):
        volume = load(path)
        expected = stored * np.array(slopes) - 7
        value = float(expected[2, 3, 1])
        np.testing.assert_allclose(place(volume, value), affine[:3] @ (2, 3, 1, 1), atol=1e-3)
        assert sorted(volume.array.ravel()) == sorted(expected.ravel())
        assert sorted(volume.header.frames) == [1, 2, 3, 4]


def test_times_of_an_enhanced_image_are_told_apart(tmp_path) -> None:
    slices = make_series()
    late = make_series(stored=ramp(low=5000))
    contents = [{"TemporalPositionIndex": 1}] * 4 + [{"TemporalPositionIndex": 2}] * 4
    whole = make_enhanced([*slices, *late], contents=contents)
    whole.save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    first, second = list_volumes(tmp_path)
    assert [read(entry).array.min() for entry in (first, second)] == [0, 5000]


def test_frames_without_groups_are_refused(tmp_path) -> None:
    whole = make_enhanced(make_series())
    del whole.PerFrameFunctionalGroupsSequence
    whole.save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    with pytest.raises(VolumeError, match="4 frames without functional groups"):
        list_volumes(tmp_path)
    whole = make_enhanced(make_series())
    whole.NumberOfFrames = 5
    with pytest.raises(VolumeError, match="5 frames, but functional groups of 4"):
        list(flatten(whole))
