"""What a screen reader, a keyboard, poor eyes and small screens need, asserted in a real Chromium."""

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from test_page import visit
from visitor import Visitor
from watched_replica import Replica

CONTRAST_MIN = 4.5  # WCAG 2.1, level AA
# Every visible text with its colour and that of what is behind it; charts paint on their card.
CONTRASTS = """
const parse = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
const linear = part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) =>
  0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
  if (!text || ["NOSCRIPT", "SCRIPT", "OPTION"].includes(element.tagName)) continue;
  if (!element.checkVisibility() || element.closest(".unseen, .skip, :disabled")) continue;
  const style = getComputedStyle(element), isDrawn = element.namespaceURI.endsWith("svg");
  const front = luminance(parse(isDrawn ? style.fill : style.color)), back = luminance(behind(element));
  found.push([(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), text.slice(0, 40)]);
}
return found;
"""


@pytest.fixture(scope="module")
def visitor(browser: Visitor, replica: Replica) -> Iterator[Visitor]:
    """Looks at a page on which all there is has been shown."""
    visit(browser, replica, replica.feed(30))
    version = replica.feed(30)
    browser.wait(lambda: browser.tile("Version") == f"{version:,}")
    browser.wait(lambda: browser.ask("return document.querySelectorAll('#recent tr').length"))
    browser.click("#predict")
    browser.wait(lambda: "by version" in browser.text("#answer"))
    yield browser
    browser.leave()


def test_landmarks_language_and_one_main_heading(visitor: Visitor) -> None:
    assert visitor.ask("return document.documentElement.lang") == "en"
    for landmark in ("header", "main", "footer", "nav[aria-label]"):
        assert visitor.ask(f"return document.querySelectorAll('{landmark}').length") == 1, landmark
    headings = "[...document.querySelectorAll('h1,h2,h3')]"
    levels: list[int] = visitor.ask(f"return {headings}.map(each => +each.tagName[1])")
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in zip(levels, levels[1:], strict=False)), levels
    assert visitor.ask("return document.querySelectorAll('section:not([aria-labelledby])').length") == 0


def test_everything_to_use_or_to_see_has_a_name(visitor: Visitor) -> None:
    for css in ("input", "button", "a", "table th", "svg[role=img]", "[role=region]"):
        for element in visitor.driver.find_elements(By.CSS_SELECTOR, css):
            if css != "input" or element.is_displayed():
                named = element.accessible_name or not element.is_displayed()
                assert named, (css, element.get_attribute("outerHTML"))
    ids: list[str] = visitor.ask("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    referred: list[str] = visitor.ask(
        "return [...document.querySelectorAll('[aria-labelledby]')]"
        ".map(e => e.getAttribute('aria-labelledby'))"
    )
    assert set(referred) <= set(ids)
    assert visitor.ask("return document.querySelector('#summary').getAttribute('aria-live')") == "polite"


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visitor: Visitor) -> None:
    reached: list[str] = []
    visitor.ask("document.querySelector('.skip').focus()")
    for _ in range(60):
        ActionChains(visitor.driver).send_keys("\t").perform()
        at: dict[str, Any] = visitor.ask(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return {id: e.id || e.getAttribute('aria-labelledby') || e.ariaLabel || e.textContent,"
            " outline: s.outlineStyle, isPage: e === document.body}"
        )
        if at["isPage"]:  # beyond the last one
            break
        reached.append(at["id"])
        assert at["outline"] != "none", at
    assert {"predict", "clear", "field-0", "field-1", "field-2", "events"} <= set(reached)


def test_a_chart_can_be_read_by_keyboard(visitor: Visitor) -> None:
    plot = visitor.driver.find_element(By.CSS_SELECTOR, "#first .plot")
    newest = visitor.text("#first-says")
    visitor.ask("document.querySelector('#first .plot').focus()")
    plot.send_keys("\ue011")  # Home: the oldest point
    visitor.wait(lambda: visitor.text("#first-says") != newest)
    assert "Accuracy at version" in visitor.text("#first-says")
    visitor.ask("document.querySelector('#first .plot').blur()")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_in_both_themes(visitor: Visitor, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    found: list[tuple[float, str]] = visitor.ask(CONTRASTS)
    assert len(found) > 60
    assert [each for each in found if each[0] < CONTRAST_MIN] == []


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_nothing_is_wider_than_the_screen(visitor: Visitor, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    visitor.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    visitor.wait(lambda: visitor.ask("return document.documentElement.scrollWidth") <= width)


def test_who_wants_no_motion_sees_none(visitor: Visitor) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    moving = "return document.getAnimations().length"
    assert visitor.ask(moving) == 0
    visitor.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    visitor.wait(lambda: visitor.ask(moving) == 1)  # the dot that says it is alive
