"""A real Chromium that opens the service's page, and sees to it that the page stays clean while a test looks at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

SECONDS = 20  # the machine may be busy
expect.set_options(timeout=1000 * SECONDS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser, without a window."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str, *, failures: tuple[str, ...] = (), **options: Any) -> Iterator[Page]:
    """The page in a new context; ``failures`` are parts of the browser's messages about requests that shall fail.

    When the block ends: no error and no warning on the console (a violated CSP is one), no exception in a script, and
    nothing was asked of anybody else.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * SECONDS)
    page = context.new_page()
    wrong: list[str] = []
    asked: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(failure in message.text for failure in failures):
            wrong.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    yield page
    context.close()
    assert not wrong
    assert not [address for address in asked if not address.startswith((f"{url}/", f"blob:{url}/"))]


def drop(page: Page, file: Path) -> None:
    """Drop ``file`` onto the page's frame for pictures, as the browser does it."""
    box = page.locator("#drop").bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


LEAST_CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (element) => {
    const colour = channels(getComputedStyle(element).backgroundColor);
    return colour.length === 4 && colour[3] < 1 ? behind(element.parentElement) : colour;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const text = light(channels(element.ownerSVGElement ? style.fill : style.color));
    const ground = light(behind(element));
    const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    found.push([contrast, texts.currentNode.data.trim()]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
}"""
"""The least contrast of a text on the page with what is behind it, and the text (WCAG 2: at least 4.5)."""


def percent(share: float) -> str:
    return "< 0.1%" if share < 0.001 else "> 99.9%" if share > 0.999 else f"{100 * share:.1f}%"


def choose(page: Page, file: Any) -> None:
    """By the file dialog, once the page takes pictures."""
    expect(page.locator("#main")).to_be_visible()
    page.set_input_files("#file", file)


def answered(page: Page) -> list[list[str]]:
    """The classes on the page, once they are there."""
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#answer")).not_to_have_class("old")
    return [row.split("\n") for row in page.locator("#classes li").all_inner_texts()]


def expect_error(page: Page, *parts: str) -> None:
    for part in parts:
        expect(page.locator("#problem")).to_contain_text(part)
    expect(page.locator("#answer")).to_be_hidden()
