"""Drives the web UI in the system's Chromium: every function takes a page or an address, so a fake and a real stack are driven alike.

with chromium() as browser, streamlit(api_url) as base_url:
    page = open_app(browser, base_url)
    ask(page, "How are scores fused?")
    open_citation(page)
    png = shown_page(page)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, FilePayload, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
# Nothing of the browser's own may speak to the internet.
ARGUMENTS = [
    "--no-sandbox",
    "--headless=new",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PATIENCE_S = 60.0


def chromium_path() -> str | None:
    """Where the system's Chromium is, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    expect.set_options(timeout=PATIENCE_S * 1000)  # five seconds are little on a busy machine
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def streamlit(api_url: str, api_key: str = "") -> Iterator[str]:
    """A real Streamlit process with this UI on a free port; yields its address when it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "webui/app.py", "--server.port", str(port), "--server.address", "127.0.0.1"]
    environment = {**os.environ, "PAPERPROOF_API_URL": api_url, "PAPERPROOF_API_KEY": api_key}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(process, f"{url}/_stcore/health")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_up(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"streamlit ended with {process.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer in {PATIENCE_S:g} s")


def open_app(
    browser: Browser, base_url: str, path: str = "", *, width: int = 1280, height: int = 860, locale: str = "en-US", dark: bool = False
) -> Page:
    """The UI in a new window of its own, drawn to the end."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale=locale, color_scheme="dark" if dark else "light", device_scale_factor=1
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.goto(f"{base_url}/{path}")
    settled(page)
    return page


def settled(page: Page) -> None:
    """Wait until the app has run and stands still; a running answer or job redraws itself and counts as still."""
    page.locator(".stApp[data-test-script-state=notRunning]").wait_for()
    expect(page.locator("[data-testid=stSkeleton]")).to_have_count(0)
    page.evaluate("() => document.fonts.ready.then(() => null)")


def ask(page: Page, question: str, *, wait: bool = True) -> Locator:
    """Type a question and send it; returns the newest answer, with `wait` after it has ended."""
    answers = page.locator("[class*=st-key-answer_]")
    before = answers.count()
    box = page.locator("[data-testid=stChatInput] textarea")
    expect(box).to_be_enabled()
    box.fill(question)
    box.press("Enter")
    answer = answers.nth(before)
    answer.wait_for()
    if wait:
        wait_for_answer(page)
    return answer


def wait_for_answer(page: Page, timeout_s: float = PATIENCE_S) -> None:
    """Wait until no answer is on its way any more."""
    expect(page.locator("[data-testid=stChatInput] textarea")).to_be_enabled(timeout=timeout_s * 1000)
    expect(page.locator("[class*=st-key-stop_]")).to_have_count(0)


def citations(page: Page) -> list[str]:
    """The labels of the newest answer's citations."""
    return [text.strip() for text in page.locator("[class*=st-key-cites_]").last.locator("button").all_inner_texts()]


def open_citation(page: Page, number: int = 1) -> None:
    """Click the `number`-th citation of the newest answer and wait for its page."""
    page.locator("[class*=st-key-cites_]").last.locator("button").nth(number - 1).click()
    panel_image(page).wait_for()


def panel_image(page: Page) -> Locator:
    """The picture of the cited page."""
    return page.locator(".st-key-page_panel img")


def shown_page(page: Page) -> bytes:
    """The picture that the browser shows beside the answer, fetched from where the browser took it."""
    image = panel_image(page)
    expect(image).to_have_js_property("complete", True)
    source = image.get_attribute("src") or ""
    return page.request.get(source if "://" in source else page.url.split("/", 3)[0] + "//" + page.url.split("/")[2] + source).body()


def upload(page: Page, files: list[tuple[str, bytes]], password: str = "") -> None:
    """Send files from the libraries page, without waiting for them to be read; the password's field is left with Tab."""
    expect(page.locator("[data-testid=stDialog]")).to_have_count(0)  # the page behind a closing dialog takes nothing
    settled(page)
    chooser = page.locator("[data-testid=stFileUploader] input[type=file]")
    chooser.set_input_files([FilePayload(name=name, mimeType="application/octet-stream", buffer=data) for name, data in files])
    if password:
        field = page.locator("[class*=st-key-password_] input")
        field.press_sequentially(password)
        field.press("Tab")
    button = page.locator(".st-key-upload button")
    expect(button).to_have_count(1)  # while the page is drawn again the old form stands beside the new one
    expect(button).to_be_enabled()
    button.click()


def create_library(page: Page, name: str) -> None:
    """Make a library from the libraries page; the caller looks for the outcome."""
    page.locator(".st-key-new_library button").click()
    page.locator(".st-key-new_name input").fill(name)
    page.locator(".st-key-create button").click()


def tick_row(page: Page, number: int) -> None:
    """Tick the `number`-th document of the table, which is drawn on a canvas: rows of 35 pixels below a head of as many."""
    table = page.locator("[data-testid=stDataFrame] .dvn-scroller")
    table.scroll_into_view_if_needed()
    table.click(position={"x": 16, "y": 35 * number + 17})


def wait_for_job(page: Page, timeout_s: float = PATIENCE_S) -> str:
    """Wait until the library's job has ended; returns the words of its outcome."""
    outcome = page.locator(".st-key-job").filter(has=page.locator(".st-key-dismiss_job"))
    outcome.wait_for(timeout=timeout_s * 1000)
    return outcome.inner_text()


def links_and_pictures(place: Locator) -> int:
    """How many things in a place lead or load elsewhere."""
    return place.locator("a, img, iframe, script, object").count()


def foreign_requests(page: Page, base_url: str) -> list[str]:
    """A list that fills with every address outside `base_url` that the page asks for from now on."""
    seen: list[str] = []
    host = re.sub(r"^https?://", "", base_url)
    page.on(
        "request",
        lambda request: None if request.url.split("/")[2:3] == [host] or request.url.startswith("data:") else seen.append(request.url),
    )
    return seen
