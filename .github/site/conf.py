"""Configuration of the documentation site (Sphinx): its pages are the Markdown files of the repository, where they are.

`make docs` builds it with warnings as errors, so that a broken link, or a page that the navigation lacks, fails.
Sphinx, because it reads pages from anywhere in a repository. MkDocs and Zensical want them in a folder of their own,
and MkDocs had its last release in 2024.
"""

import os
import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
from navigation import PAGES, toctrees

ROOT = Path(__file__).parents[2]
REPOSITORY = os.environ.get("TILEPIPE_REPOSITORY", "https://github.com/tilepipe/tilepipe")

project = "tilepipe"
author = "tilepipe"
release = re.search(r'^VERSION = "(.*)"', (ROOT / "components/shared/version.py").read_text(), re.MULTILINE)[1]
extensions = ["myst_parser", "sphinx.ext.githubpages", "sphinxcontrib.mermaid"]
root_doc = "README"
include_patterns = PAGES
exclude_patterns = [".venv", "build", "runs", "tests", "*.egg-info"]
myst_enable_extensions = ["html_image"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4
smartquotes = False  # JSON in descriptions must stay JSON when it is copied
html_theme = "furo"
html_title = f"tilepipe {release}"
html_show_copyright = False
html_baseurl = os.environ.get("TILEPIPE_SITE", "")
linkcheck_timeout = 20


def to_pages(text: str, folder: Path) -> str:
    """Point links to files that are no pages, and to folders, at the repository or at the folder's page."""

    def link(match: re.Match[str]) -> str:
        path, anchor = match[1], match[2] or ""
        target = (folder / path).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            return match[0]  # Sphinx reports it
        name = target.relative_to(ROOT).as_posix()
        if target.is_dir() and f"{name}/README.md" in PAGES:
            return f"]({os.path.relpath(target / 'README.md', folder)}{anchor})"
        return match[0] if name in PAGES else f"]({REPOSITORY}/blob/main/{name}{anchor})"

    return re.sub(r"\]\((?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?\)", link, text)


def read_page(_: Sphinx, docname: str, content: list[str]) -> None:
    """Change a page as it is read, not its file: links, and the navigation below the first page."""
    content[0] = to_pages(content[0], (ROOT / docname).parent)
    if docname == root_doc:
        content[0] += toctrees()


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Lead from the site's address to the first page."""
    if error is None and app.builder.format == "html":
        first = '<!doctype html><meta http-equiv="refresh" content="0; url=README.html"><title>tilepipe</title>\n'
        (Path(app.outdir) / "index.html").write_text(first, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register the hooks."""
    app.connect("source-read", read_page)
    app.connect("build-finished", write_index)
