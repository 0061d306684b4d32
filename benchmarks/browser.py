"""Headless Chromium without network access of its own, and a web server for its pages; for tests and benchmarks."""

from __future__ import annotations

import base64
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from compress.errors import ConfigError

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOW_TO_INSTALL = (
    "install Chromium and its driver "
    "(Debian: apt-get install chromium chromium-driver; elsewhere: Google Chrome and chromedriver)"
)


def _program(*names: str) -> str:
    """Return the path of the first program that exists.

    Raises:
        ConfigError: there is none.
    """
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise ConfigError(f"none of {', '.join(names)} is on the path; {HOW_TO_INSTALL}")
    return found


class Browser:
    """One page at a time, in a window size and a color scheme of the caller's choice."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(
        self, page: Path | str, *, width: int = 1200, dark: bool = False, script: bool = True, paper: bool = False
    ) -> None:
        scheme = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": scheme, "media": "print" if paper else ""}
        )
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        self.console()
        self._driver.get(page if isinstance(page, str) else page.as_uri())

    def run(self, script: str, *arguments: object) -> object:
        return self._driver.execute_script(script, *arguments)

    def result_of(self, asynchronous: str, *arguments: object) -> object:
        """Return what the body of an asynchronous function returns, or the text of the error that it throws."""
        run = f"(async () => {{ {asynchronous} }})()"
        answer = f"const end = arguments[arguments.length - 1]; {run}.then(end, error => end(`${{error}}`))"
        return self._driver.execute_async_script(answer, *arguments)

    def wait_for(self, expression: str, seconds: float = 60) -> object:
        """Return the value of an expression when it is true."""
        return WebDriverWait(self._driver, seconds, 0.05).until(
            lambda driver: driver.execute_script(f"return {expression}")
        )

    def element(self, selector: str) -> WebElement:
        return self._driver.find_element("css selector", selector)

    def press(self, *keys: str, at: str | None = None) -> None:
        """Press keys where the focus is, or at an element that gets it."""
        if at is not None:
            self._driver.execute_script("document.querySelector(arguments[0]).focus()", at)
        self._driver.switch_to.active_element.send_keys(*keys)

    def hover(self, selector: str) -> None:
        """Move the mouse over an element."""
        ActionChains(self._driver).move_to_element(self.element(selector)).perform()

    def download(self, selector: str, folder: Path) -> Path:
        """Click an element, and return the file that this saves in an empty folder."""
        behavior = {"behavior": "allow", "downloadPath": str(folder)}
        self._driver.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)
        self.element(selector).click()
        WebDriverWait(self._driver, 20).until(lambda _: any(path.suffix == ".csv" for path in folder.iterdir()))
        return next(folder.glob("*.csv"))

    def console(self) -> list[dict[str, object]]:
        """Return the messages since the last call, or since the page was opened."""
        messages: list[dict[str, object]] = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return messages

    def print_pages(self) -> bytes:
        answer = self._driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
        return base64.b64decode(answer["data"])


@contextmanager
def chromium(profile: Path, *arguments: str) -> Iterator[Browser]:
    """Start Chromium with an empty profile and further arguments.

    Raises:
        ConfigError: Chromium or its driver is not installed.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    for argument in (*ARGUMENTS, *arguments, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver", "chromium.chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def served(folder: Path, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve a folder as `python -m http.server` does, with further headers, and yield its address."""

    class Handler(_SilentHandler):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
