"""A page as one HTML file, which asks no host for anything.

Names of files and messages are escaped by Jinja2; a content security policy forbids the browser
every connection. NiiVue is part of the page only where a page has a viewer.
"""

import base64
import json
from dataclasses import asdict
from importlib.resources import files

from i2igalip_cli.evaluation.report.page import Page
from i2igalip_cli.evaluation.report.shown import SIGNED
from i2igalip_cli.evaluation.report.viewer import embed_within

MAX_BYTES = 8 * 10**6  # of a page: it can be sent by mail
_RESERVE = 100_000  # of the template itself
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; connect-src data: blob:"
)
_ASSETS = files("i2igalip_cli.evaluation.report") / "assets"


def read_asset(name: str) -> bytes:
    """A file of the package's assets."""
    return (_ASSETS / name).read_bytes()


def render(page: Page) -> str:
    """The text of a page's file, below `MAX_BYTES` bytes as far as its volumes decide.

    Args:
        page: What it is made of.
    """
    from jinja2 import Environment, select_autoescape

    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number, data_uri=_data_uri, is_number=_is_number, is_svg=_is_svg
    )
    template = environment.from_string(read_asset("page.html").decode("utf-8"))
    common = {
        "page": page,
        "policy": _POLICY,
        "style": read_asset("page.css").decode("utf-8"),
        "script": read_asset("page.js").decode("utf-8"),
        "licence": read_asset("niivue-LICENSE.txt").decode("utf-8"),
        "niivue": "",
        "volumes": "",
        "stride": 1,
    }
    text: str = template.render(common)
    if page.viewer is None:
        return text
    niivue = base64.b64encode(read_asset("niivue.umd.js.gz")).decode("ascii")
    left = MAX_BYTES - len(text.encode("utf-8")) - len(niivue) - _RESERVE
    cases, stride = embed_within(page.viewer.cases, left)
    volumes = json.dumps(
        {
            "signed": SIGNED,
            "cases": [
                {"title": t, "panels": [asdict(one) for one in panels]} for t, panels in cases
            ],
        }
    )
    with_volumes = {"niivue": niivue, "volumes": _in_script(volumes), "stride": stride}
    rendered: str = template.render({**common, **with_volumes})
    return rendered


def _in_script(text: str) -> str:
    """JSON that can't end the script element it stands in."""
    return text.replace("<", "\\u003c")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_svg(image: str | bytes) -> bool:
    return isinstance(image, str)


def _data_uri(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
