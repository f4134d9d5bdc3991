"""Pictures show slices as radiologists see them, in the right shape."""

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from i2igalip_cli.errors import GalipError
from i2igalip_cli.evaluation.pictures import draw_comparison, draw_panel, save_picture
from i2igalip_cli.volumes import Volume
from i2igalip_cli.volumes.intensity import IntensityWindow

WINDOW = IntensityWindow(low=0, high=1)


def test_a_panel_holds_every_slice_under_its_title(tmp_path) -> None:
    rows = [[np.full((10, 8), 0.5), np.ones((10, 8))], [np.zeros((10, 8)), np.ones((10, 8))]]
    panel = np.asarray(draw_panel(rows, ["a", "b"], scale=4))
    body = panel[22:]
    assert body[10, 20] == 128
    assert body[10, 4 + 36 + 10] == 255
    assert body[44 + 20, 20] == 0
    assert panel[:22].max() > 100, "titles are drawn"
    save_picture(Image.fromarray(panel), tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").size == (panel.shape[1], panel.shape[0])
    with pytest.raises(GalipError, match="can't write"):
        save_picture(Image.fromarray(panel), tmp_path / "no" / "p.png")


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAR"])
def test_left_is_right_anterior_is_up_and_millimetres_are_equal(axes) -> None:
    array = np.zeros((30, 20, 6), np.float32)
    array[25:, 17:, :] = 1  # the right anterior corner: x and y are high there in RAS+
    array[14:16, 9:11, :] = 0.2
    image = nib.Nifti1Image(array, np.diag([1.0, 2.0, 3.0, 1]))
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    turned = image.as_reoriented(turn)
    volume = Volume(array=turned.get_fdata(dtype=np.float32), affine=turned.affine)
    panel = np.asarray(draw_comparison([("t", volume, WINDOW)], places=(0.5,)))[22:, 4:]
    height, width = panel.shape[0] - 4, panel.shape[1] - 4
    assert width / height == pytest.approx(30 / 40, abs=0.02)
    bright = np.argwhere(panel > 200)
    # The patient's right is on the left of the picture, anterior on top.
    assert bright[:, 1].max() < 0.3 * width
    assert bright[:, 0].max() < 0.3 * height
