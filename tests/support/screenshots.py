"""`make screenshots`: the README's picture of a report, from the run of `make run`.

Chromium takes it, as in the tests of tests/browser.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / ".github" / "report.png"
SIZE = {"width": 1280, "height": 1180}
LARGEST_BYTES = 150_000


def newest_report(runs: Path) -> Path:
    """Return the report of the newest run of `train_classifier` that reached its evaluation."""
    reports = sorted(
        runs.glob("train_classifier-*/*/evaluate-model/report.html"), key=lambda path: path.stat().st_mtime
    )
    if not reports:
        raise SystemExit(f"There must be a report below {runs}. Received: none. Call `make run`.")
    return max(reports, key=lambda path: path.stat().st_mtime)


def take(report: Path, out: Path) -> int:
    """Write the first screen of a report as PNG of 64 colors, and return its size in bytes."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(report.resolve().as_uri())
        taken = page.screenshot()
        browser.close()
    colors = Image.open(io.BytesIO(taken)).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    colors.save(out, optimize=True)
    return out.stat().st_size


if __name__ == "__main__":
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else newest_report(ROOT / "runs")
    size = take(source, PICTURE)
    print(f"{PICTURE.relative_to(ROOT)}: {size:,} bytes, from {source}")
    sys.exit(size > LARGEST_BYTES)
