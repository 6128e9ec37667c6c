"""Somebody who looks at the page with a real Chromium, without a network beyond this machine."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

SECONDS_MAX = 60.0  # a busy machine
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
T = TypeVar("T")


class Visitor:
    """A browser's only window."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def visit(
        self, url: str, *, theme: str = "light", width: int = 1280, motion: str = "no-preference"
    ) -> None:
        """Open a page, as somebody who prefers that theme and amount of motion."""
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)  # what earlier pages did
        self.driver.get(url)

    def leave(self) -> None:
        """Close the page and what it listens to."""
        self.driver.get("about:blank")

    def wait(self, what: Callable[[], T]) -> T:
        """The first result that is true."""
        return WebDriverWait(self.driver, SECONDS_MAX, poll_frequency=0.1).until(lambda _: what())

    def ask(self, script: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script)

    def text(self, css: str) -> str:
        """The text of the first element that fits."""
        return str(self.ask(f"return document.querySelector({json.dumps(css)})?.textContent ?? ''"))

    def click(self, css: str) -> None:
        """Press it, wherever it is: the page moves while events flow, and a pointer would miss."""
        self.ask(f"document.querySelector({json.dumps(css)}).click()")

    def tile(self, name: str) -> str:
        """The number under a name."""
        script = """for (const each of document.querySelectorAll("#tiles > div"))
            if (each.querySelector("dt").textContent === %s) return each.querySelector("dd").textContent;
            return "";"""
        return str(self.ask(script % json.dumps(name)))

    def complaints(self) -> list[str]:
        """What the browser's console says since the page was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requested(self) -> list[str]:
        """Every address that was asked for since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [each["params"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [str(each["request"]["url"]) for each in sent]


@contextlib.contextmanager
def open_browser(chromium: str, driver: str) -> Iterator[Visitor]:
    """A headless Chromium; ended with the block."""
    options = Options()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        yield Visitor(chrome)
    finally:
        chrome.quit()
