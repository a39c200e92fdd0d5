"""Contrast of texts on a page in the browser, by WCAG 2."""

import re

# Text, its color and the color behind it, of each text node.
VISIBLE_TEXTS = """() => {
  const found = [], walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement, style = getComputedStyle(parent);
    if (!node.data.trim() || parent.closest("style, .hidden") || !parent.getClientRects().length) continue;
    let behind = parent;
    while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const ink = parent.closest("svg") ? style.fill : style.color;
    found.push([node.data, ink, getComputedStyle(behind || document.body).backgroundColor]);
  }
  return found;
}"""


def assert_dark_is_readable(shown, texts):
    """Assert that a page has dark colors if the system does, and that each text has a contrast of at least 4.5.

    Args:
        shown: the page, from `show`.
        texts: fewest number of texts that are compared.
    """
    shown.page.emulate_media(color_scheme="dark")
    assert luminance(shown.document.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.05
    found = shown.document.evaluate(VISIBLE_TEXTS)
    assert len(found) >= texts
    assert [(text, ink, ground) for text, ink, ground in found if contrast(ink, ground) < 4.5] == []


def luminance(color):
    channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
