"""A page is one file that asks no host for anything, and shows every name as text."""

import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from i2igalip_cli.evaluation.report.page import (
    Facts,
    Figure,
    Notice,
    Page,
    Section,
    Table,
    Text,
    Viewer,
)
from i2igalip_cli.evaluation.report.render import MAX_BYTES, read_asset, render
from i2igalip_cli.evaluation.report.shown import Shown
from i2igalip_cli.evaluation.report.viewer import ViewerCase
from i2igalip_cli.volumes import Volume

NASTY = "</script></style><script>alert(1)</script>\"' onload='alert(1)' &amp;"
DOT = bytes.fromhex(  # a PNG file of one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


class Elements(HTMLParser):
    """Every element's name and attributes, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data) -> None:
        inside = self.found[-1][0] if self.found else ""
        (self.scripts if inside in ("script", "style") else self.text).append(data)

    def values(self, *names: str) -> list[str]:
        return [a[name] or "" for _, a in self.found for name in names if name in a]


def page(*blocks, title: str = "Title") -> Page:
    return Page(
        title=title,
        lead="Lead",
        sections=[Section(title="First", blocks=blocks)],
        foot="Foot",
    )


def noise(size: int, seed: int = 0) -> Volume:
    """What no compression makes smaller."""
    array = np.random.default_rng(seed).random((size, size, size), dtype=np.float32)
    return Volume(array=array, affine=np.eye(4))


def viewer(*volumes: Volume, title: str = "case") -> Viewer:
    panels = [Shown(title=title, volume=v, low=0.0, high=1.0) for v in volumes]
    return Viewer(cases=[ViewerCase(title=title, panels=panels)])


def every_block(text: str) -> list:
    return [
        Text(text=text),
        Notice(title=text, lines=[text], grave=True),
        Facts(rows=[(text, text)]),
        Table(caption=text, columns=[text, "value"], rows=[[text, 1.5]]),
        Figure(image=DOT, alt=text, caption=text),
        viewer(noise(4), title=text),
    ]


def test_every_name_is_text() -> None:
    harmless = "plain text, long enough to be wrapped"
    plain = Elements(render(page(*every_block(harmless), title=harmless)))
    nasty = Elements(render(page(*every_block(NASTY), title=NASTY)))
    shape = [(tag, sorted(attributes)) for tag, attributes in plain.found]
    assert [(tag, sorted(attributes)) for tag, attributes in nasty.found] == shape
    told = sum(text.count(harmless) for text in plain.text)
    assert told >= 10
    assert sum(text.count(NASTY) for text in nasty.text) == told
    volumes = next(json.loads(s) for s in nasty.scripts if s.startswith("{"))
    assert volumes["cases"][0]["title"] == NASTY


def test_nothing_points_outside_the_file() -> None:
    elements = Elements(render(page(*every_block("x"))))
    addresses = elements.values("src", "href", "action", "data", "poster", "srcset", "xlink:href")
    assert len(addresses) >= 4
    assert [a for a in addresses if not a.startswith(("#", "data:"))] == []
    assert not {"base", "iframe", "object", "embed", "form"} & {tag for tag, _ in elements.found}
    for asset in ("page.css", "page.js", "page.html"):
        assert not re.search(rb"https?:|url\(|@import", read_asset(asset)), asset


def test_the_policy_forbids_every_connection_and_comes_first() -> None:
    elements = Elements(render(page(Text(text="x"))))
    rules = next(a for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    policy = dict(rule.strip().split(" ", 1) for rule in (rules["content"] or "").split(";"))
    assert policy["default-src"] == "'none'"
    allowed = {source for sources in policy.values() for source in sources.split()}
    assert allowed <= {"'none'", "'unsafe-inline'", "data:", "blob:"}
    tags = [tag for tag, _ in elements.found]
    assert tags.index("meta") < tags.index("style")
    assert [a.get("http-equiv") for tag, a in elements.found if tag == "meta"].index(
        "Content-Security-Policy"
    ) < 2  # what stands before a policy isn't held to it


def test_the_embedded_viewer_is_the_recorded_build() -> None:
    record = json.loads(read_asset("niivue.json"))
    built = gzip.decompress(read_asset("niivue.umd.js.gz"))
    assert len(built) == record["size"]
    assert hashlib.sha256(built).hexdigest() == record["sha256"]
    assert record["license"] == "BSD-2-Clause"
    assert b"BSD 2-Clause" in read_asset("niivue-LICENSE.txt")


def test_a_page_with_the_viewer_holds_its_licence() -> None:
    """Whoever passes the page on passes NiiVue on, whose licence asks for its own text."""
    text = " ".join(render(page(viewer(noise(4)))).split())
    assert " ".join(read_asset("niivue-LICENSE.txt").decode().split()) in text


def test_a_page_without_a_viewer_is_small() -> None:
    without = render(page(*every_block("x")[:-1]))
    assert len(without) < 40_000
    assert 'id="niivue"' not in without
    assert len(render(page(viewer(noise(4))))) > 10**6


def test_a_page_stays_small_whatever_it_shows() -> None:
    """Two volumes of noise that don't fit: blocks of 2 x 2 x 2 do, and the page says so."""
    small, large = (render(page(viewer(noise(n), noise(n, 1)))) for n in (32, 150))
    assert len(large.encode()) < MAX_BYTES <= 8 * 10**6
    assert re.search("means of 2 . 2 . 2 voxels", large)
    assert "means of" not in small


def test_every_element_that_the_script_asks_for_is_there() -> None:
    ids = re.findall(r'getElementById\("([\w-]+)"\)', read_asset("page.js").decode())
    there = Elements(render(page(*every_block("x")))).values("id")
    assert len(set(ids)) >= 8
    assert set(ids) <= set(there)
    assert len(there) == len(set(there))


@pytest.mark.parametrize(
    ("value", "shown", "key"),
    [
        (1.23456, "1.23", "1.23456"),
        (-2e-05, "-0.00", "-2e-05"),
        (7, "7", "7"),
        (float("inf"), "inf", "inf"),
        (None, "\N{EN DASH}", ""),
    ],
)
def test_a_number_is_rounded_for_the_eye_and_sorted_in_full(value, shown: str, key: str) -> None:
    table = Table(caption="c", columns=["a"], rows=[[value]], digits=2)
    text = render(page(table))
    assert f'<td class="number" data-value="{key}">{shown}</td>' in text


def test_a_column_of_numbers_has_its_head_above_them() -> None:
    rows = [["s0", None, 2], ["s1", 0.5, 3]]
    text = render(page(Table(caption="c", columns=["case", "mae", "count"], rows=rows)))
    heads = re.findall(r'<th scope="col"( class="number")?>', text)
    assert [bool(head) for head in heads] == [False, True, True]


def test_pictures_are_part_of_the_file() -> None:
    svg = '<svg viewBox="0 0 1 1"><text>a &lt; b</text></svg>'
    text = render(page(Figure(image=svg, alt='plot of "a"'), Figure(image=DOT, alt="dot")))
    assert svg in text
    assert 'role="img" aria-label="plot of &#34;a&#34;"' in text
    elements = Elements(text)
    assert [a["alt"] for tag, a in elements.found if tag == "img"] == ["dot"]
    assert elements.values("src")[0].startswith("data:image/png;base64,iVBORw0KGgo")


def test_sections_are_linked_and_named() -> None:
    sections = [Section(title=title, blocks=[Text(text="x")]) for title in ("One", "Two & more")]
    elements = Elements(render(Page(title="T", lead="L", sections=sections, foot="F")))
    links = [a for a in elements.values("href") if a.startswith("#")]
    assert {link[1:] for link in links} <= set(elements.values("id"))
    assert set(elements.values("aria-labelledby")) <= set(elements.values("id"))
    assert len(links) == 1 + len(sections)
