"""Pages of the documentation site, by their places in the repository, in the order of its navigation."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "Start": ("pipelines/examples/README.md", "pipelines/*/configs/README.md", "pipelines/cli/sample/README.md"),
    "Pipelines": ("pipelines/[!ce]*/README.md",),
    "Components": ("components/README.md", "components/*/README.md", "components/shared/*/README.md"),
    "Deployment": ("manifests/README.md", "manifests/*/README.md", "images/README.md"),
    "Background": ("*/*/DECISIONS.md", "*/*/*/DECISIONS.md", "findings/README.md"),
    "Project": ("CHANGELOG.md", "CONTRIBUTING.md"),
}
"""Headings of the navigation, with patterns of their pages."""


def pages_of(section: str) -> list[str]:
    """Return the pages of a section as paths below the root of the repository."""
    found = [path for pattern in SECTIONS[section] for path in sorted(ROOT.glob(pattern))]
    return list(dict.fromkeys(path.relative_to(ROOT).as_posix() for path in found))


PAGES = ["README.md", *(page for section in SECTIONS for page in pages_of(section))]


def toctrees() -> str:
    """Format the navigation as MyST Markdown."""
    return "".join(
        f"\n\n```{{toctree}}\n:hidden:\n:caption: {section}\n\n{chr(10).join(map(_entry, pages_of(section)))}\n```\n"
        for section in SECTIONS
    )


def _entry(page: str) -> str:
    name = page.removesuffix(".md")
    folder = Path(page).parent
    if folder.name == "configs":
        return f"{folder.parent.name}: configurations </{name}>"
    if page.endswith("DECISIONS.md"):
        return f"Decisions: {folder.name} </{name}>"
    return f"/{name}"
