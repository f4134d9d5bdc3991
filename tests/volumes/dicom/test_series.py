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
    uids = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")
    shared = {keyword: generate_uid() for keyword in uids}
    for number in range(count):
        own = {name: values[number] for name, values in kwargs.items()}
        extra = {**shared, **own.pop("extra", {})}
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
    with pytest.raises(VolumeError, match=r"2 volumes; choose one .* 3 't1 tse' .* 5 't2 tse'"):
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
        ({"Rows": 0}, "Rows is absent"),
        ({"SeriesInstanceUID": ""}, "SeriesInstanceUID is absent"),
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
        load(tmp_path)
    whole = make_enhanced(make_series())
    whole.NumberOfFrames = 5
    with pytest.raises(VolumeError, match="5 frames, but functional groups of 4"):
        list(flatten(whole))


def test_two_patients_under_one_series_uid_are_two_volumes(tmp_path) -> None:
    uid = generate_uid()
    above = affine_of("LPS")
    above[2, 3] += 12.0  # 4 slices of 3 mm: the second begins where the first ends
    for name, affine in (("a", affine_of("LPS")), ("b", above)):
        make_series(
            tmp_path / name, affine=affine, extra={"SeriesInstanceUID": uid, "PatientID": name}
        )
    assert [read(entry).shape for entry in list_volumes(tmp_path)] == [(7, 5, 4)] * 2


def test_echoes_beside_or_between_each_other_are_volumes_of_their_own(tmp_path) -> None:
    between = affine_of("LPS")
    between[2, 3] += 1.5
    one_study(
        tmp_path,
        2,
        stored=[ramp(), ramp(low=1000)],
        affine=[affine_of("LPS"), between],
        extra=[{"EchoTime": "10"}, {"EchoTime": "80"}],
    )
    assert [read(entry).array.min() for entry in list_volumes(tmp_path)] == [0, 1000]


def test_an_echo_time_that_varies_a_little_splits_nothing(tmp_path) -> None:
    per_slice = [{"EchoTime": time} for time in ("9.40", "9.41", "9.40", "9.41", "9.40", "9.41")]
    make_series(tmp_path, stored=ramp((7, 5, 6)), per_slice=per_slice)
    assert load(tmp_path).shape == (7, 5, 6)


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        ({"PixelSpacing": ["1.3", "0.8"]}, "2 of 6 images .* differ in PixelSpacing"),
        ({"ImageOrientationPatient": ["1", "0.005", "0", "-0.005", "1", "0"]}, "differ in ImageO"),
    ],
)
def test_a_few_slices_that_differ_never_vanish(tmp_path, odd, what) -> None:
    make_series(tmp_path, stored=ramp((7, 5, 6)), per_slice=[{}] * 4 + [odd] * 2)
    with pytest.raises(VolumeError, match=what):
        load(tmp_path)


def test_rounding_of_directions_and_spacings_splits_nothing(tmp_path) -> None:
    odd = {"PixelSpacing": ["1.25001", "0.8"], "ImageType": ["DERIVED", "PRIMARY", "M"]}
    odd |= {"ImageOrientationPatient": ["0.9999999", "0.0005", "0", "-0.0005", "0.9999999", "0"]}
    make_series(tmp_path, stored=ramp((7, 5, 6)), per_slice=[{}] * 4 + [odd] * 2)
    assert load(tmp_path).shape == (7, 5, 6)


def test_images_that_are_left_out_of_a_series_are_told(tmp_path) -> None:
    one_study(
        tmp_path,
        2,
        stored=[ramp((7, 5, 1)), ramp()],
        affine=[affine_of("PSL"), affine_of("LPS")],
    )
    volume = load(tmp_path)
    assert volume.shape == (7, 5, 4)
    assert any("1 other images of its series are left out" in w for w in volume.warnings)


def test_an_object_of_another_kind_does_not_decide_for_its_series(tmp_path) -> None:
    one_study(
        tmp_path,
        2,
        stored=[ramp((7, 5, 1)), ramp()],
        extra=[{"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, {}],
    )
    assert load(tmp_path).shape == (7, 5, 4)


def test_small_errors_of_distance_must_not_add_up(tmp_path) -> None:
    heights = np.concatenate([np.arange(40) * 3.0, 39 * 3.0 + np.arange(1, 41) * 3.05])
    per_slice = [{"ImagePositionPatient": ["0", "0", f"{z:.4f}"]} for z in heights]
    make_series(tmp_path, stored=ramp((7, 5, 80)), per_slice=per_slice)
    with pytest.raises(VolumeError, match=r"irregular distances between slices: 3\.000 to 3\.050"):
        load(tmp_path)


def test_positions_rounded_to_tenths_are_regular(tmp_path) -> None:
    per_slice = [{"ImagePositionPatient": ["0", "0", f"{z * 0.625:.1f}"]} for z in range(12)]
    make_series(tmp_path, stored=ramp((7, 5, 12)), per_slice=per_slice)
    assert load(tmp_path).shape == (7, 5, 12)


def test_the_last_slice_stays_when_distances_become_regular(tmp_path) -> None:
    stored = np.zeros((7, 5, 5), np.uint16)
    stored[:, :, 4] = 900
    per_slice = [{"ImagePositionPatient": ["0", "0", str(z)]} for z in (0, 3, 6, 9, 10.4)]
    make_series(tmp_path, stored=stored, per_slice=per_slice)
    for way in ("resample", "nearest"):
        assert load(tmp_path, irregular=way).array.max() == 900


def test_rounded_places_cost_no_edge(tmp_path) -> None:
    """Directions of 6 and positions of 4 decimals, a slice missing, all voxels alike."""
    affine = oblique("LPS")
    stored = np.full((7, 5, 6), 100, np.uint16)
    stored[3, 2, 3] = 0
    slices = make_series(tmp_path, stored=stored, affine=affine)
    for k, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [f"{x:.4f}" for x in dataset.ImagePositionPatient]
        dataset.ImageOrientationPatient = [f"{x:.6f}" for x in dataset.ImageOrientationPatient]
        dataset.save_as(tmp_path / f"IM{k + 1:04d}", enforce_file_format=True)
    (tmp_path / "IM0002").unlink()
    for way in ("resample", "nearest"):
        volume = load(tmp_path, irregular=way)
        assert volume.shape == (7, 5, 6)
        assert np.isclose(volume.array, 100, atol=0.1).sum() == volume.array.size - 1


def test_each_volume_of_a_series_is_read_as_it_was_listed(tmp_path) -> None:
    """Single slices are its first volume; an enhanced file has two echoes more."""
    uids = {k: generate_uid() for k in ("SeriesInstanceUID", "StudyInstanceUID")}
    uids["FrameOfReferenceUID"] = generate_uid()
    make_series(tmp_path, stored=ramp((7, 5, 6)), extra={**uids, "EchoTime": "5"})
    echoes = [make_series(stored=ramp(low=low), extra={**uids, "Rows": 5}) for low in (1000, 2000)]
    contents = [{"TemporalPositionIndex": 1}] * 4 + [{"TemporalPositionIndex": 2}] * 4
    whole = make_enhanced([*echoes[0], *echoes[1]], contents=contents)
    whole.save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    entries = list_volumes(tmp_path)
    assert [read(entry).array.min() for entry in entries] == [0, 1000, 2000]
