"""A real browser, and pages in it as Kubeflow shows them.

Playwright drives the installed Chromium (Debian's package) and downloads none.
"""

import dataclasses
import html
import io
import os
import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from tests.support.packed import with_shards
from tilepipe.components.evaluate.evaluation import Evaluation
from tilepipe.components.evaluate.predict import SplitPredictions
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.contracts.manifest import SPLITS, BandStatistics, Manifest, SplitSummary

CHROMIUM = os.environ.get("TILEPIPE_CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FRAME = (500, 600)
"""Width and height of the frame that Kubeflow shows an HTML artifact in."""
WIDE = (1280, 900)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; without it, tests are skipped, or fail if CI demands them."""
    if not shutil.which(CHROMIUM):
        reason = f"no Chromium at {CHROMIUM} (apt-get install chromium, or set TILEPIPE_CHROMIUM)"
        if os.environ.get("CI") or os.environ.get("TILEPIPE_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Scroll bars take 15 pixels from Kubeflow's frame, so they must be visible.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=["--hide-scrollbars"]
        )
        yield browser
        browser.close()


@dataclass
class Shown:
    """A page in the browser, and its behavior."""

    page: object
    document: object
    """The frame that the page itself is in."""
    complaints: list = field(default_factory=list)
    """Errors and warnings in the console, uncaught exceptions, dialogs."""
    requests: list = field(default_factory=list)
    """Addresses of all but the page itself."""

    def overflow(self):
        """By how many pixels the page is wider than its window."""
        return self.document.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def assert_quiet_and_fits(self):
        """Assert that the page complains about nothing, requests nothing and is no wider than its window."""
        assert self.complaints == []
        assert self.requests == []
        assert self.overflow() == 0

    def boxes(self, selector):
        """Left, top, right and bottom of each element."""
        edges = "({left, top, right, bottom}) => [left, top, right, bottom]"
        return self.document.eval_on_selector_all(
            selector, f"nodes => nodes.map(node => ({edges})(node.getBoundingClientRect()))"
        )

    def assert_words_do_not_overlap(self, drawing):
        """Assert that the words of drawings are apart and within their drawing.

        Args:
            drawing: selector of the drawings.
        """
        assert self.boxes(f"{drawing} text")
        for number, (left, _, right, _) in enumerate(self.boxes(drawing)):
            words = self.boxes(f"{drawing} >> nth={number} >> text")
            for i, one in enumerate(words):
                assert left - 1 <= one[0] <= one[2] <= right + 1
                for other in words[i + 1 :]:
                    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] + 3 or other[3] <= one[1] + 3
                    assert apart, (one, other)


@pytest.fixture
def show(browser, tmp_path):
    """Open a page, if `framed` in a sandboxed frame as in Kubeflow, else in its own window; nothing can be fetched."""
    contexts = []

    def show(content, *, framed=True, size=None):
        width, height = size or (FRAME if framed else WIDE)
        # The page with the frame has margins of its own.
        context = browser.new_context(viewport={"width": width + 40, "height": height + 40} if framed else None)
        contexts.append(context)
        page = context.new_page()
        if not framed:
            page.set_viewport_size({"width": width, "height": height})
        shown = Shown(page, page.main_frame)
        page.on("console", lambda message: _complain(shown, message))
        page.on("pageerror", lambda error: shown.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (shown.complaints.append(dialog.message), dialog.dismiss()))
        itself = tmp_path / f"page-{len(contexts)}.html"
        itself.write_text(content, encoding="utf-8")
        context.on("request", lambda request: _note(shown, request.url, itself))
        if framed:
            page.set_content(
                f'<iframe sandbox="allow-scripts" width="{width}" height="{height}" style="border:0" '
                f'srcdoc="{html.escape(content)}"></iframe>'
            )
            shown.document = page.query_selector("iframe").content_frame()
            shown.document.wait_for_load_state()
        else:
            page.goto(itself.as_uri())
        return shown

    yield show
    for context in contexts:
        context.close()


def _complain(shown, message):
    if message.type in {"error", "warning"}:
        shown.complaints.append(message.text)


def _note(shown, url, itself):
    if url not in {itself.as_uri(), "about:srcdoc", "about:blank"}:
        shown.requests.append(url)


@pytest.fixture
def history():
    """History of a training of twelve epochs, of which the ninth was the best."""
    epochs = [
        {
            "loss": 2.1 * np.exp(-epoch / 4) + 0.12,
            "accuracy": 1 - 0.8 * np.exp(-epoch / 4),
            "val_loss": 2.0 * np.exp(-epoch / 4) + 0.2 + 0.01 * epoch,
            "val_accuracy": 0.93 - 0.7 * np.exp(-epoch / 3.5) - 0.02 * (epoch > 9),
            "learning_rate": 0.001,
            "seconds": 3.0,
            "tiles_per_second": 2000.0,
        }
        for epoch in range(1, 13)
    ]
    return History(metric="val_accuracy", best_epoch=9, epochs=tuple(epochs))


@pytest.fixture
def make_evaluation(history):
    """An evaluation from random answers."""

    def make(names, *, name="eurosat-sample (synthetic)", tiles=600, test=True, skill=2.5):
        rng = np.random.default_rng(1)
        splits, predictions = {}, []
        for split in SPLITS:
            count = tiles if test or split != "test" else 0
            labels = np.sort(rng.integers(0, len(names), count))
            per_class = {n: int((labels == i).sum()) for i, n in enumerate(names)}
            splits[split] = SplitSummary(tiles=count, tiles_per_class=per_class, shards=())
            if count and split != "train":
                logits = rng.normal(size=(count, len(names)))
                logits[np.arange(count), labels] += skill
                odds = np.exp(1.3 * logits)
                ids = [f"tiles/{names[label]}/{number:05d}.tif" for number, label in enumerate(labels)]
                probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
                predictions.append(SplitPredictions(split, ids, labels, probabilities))
        manifest = Manifest(
            tilepipe_version="0.1.0",
            name=name,
            source="https://catalog.example.org/eurosat/collection.json",
            snapshot="2026-01-01T00:00:00Z",
            digest="0123456789abcdef" * 4,
            bands=("B02", "B03", "B04", "B08"),
            dtype="uint16",
            height=64,
            width=64,
            class_names=tuple(names),
            splits={split: with_shards(split, summary) for split, summary in splits.items()},
            statistics=tuple(
                BandStatistics(band=band, mean=1.0, std=1.0, minimum=0.0, maximum=9.0)
                for band in ("B02", "B03", "B04", "B08")
            ),
        )
        return Evaluation.of(manifest, history, sorted(predictions, key=lambda one: one.split))

    return make


@pytest.fixture
def pictured():
    """Give each shown tile of an evaluation a picture of 64 by 64 pixels."""

    def pictured(found):
        rng = np.random.default_rng(2)
        pictures = {}
        for tile in found.shown:
            content = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(content, "JPEG")
            pictures[tile.place] = content.getvalue()
        return dataclasses.replace(found, shown=dataclasses.replace(found.shown, pictures=pictures))

    return pictured
