"""HTML page of a training: figures per epoch, and per class for the best epoch."""

import functools
from collections.abc import Callable

from tilepipe.components.shared.contracts.history import History, in_words, lower_is_better
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.figures import PER_CLASS, class_labels
from tilepipe.components.shared.pages.curves import curve_panel, drawn_figures
from tilepipe.components.shared.pages.dark_style import DARK_STYLE
from tilepipe.components.shared.pages.formatting import breakable, percent
from tilepipe.components.shared.pages.markup import Markup, element
from tilepipe.components.shared.pages.page import headings, html_page, number, section, table
from tilepipe.components.shared.pages.style import PAGE_STYLE

_STYLE = (
    PAGE_STYLE
    + """
.curves{row-gap:1.2rem}
thead .number{white-space:normal}
.best td,.best th{color:var(--accent);font-weight:650}
"""
    + DARK_STYLE
)

_CLASS_TITLES = ("Recall", "Precision", "F1")
"""Titles of `PER_CLASS`, in its order."""


_loss = "{:.4f}".format
_share = functools.partial(percent, digits=2)
_COLUMNS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("Training loss", "loss", _loss),
    ("Validation loss", "val_loss", _loss),
    ("Training accuracy", "accuracy", _share),
    ("Validation accuracy", "val_accuracy", _share),
    ("Balanced validation accuracy", "val_balanced_accuracy", _share),
    ("Learning rate", "learning_rate", "{:.3g}".format),
    ("Tiles per second", "tiles_per_second", "{:,.0f}".format),
)
"""Title, figure and format of each column of the table of epochs."""


def render_page(history: History, manifest: Manifest, more: Markup | None = None) -> str:
    """Render the page of a training as self-contained HTML without scripts.

    Args:
        history: figures of each epoch.
        manifest: description of the tiles.
        more: section to add before the figures of each epoch, such as the plot of the learning-rate finder.
    """
    title = f"Training on {manifest.name}"
    return html_page(
        title,
        _STYLE,
        element("header", element("h1", title), element("p", _lede(history, manifest), class_="lede")),
        element("div", *(curve_panel(history, figure) for figure in drawn_figures(history)), class_="pair curves"),
        _classes(history, manifest),
        more,
        element("section", element("details", element("summary", "Figures of each epoch"), _epochs(history))),
    )


def _lede(history: History, manifest: Manifest) -> str:
    best, epochs = history.best, len(history.epochs)
    if not history.has_validation:
        return (
            f"The model is that of the last of {epochs} epochs, since there are no validation tiles. Accuracy "
            f"{percent(best['accuracy'])}, loss {best['loss']:.3f} on the training tiles."
        )
    chosen = f"the {'lowest' if lower_is_better(history.metric) else 'highest'} {in_words(history.metric)}"
    return (
        f"Best epoch: {history.best_epoch} of {epochs}, by {chosen}: accuracy {percent(best['val_accuracy'])}, "
        f"loss {best['val_loss']:.3f} on {manifest.splits['val'].tiles:,} tiles."
    )


def _classes(history: History, manifest: Manifest) -> Markup | None:
    """Render recall, precision and F1 of each class that has validation tiles, in the best epoch."""
    labels = class_labels(manifest.class_names)
    tiles = manifest.splits["val"].tiles_per_class
    figures = {
        name: [history.best[f"val_{figure}/{label}"] for figure in PER_CLASS]
        for name, label in zip(manifest.class_names, labels, strict=True)
        if f"val_recall/{label}" in history.best
    }
    if not figures:
        return None
    rows = [
        element(
            "tr",
            element("th", breakable(name), scope="row", class_="name"),
            *(number(percent(value)) for value in values),
            number(f"{tiles[name]:,}"),
        )
        for name, values in sorted(figures.items(), key=lambda row: row[1][0])
    ]
    head = headings("Class", *(f"#{title}" for title in _CLASS_TITLES), "#Tiles")
    return section(
        "Classes",
        "The validation tiles in the best epoch, lowest recall first; classes without validation tiles have no "
        "figures.",
        table("Figures of each class, lowest recall first", head, rows, wide=True),
        long=True,
    )


def _epochs(history: History) -> Markup:
    columns = [column for column in _COLUMNS if column[1] in history.best]
    rows = [
        element(
            "tr",
            element("th", i, scope="row"),
            *(number(form(figures[name])) for _, name, form in columns),
            class_="best" if i == history.best_epoch else None,
        )
        for i, figures in enumerate(history.epochs, start=1)
    ]
    head = headings("Epoch", *(f"#{title}" for title, _, _ in columns))
    return table("Loss, accuracy and speed by epoch", head, rows, wide=True)
