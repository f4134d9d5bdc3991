"""A headless Chromium, driven over a pipe by its DevTools protocol.

Messages are JSON, each ended by a zero byte: to the browser on its file descriptor 3, from it on
its file descriptor 4 (https://chromedevtools.github.io/devtools-protocol/).
"""

import base64
import fcntl
import io
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the sandbox doesn't start as root
    "--use-angle=swiftshader",  # WebGL 2 without a graphics card
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-pipe",
)
KEYS = {  # code of the key, and the text that it types
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "PageUp": (33, ""),
    "PageDown": (34, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}


def find_program() -> str | None:
    """A browser that is installed."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One process; its tabs share nothing but its profile."""

    def __init__(self, program: str, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # Above 20: neither is then overwritten while the shell lays them on 3 and 4.
        reads, writes = (fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (to_browser, from_browser))
        lay = f'exec "$@" 3<&{reads} 4>&{writes} {reads}<&- {writes}>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", lay, "bash", program, f"--user-data-dir={profile}", *OPTIONS],
            pass_fds=(reads, writes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (to_browser, from_browser, reads, writes):
            os.close(fd)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        left = json.dumps(message).encode() + b"\0"
        while left:
            left = left[os.write(self._out, left) :]
        while True:
            answer = self.receive(60)
            assert answer is not None, f"{method}: no answer"
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None where none comes in time."""
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            if not ready:
                return None
            read = os.read(self._in, 1 << 20)
            assert read, "the browser has ended"
            self._buffer += read
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self.events.append(message)
        return message

    def close(self) -> None:
        """End the process."""
        self.call("Browser.close", {})
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)


class Tab:
    """A page, what it asked for and what it complained of."""

    def __init__(self, browser: Browser, width: int = 1200, height: int = 900) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": self._target, "flatten": True}
        self._session = browser.call("Target.attachToTarget", attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol to this tab."""
        return self._browser.call(method, parameters, self._session)

    def resize(self, width: int, height: int) -> None:
        """Give the page another width and height, in CSS pixels."""
        size = {"width": width, "height": height}
        self.call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)

    def open(self, path: Path) -> None:
        """Open a file, and wait until it is loaded."""
        before = len(self.events("Page.loadEventFired"))
        self.call("Page.navigate", url=path.as_uri())
        end = time.monotonic() + 60
        while len(self.events("Page.loadEventFired")) == before:
            assert time.monotonic() < end, f"{path} isn't loaded"
            self._browser.receive(1)

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", {"targetId": self._target})

    def events(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of a kind."""
        return [
            event["params"]
            for event in self._browser.events
            if event["method"] == method and event.get("sessionId") == self._session
        ]

    @property
    def requests(self) -> list[str]:
        """Every address that the page asked for."""
        return [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]

    @property
    def complaints(self) -> list[str]:
        """Exceptions, warnings and errors of the console, and refusals of the browser's."""
        thrown = [json.dumps(e["exceptionDetails"]) for e in self.events("Runtime.exceptionThrown")]
        logged = [e["entry"] for e in self.events("Log.entryAdded")]
        said = [e for e in self.events("Runtime.consoleAPICalled") if e["type"] != "log"]
        bad = [e["text"] for e in logged if e["level"] in ("warning", "error")]
        return [*thrown, *bad, *(json.dumps(e["args"]) for e in said if e["type"] != "info")]

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_until(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript condition is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.05)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, and let the page draw."""
        code, text = KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        down = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=down, text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)
        self.let_draw()

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Click an element, by default in its middle."""
        left, top, width, height = self.box(selector)
        mouse = {"x": left + across * width, "y": top + down * height, "button": "left"}
        scroll = self.evaluate("[scrollX, scrollY]")
        mouse["x"] -= scroll[0]
        mouse["y"] -= scroll[1]
        for kind, buttons in (("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)):
            self.call("Input.dispatchMouseEvent", type=kind, **mouse, buttons=buttons, clickCount=1)
        self.let_draw()

    def let_draw(self) -> None:
        """Wait for two frames: what was asked for before is on the screen then."""
        self.evaluate("new Promise(f => requestAnimationFrame(() => requestAnimationFrame(f)))")

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element, scrolled into view; in the whole page."""
        return tuple(
            self.evaluate(
                f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
                "e.scrollIntoView({block: 'nearest', behavior: 'instant'});"
                "const b = e.getBoundingClientRect();"
                "return [b.left + scrollX, b.top + scrollY, b.width, b.height]; })()"
            )
        )

    def picture(self, selector: str = "") -> np.ndarray:
        """Pixels of an element, or of the whole page, once they stay; (H, W, 3) uint8."""
        png = self.png(selector)
        for _ in range(20):
            before, png = png, self.png(selector)
            if png == before:
                break
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def png(self, selector: str = "") -> bytes:
        """The same as a PNG file."""
        if selector:
            x, y, width, height = self.box(selector)
        else:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            x, y, width, height = 0, 0, size["width"], size["height"]
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        self.let_draw()
        answer = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=not selector)
        return base64.b64decode(answer["data"])
