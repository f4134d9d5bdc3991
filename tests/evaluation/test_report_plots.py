"""Plots are SVG in the page's own colours, with every value in them."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from i2igalip_cli.evaluation.report.plots import (
    Agreement,
    Curves,
    Distribution,
    draw_agreement,
    draw_curves,
    draw_distributions,
)

SVG = "{http://www.w3.org/2000/svg}"


def distribution(*counts: int, title: str = "fixed psnr") -> Distribution:
    rng = np.random.default_rng(0)
    groups = {f"T{n}": rng.normal(30, 2, count).tolist() for n, count in enumerate(counts)}
    return Distribution(title=title, unit="dB", groups=groups)


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def dots(svg: str, colour: str = "#0072b2") -> int:
    """Marks of a colour."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}use")
    return sum(f"fill: {colour}" in e.get("style", "") for e in found)


CURVES = Curves(title="losses", unit="", lines={"a": ([0, 1], [2, 3]), "b": ([0, 1], [1, 0])})
AGREEMENT = Agreement(
    title="mean", unit="HU", means=[1, 2, 3], differences=[0.1, -0.1, 0], bias=0, limits=(-1, 1)
)
DRAWN = {
    "distributions": lambda: draw_distributions([distribution(5, 4)]),
    "curves": lambda: draw_curves([CURVES]),
    "agreement": lambda: draw_agreement([AGREEMENT]),
}


@pytest.mark.parametrize("kind", DRAWN)
def test_a_plot_is_the_same_twice_and_takes_the_pages_colours(kind: str) -> None:
    svg = DRAWN[kind]()
    assert svg == DRAWN[kind]()
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert "currentColor" in svg
    assert "#000000" not in svg  # unseen on a dark page
    assert "#ffffff" not in svg
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("counts", [(1,), (7, 3), (4, 0), (2, 2, 2, 2, 2, 2, 2, 2)])
def test_every_subject_has_its_dot(counts) -> None:
    svg = draw_distributions([distribution(*counts)])
    assert dots(svg) == counts[0] + (counts[6] if len(counts) > 6 else 0)
    assert {"fixed psnr", "dB", *(f"T{n}" for n in range(len(counts)))} <= set(texts(svg))


def test_every_panel_is_drawn_however_many() -> None:
    titles = [f"measure {n}" for n in range(9)]
    svg = draw_distributions([distribution(3, title=title) for title in titles])
    assert set(titles) <= set(texts(svg))
    assert dots(svg) == 27


def test_curves_and_agreements_hold_their_names_and_values() -> None:
    assert {"losses", "step", "a", "b"} <= set(texts(draw_curves([CURVES])))
    svg = draw_agreement([AGREEMENT])
    assert dots(svg) == 3
    assert {"mean", "mean of both, HU", "difference"} <= set(texts(svg))


def test_names_are_text_in_a_plot() -> None:
    nasty = "</svg><script>alert(1)</script> & $x_2$"
    svg = draw_distributions([Distribution(title=nasty, unit="%", groups={nasty: [1.0, 2.0]})])
    assert ElementTree.fromstring(svg).find(f".//{SVG}script") is None
    written = "".join("".join(texts(svg)).split())  # long names stand in several lines
    assert written.count("".join(nasty.split())) == 2
