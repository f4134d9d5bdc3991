"""Translation: geometry kept, results that depend on nothing but volume and checkpoint."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from conftest import OBLIQUE, head, make_checkpoint

from i2igalip_cli import evaluate, load_checkpoint, load_volume, save_volume, translate
from i2igalip_cli.domains import DOMAINS, Domain
from i2igalip_cli.engine.backends import BACKENDS
from i2igalip_cli.engine.translation import TranslationOptions
from i2igalip_cli.engine.translator import translate_volume
from i2igalip_cli.errors import ConfigError, VolumeError
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.grid import orthogonal_grid, resample
from i2igalip_cli.volumes.intensity import find_window


def volume(**kwargs) -> Volume:
    return Volume(array=head(**kwargs), affine=OBLIQUE)


def test_the_result_lies_where_the_source_lies_and_differs_by_target(checkpoint) -> None:
    source = volume()
    results = {to: translate(source, to=to, weights=checkpoint) for to in ("T1", "T2", "PD")}
    for result in results.values():
        assert result.shape == source.shape
        np.testing.assert_array_equal(result.affine, source.affine)
        assert np.isfinite(result.array).all()
    assert np.abs(results["T1"].array - results["T2"].array).max() > 1e-3


@pytest.mark.parametrize("axes", ["LPS", "RAI", "SPL", "AIR"])
@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_a_reoriented_source_gives_the_reoriented_result(axes, plane) -> None:
    weights = make_checkpoint(planes={plane: (1.9, 1.9)})
    affine = np.diag([2.0, 2.0, 3.0, 1])
    image = nib.Nifti1Image(head(), affine)
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    straight = translate(Volume(array=head(), affine=affine), to="T2", weights=weights)
    result = translate(
        Volume(array=turned.get_fdata(dtype=np.float32), affine=turned.affine),
        to="T2",
        weights=weights,
    )
    back = nib.as_closest_canonical(nib.Nifti1Image(result.array, result.affine))
    np.testing.assert_array_equal(back.get_fdata(dtype=np.float32), straight.array)


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 7}, {"batch_size": 64}])
def test_the_result_is_bit_identical_whatever_batch_size(checkpoint, options) -> None:
    reference = translate(volume(), to="PD", weights=checkpoint)
    result = translate(volume(), to="PD", weights=checkpoint, options=TranslationOptions(**options))
    np.testing.assert_array_equal(result.array, reference.array)


def test_the_shipped_checkpoint_is_bit_identical_with_one_thread_or_two() -> None:
    source = Volume(array=head(shape=(90, 110, 7)), affine=np.diag([2.0, 2, 2, 1]))
    results = [
        translate(source, to="T2", options=TranslationOptions(threads=n, batch_size=b)).array
        for n, b in ((1, 8), (2, 8), (2, 3), (1, 64))
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_gives_the_generators_own_slices(backend, checkpoint) -> None:
    import torch

    from i2igalip_cli.networks.unet import Generator

    generator = Generator(checkpoint.config.generator)
    generator.load_state_dict(
        {k.removeprefix("generator."): torch.from_numpy(v) for k, v in checkpoint.tensors.items()}
    )
    slices = np.random.default_rng(0).random((5, 1, 16, 12), dtype=np.float32)
    run = BACKENDS[backend](checkpoint, device="cpu")
    for index, target in enumerate(checkpoint.domains):
        tokens = torch.from_numpy(checkpoint.captions)[index].expand(5, 1, -1)
        with torch.inference_mode():
            direct = generator(torch.from_numpy(slices), tokens, torch.full((5,), index))
        expected = direct.clamp(0, 1).numpy()
        np.testing.assert_allclose(run(slices, None, target), expected, atol=1e-4)


def test_threads_and_devices_are_put_back_and_checked(checkpoint) -> None:
    import torch

    before = torch.get_num_threads()
    translate(volume(), to="T2", weights=checkpoint, options=TranslationOptions(threads=1))
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="can't run on nosuch"):
        translate(
            volume(), to="T2", weights=checkpoint, options=TranslationOptions(device="nosuch")
        )


def test_the_target_is_named_by_any_case_or_by_its_caption(checkpoint) -> None:
    reference = translate(volume(), to="T2", weights=checkpoint)
    for name in ("t2", "This MRI is T2-weighted", "  THIS MRI IS T2-WEIGHTED "):
        result = translate(volume(), to=name, weights=checkpoint)
        np.testing.assert_array_equal(result.array, reference.array)
    with pytest.raises(ConfigError, match=r"unknown domain 'T3'.*T1.*T2.*PD"):
        translate(volume(), to="T3", weights=checkpoint)


def test_mr_intensities_scale_with_the_source_and_ct_is_in_hounsfield_units(checkpoint) -> None:
    source = volume()
    one = translate_volume(source, checkpoint, "T2")
    eight = translate_volume(source.with_array(source.array * 8), checkpoint, "T2")
    np.testing.assert_allclose(eight.volume.array, 8 * one.volume.array, rtol=1e-4, atol=1e-2)
    assert one.volume.array.min() >= 0
    assert one.volume.array.max() <= one.window.high
    domains = (DOMAINS["T1"], DOMAINS["pelvic-CT"], DOMAINS["PD"])
    ct = translate_volume(source, replace(checkpoint, domains=domains), "pelvic-ct")
    assert ct.volume.array.min() >= -1024
    assert ct.volume.array[0, 0, 0] == -1024
    assert (ct.out_window.low, ct.out_window.high) == (-1024, 3000)


def test_empty_slices_stay_empty(checkpoint) -> None:
    array = head()
    array[:, :, :3] = 0
    result = translate_volume(Volume(array=array, affine=np.eye(4)), checkpoint, "T2")
    assert not result.volume.array[:, :, :3].any()
    assert result.volume.array[:, :, 3:].any()
    assert (result.slices, result.empty) == (9, 4)  # the last slice of a head is air


def test_progress_counts_to_the_end(checkpoint) -> None:
    seen = []
    translate(
        volume(),
        to="T2",
        weights=checkpoint,
        options=TranslationOptions(batch_size=4),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_warnings_name_what_may_be_wrong(checkpoint) -> None:
    bad = head()
    bad[0, 0, 0] = np.nan
    path_like = Volume(array=np.nan_to_num(bad), affine=np.diag([9.0, 9, 9, 1]), nonfinite_voxels=1)
    found = " | ".join(translate_volume(path_like, checkpoint, "T2", "T2").warnings)
    assert "1 voxels were NaN" in found
    assert "both T2" in found
    assert "9.00 mm" in found
    fine = Volume(array=head(), affine=np.diag([1.9, 1.9, 5, 1]))
    assert translate_volume(fine, checkpoint, "T2", "T1").warnings == ()


@pytest.mark.parametrize("array", [np.zeros((12, 12, 3)), np.full((12, 12, 3), 7.0)])
def test_a_constant_volume_is_refused(checkpoint, array) -> None:
    with pytest.raises(VolumeError, match="constant"):
        translate(array, to="T2", weights=checkpoint)


def test_a_volume_without_positive_signal_is_refused(checkpoint) -> None:
    with pytest.raises(VolumeError, match="no positive"):
        translate(-head() - 1, to="T2", weights=checkpoint)


@pytest.mark.parametrize(
    "options", [{"backend": "abacus"}, {"batch_size": 0}, {"threads": 0}], ids=str
)
def test_options_are_checked(options) -> None:
    with pytest.raises(ConfigError):
        TranslationOptions(**options)


def test_the_public_functions_work_on_arrays_volumes_and_files(
    checkpoint_file, t1, tmp_path, capfd
) -> None:
    weights = load_checkpoint(checkpoint_file)
    array = translate(head(), to="T2", weights=weights)
    assert isinstance(array, np.ndarray)
    from_file = translate(t1, to="T2", weights=checkpoint_file, source="T1")
    from_volume = translate(load_volume(t1), to="T2", weights=weights)
    np.testing.assert_array_equal(from_file.array, from_volume.array)
    save_volume(from_file, tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(load_volume(tmp_path / "out.nii.gz").array, from_file.array)
    big = np.kron(head(), np.ones((1, 1, 1), np.float32))
    scores = evaluate(big, big + 1)
    assert set(scores) == {"paper", "fixed"}
    assert capfd.readouterr() == ("", "")


def test_a_users_own_domain_works_like_any(checkpoint) -> None:
    own = (*checkpoint.domains[:2], Domain(name="FLAIR", caption="This MRI is FLAIR"))
    result = translate(volume(), to="flair", weights=replace(checkpoint, domains=own))
    expected = translate(volume(), to="PD", weights=checkpoint)
    np.testing.assert_array_equal(result.array, expected.array)


SHEARED = np.array([[2.0, 0, 0, -20], [0, 2, 1, -25], [0, 0, 3, -15], [0, 0, 0, 1]])


def test_a_sheared_volume_is_translated_on_an_orthogonal_grid_and_put_back(checkpoint) -> None:
    """The three steps one by one: air fills the orthogonal grid, and CT's window is fixed."""
    domains = (DOMAINS["pelvic-CT"], *checkpoint.domains[1:])
    weights = replace(checkpoint, domains=domains)
    array, air = head() - 1024, -1024
    affine, shape = orthogonal_grid(SHEARED, array.shape)
    assert shape == (20, 28, 9)  # the ninth slice is 8 * 1 mm on, 4 rows of 2 mm
    straight = Volume(array=resample(array - air, SHEARED, affine, shape) + air, affine=affine)
    translated = translate(straight, to="T2", source="pelvic-CT", weights=weights)
    expected = resample(translated.array - air, affine, SHEARED, array.shape) + air
    source = Volume(array=array, affine=SHEARED, header="kept")
    result = translate_volume(source, weights, "T2", "pelvic-CT")
    np.testing.assert_allclose(result.volume.array, expected, atol=0.05)
    np.testing.assert_array_equal(result.volume.affine, SHEARED)
    assert result.volume.header == "kept"
    assert [line for line in result.warnings if "sheared" in line] == [
        "axes sheared by 18.4 degrees: resampled to an orthogonal grid and back"
    ]


def test_the_window_of_a_sheared_volume_is_found_on_its_own_voxels(checkpoint) -> None:
    source = Volume(array=head(), affine=SHEARED)
    result = translate_volume(source, checkpoint, "T2")
    assert result.window == find_window(source.array, None, checkpoint.policy)
    assert not result.volume.array[:, :, -1].any()  # air stays air
    assert result.volume.array.max() > 0


def test_a_slightly_sheared_volume_is_translated_as_it_is(checkpoint) -> None:
    affine = np.diag([1.9, 1.9, 3.0, 1])
    straight = translate(Volume(array=head(), affine=affine), to="T2", weights=checkpoint)
    affine[1, 2] = 3 * np.tan(np.deg2rad(0.3))
    result = translate_volume(Volume(array=head(), affine=affine), checkpoint, "T2")
    np.testing.assert_array_equal(result.volume.array, straight.array)
    np.testing.assert_array_equal(result.volume.affine, affine)
    assert result.warnings == ("axes sheared by 0.30 degrees are treated as orthogonal",)


def ct_checkpoint():
    """A checkpoint whose first domain is CT, with a window in HU."""
    return make_checkpoint(domains=(DOMAINS["pelvic-CT"], DOMAINS["T2"], DOMAINS["PD"]))


def test_a_volume_of_another_modality_than_its_domain_is_refused(checkpoint) -> None:
    ct = replace(volume(), modality="CT")
    with pytest.raises(VolumeError, match="a CT image, but T1 is MR"):
        translate(ct, to="T2", source="T1", weights=checkpoint)
    with pytest.raises(VolumeError, match="a CT image; tiny knows MR only"):
        translate(ct, to="T2", weights=checkpoint)
    with pytest.raises(VolumeError, match="say which with --from pelvic-CT"):
        translate(ct, to="T2", weights=ct_checkpoint())
    with pytest.raises(VolumeError, match="a MR image, but pelvic-CT is CT"):
        source = replace(volume(), modality="MR")
        translate(source, to="T2", source="pelvic-CT", weights=ct_checkpoint())
    assert translate(ct, to="T2", source="pelvic-CT", weights=ct_checkpoint()).modality == "MR"


def test_negative_intensities_without_a_window_are_told(checkpoint) -> None:
    hounsfield = volume().with_array(head() * 3 - 1024)
    warned = translate_volume(hounsfield, checkpoint, "T2").warnings
    assert any("below 0 and count as 0; if it is CT" in warning for warning in warned)
    assert not any("below 0" in w for w in translate_volume(volume(), checkpoint, "T2").warnings)
    named = translate_volume(hounsfield, ct_checkpoint(), "T2", "pelvic-CT").warnings
    assert not any("below 0" in warning for warning in named)
