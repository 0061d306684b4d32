"""Headless Chromium without network access of its own."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOW_TO_INSTALL = (
    "the report is tested in a real browser: install Chromium and its driver "
    "(Debian: apt-get install chromium chromium-driver; elsewhere: Google Chrome and chromedriver)"
)


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"none of {', '.join(names)} on the path; {HOW_TO_INSTALL}", pytrace=False)
    return found


class Browser:
    """One page at a time, in a window size and a color scheme of the test's choice."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, page: Path, *, width: int = 1200, dark: bool = False, script: bool = True) -> None:
        scheme = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self._driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        self._driver.get_log("browser")
        self._driver.get(page.as_uri())

    def run(self, script: str) -> object:
        return self._driver.execute_script(script)

    def run_async(self, script: str) -> object:
        """Run a script that calls its last argument with the result."""
        self._driver.set_script_timeout(120)
        return self._driver.execute_async_script(script)

    def hover(self, selector: str) -> None:
        ActionChains(self._driver).move_to_element(self._driver.find_element(By.CSS_SELECTOR, selector)).perform()

    def click(self, selector: str) -> None:
        self._driver.find_element(By.CSS_SELECTOR, selector).click()

    def press(self, selector: str, *keys: str) -> None:
        """Press keys, one after another, while an element has the focus."""
        self._driver.execute_script("document.querySelector(arguments[0]).focus()", selector)
        ActionChains(self._driver).send_keys(*keys).perform()

    def download(self, selector: str, folder: Path) -> Path:
        """Click an element, and return the file that this saves in an empty folder."""
        behavior = {"behavior": "allow", "downloadPath": str(folder)}
        self._driver.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)
        self.click(selector)
        WebDriverWait(self._driver, 20).until(lambda _: any(path.suffix == ".csv" for path in folder.iterdir()))
        return next(folder.glob("*.csv"))

    def console(self) -> list[dict[str, object]]:
        return self._driver.get_log("browser")

    def print_pages(self) -> bytes:
        answer = self._driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
        return base64.b64decode(answer["data"])


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile; a machine without one fails the test."""
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver", "chromium.chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
