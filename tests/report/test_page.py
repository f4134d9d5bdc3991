"""A page of an evaluation, as a reader meets it: it asks no host, and works by keyboard."""

import re
from itertools import pairwise

import numpy as np
import pytest

from report.browser import Tab
from report.conftest import INJECTION

LOCAL = ("file:", "data:", "blob:")


def is_yellow(pixels: np.ndarray) -> np.ndarray:
    """Where the crosshair's colour stands, which no grey image has; (H, W)."""
    red, green, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return (red > 120) & (red - blue > 70) & (green - blue > 40)


def find_crosshair(pixels: np.ndarray) -> tuple[float, float]:
    """Row and column of a crosshair as shares of the picture."""
    yellow = is_yellow(pixels)
    rows, columns = yellow.sum(axis=1), yellow.sum(axis=0)
    assert rows.max() > 50
    assert columns.max() > 50
    return float(rows.argmax() / len(rows)), float(columns.argmax() / len(columns))


def canvases(tab: Tab) -> list[str]:
    """Selectors of the canvases that show something."""
    names = tab.evaluate(
        "[...document.querySelectorAll('#viewer canvas')]"
        ".filter(c => c.offsetWidth).map(c => '#' + c.id)"
    )
    return list(names)


def test_the_page_asks_no_host_and_complains_of_nothing(shown: Tab) -> None:
    for plane in ("coronal", "three"):
        choose(shown, "#viewer-plane", plane)
    for case in ("1", "2", "0"):
        choose(shown, "#viewer-case", case)
        shown.click("#viewer-canvas-1", across=0.4)
        for key in ("ArrowLeft", "PageDown"):
            shown.press(key)
    assert shown.complaints == []
    assert [url for url in shown.requests if not url.startswith(LOCAL)] == []
    assert any(url.startswith("file:") for url in shown.requests)


def choose(tab: Tab, selector: str, value: str) -> None:
    """Choose an option as a reader does, and wait for what it shows."""
    tab.evaluate(
        f"(() => {{ const s = document.querySelector('{selector}'); s.value = '{value}';"
        "s.dispatchEvent(new Event('change')); })()"
    )
    if selector == "#viewer-case":
        tab.wait_until(f"document.getElementById('viewer').dataset.shown === '{value}'")
    tab.let_draw()


def test_the_viewer_draws_every_volume_of_a_case(shown: Tab) -> None:
    pictures = [shown.picture(name) for name in canvases(shown)]
    titles = shown.evaluate(
        "[...document.querySelectorAll('#viewer figcaption')].map(t => t.innerText)"
    )
    assert len(pictures) == len([title for title in titles if title])
    for picture in pictures:
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    coloured = [float((np.ptp(picture, axis=2) > 40).mean()) for picture in pictures]
    assert max(coloured[:-1]) < 0.04  # the crosshair
    assert coloured[-1] > 0.15  # the error, too
    assert all(not np.array_equal(a, b) for a, b in pairwise(pictures))


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("case", ["0", "1"])
def test_an_arrow_key_moves_the_crosshair_of_all(shown: Tab, case: str, plane: str) -> None:
    """On the screen, whichever way the axes of the volumes run."""
    choose(shown, "#viewer-case", case)
    choose(shown, "#viewer-plane", plane)
    names = canvases(shown)[:-1]
    shown.evaluate(f"document.querySelector('{names[0]}').focus()")
    shown.press("PageUp")  # from the middle, maybe between voxels, into one
    for key, along, across in (("ArrowLeft", 1, 0), ("ArrowUp", 0, 1)):
        before = [find_crosshair(shown.picture(name)) for name in names]
        for _ in range(2):
            shown.press(key)
        after = [find_crosshair(shown.picture(name)) for name in names]
        for one, other in zip(before, after, strict=True):
            assert other[along] < one[along] - 0.02
            assert other[across] == pytest.approx(one[across], abs=0.02)
        assert np.ptp(after, axis=0).max() < 0.02


def test_the_arrows_move_towards_what_the_place_says(shown: Tab) -> None:
    """The patient's right is on the left, and the nose of a sagittal slice, too."""
    moved = {}
    for plane in ("axial", "coronal", "sagittal"):
        choose(shown, "#viewer-plane", plane)
        shown.evaluate("document.getElementById('viewer-canvas-0').focus()")
        places = []
        for key in ("PageUp", "ArrowLeft", "ArrowUp"):
            shown.press(key)
            said = shown.evaluate("document.getElementById('viewer-place').textContent")
            places.append([float(value) for value in said[1 : said.index(")")].split(",")])
        steps = np.diff(places, axis=0)
        assert steps.max(axis=1).min() > 0.9
        moved[plane] = tuple(steps.argmax(axis=1))
    assert moved == {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}


def test_intensities_at_the_crosshair_are_those_of_the_volumes(shown: Tab, results) -> None:
    """The worst case, whose error is beyond what the page holds."""
    shown.evaluate("document.getElementById('viewer-canvas-0').focus()")
    shown.press("PageUp")
    said = shown.evaluate("document.getElementById('viewer-place').textContent")
    found = re.fullmatch(
        r"\((.+), (.+), (.+)\) mm right, anterior, superior: "
        r"prediction (\S+); truth (\S+); prediction - truth ≤ (\S+)",
        said,
    )
    assert found is not None, said
    place, (ours, theirs, error) = np.split(np.array([float(f) for f in found.groups()]), [3])
    for value, volume in zip((ours, theirs), results.cases[2].load(), strict=True):
        rounding = np.stack(np.meshgrid(*[(-0.5, 0, 0.5)] * 3), axis=-1).reshape(-1, 3)
        near = np.c_[place + rounding, np.ones(len(rounding))] @ np.linalg.inv(volume.affine).T
        voxels = np.rint(near[:, :3]).astype(int)
        full = np.percentile(volume.array[volume.array > volume.array.mean()], 99.5)
        assert np.abs(volume.array[tuple(voxels.T)] / full - value).min() < 0.003
    assert ours - theirs < error == -0.25


def test_page_up_changes_the_slice_of_all(shown: Tab) -> None:
    names = canvases(shown)
    before = [shown.picture(name) for name in names]
    shown.evaluate(f"document.querySelector('{names[-1]}').focus()")
    for _ in range(3):
        shown.press("PageUp")
    for name, earlier in zip(names, before, strict=True):
        assert not np.array_equal(shown.picture(name), earlier)


def test_the_mouse_moves_the_crosshair_of_all(shown: Tab) -> None:
    names = canvases(shown)[:-1]
    shown.click(names[1], across=0.3, down=0.4)
    for name in names:
        assert find_crosshair(shown.picture(name)) == pytest.approx((0.4, 0.3), abs=0.06)


def test_planes_and_cases_are_chosen(shown: Tab) -> None:
    name = canvases(shown)[0]
    seen = [shown.picture(name)]
    for plane in ("coronal", "sagittal", "three"):
        choose(shown, "#viewer-plane", plane)
        seen.append(shown.picture(name))
    assert len({picture.tobytes() for picture in seen}) == len(seen)
    counts, pictures = set(), []
    for case in ("0", "1", "2"):
        choose(shown, "#viewer-case", case)
        pictures.append(shown.picture(name).tobytes())
        counts.add(len(canvases(shown)))
    assert len(set(pictures)) == len(pictures)
    assert counts == {3, 4}  # a source only where one is known


def test_tab_reaches_everything_in_order(shown: Tab) -> None:
    reached = []
    for _ in range(80):
        shown.press("Tab")
        reached.append(
            shown.evaluate(
                "(() => { const e = document.activeElement;"
                "return e.id || e.className || (e.closest('nav') ? 'nav' : e.tagName); })()"
            )
        )
        if reached[-1] == "BODY":
            break
    assert reached[0] == "skip"
    wanted = ["skip", "nav", "scroll", "BUTTON", "viewer-case", "viewer-plane", "viewer-reset"]
    wanted += [name.removeprefix("#") for name in canvases(shown)]
    assert list(dict.fromkeys(reached))[: len(wanted)] == wanted
    buttons = shown.evaluate("document.querySelectorAll('th button').length")
    assert reached.count("BUTTON") == buttons


def test_the_skip_link_shows_when_focused(shown: Tab) -> None:
    where = "document.querySelector('.skip').getBoundingClientRect().left"
    assert shown.evaluate(where) < 0
    shown.press("Tab")
    assert shown.evaluate(where) >= 0


def test_a_table_sorts_numbers_as_numbers(shown: Tab) -> None:
    table = "[...document.querySelectorAll('table')].at(-1)"
    heads = shown.evaluate(f"[...{table}.querySelectorAll('th')].map(h => h.innerText)")
    column = heads.index("psnr")
    cells = f"[...{table}.tBodies[0].rows].map(r => Number(r.cells[{column}].innerText))"
    states = []
    for _ in range(2):
        shown.evaluate(f"{table}.querySelectorAll('th button')[{column}].focus()")
        shown.press("Enter")
        states.append(
            (
                shown.evaluate(
                    f"{table}.querySelectorAll('th')[{column}].getAttribute('aria-sort')"
                ),
                shown.evaluate(cells),
            )
        )
    values = sorted(states[0][1])
    assert len(set(values)) == 3
    assert states == [("ascending", values), ("descending", values[::-1])]
    assert shown.evaluate(f"{table}.querySelectorAll('[aria-sort]').length") == 1


def test_numbers_of_unequal_length_infinities_and_gaps_sort(shown: Tab) -> None:
    rows = shown.evaluate(
        "(() => { const key = value => { const cell = document.createElement('td');"
        "cell.dataset.value = value; return sortKey(cell); };"
        "return ['10.5', '', 'inf', '9.25', '-inf', '-2e-05'].map(v => [key(v), v])"
        ".sort(([a], [b]) => compareKeys(a, b, 1)).map(([, v]) => v); })()"
    )
    assert rows == ["-inf", "-2e-05", "9.25", "10.5", "inf", ""]


def test_a_name_is_text(shown: Tab) -> None:
    assert shown.evaluate("typeof injected") == "undefined"
    assert shown.evaluate("document.querySelectorAll('img[src=x]').length") == 0
    for selector in ("h1", "td", ".notice li", "#viewer-case option", "figcaption"):
        texts = shown.evaluate(
            f"[...document.querySelectorAll('{selector}')].map(e => e.textContent)"
        )
        assert any(INJECTION in text for text in texts), selector


def test_without_javascript_tables_and_pictures_are_there(tab: Tab, page) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(page)
    tab.wait_until("[...document.images].every(i => i.complete)")
    widths = tab.evaluate("[...document.images].map(i => i.naturalWidth)")
    assert len(widths) == 3
    assert min(widths) > 600
    assert tab.evaluate("document.querySelectorAll('td.number').length") > 10
    assert tab.evaluate("document.querySelector('.plot svg').getBoundingClientRect().width") > 300
    absent, viewer = (f"document.getElementById('viewer{s}').offsetHeight" for s in ("-absent", ""))
    assert tab.evaluate(absent) > 0
    assert tab.evaluate(viewer) == 0
    assert tab.complaints == []


def test_without_webgl_the_page_says_so(tab: Tab, page) -> None:
    tab.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="HTMLCanvasElement.prototype.getContext = () => null",
    )
    tab.open(page)
    absent = "document.getElementById('viewer-absent')"
    tab.wait_until(f"{absent}.textContent.includes('no WebGL 2')")
    assert tab.evaluate(f"{absent}.offsetHeight") > 0
    assert tab.evaluate("document.getElementById('viewer').offsetHeight") == 0
    assert tab.complaints == []


def luminance(colour: str) -> float:
    """Relative luminance of a CSS colour, rgb(...) (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_plots_stand_out_in_either_scheme(tab: Tab, page, scheme: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    tab.call("Emulation.setEmulatedMedia", features=[feature])
    tab.open(page)
    ground = luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground < 0.2) == (scheme == "dark")
    for selector, property in ((".lead", "color"), ("td", "color"), (".plot text", "fill")):
        colour = tab.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{property}")
        light, dark = sorted((luminance(colour), ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector  # WCAG 2.2, 1.4.3


def test_a_narrow_page_scrolls_only_its_tables(tab: Tab, page) -> None:
    tab.resize(400, 800)
    tab.open(page)
    tab.wait_until("document.getElementById('viewer').dataset.shown === '0'")
    assert tab.evaluate("document.documentElement.scrollWidth") == 400
