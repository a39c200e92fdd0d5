"""HTML page of a training: figures per epoch, and per class for the best epoch."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from tilepipe.components.shared.contracts.history import History, in_words, lower_is_better
from tilepipe.components.shared.contracts.manifest import Manifest
from tilepipe.components.shared.figures import PER_CLASS
from tilepipe.components.shared.pages.curves import curve_panel, drawn_figures
from tilepipe.components.train.figures.epoch_figures import class_labels

# Kubeflow shows the page in a frame of about 500 by 600 pixels without storage or network access.
_STYLE = """
:root{--ink:#1c2733;--soft:#56636f;--line:#dfe5ea;color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
main{max-width:62rem;margin:0 auto;padding:.7rem .6rem 1.5rem}
h1{font-size:1.15rem;line-height:1.3;margin:0;font-weight:650;overflow-wrap:anywhere}
p{margin:.2rem 0 1rem;color:var(--soft)}
figure{margin:0 0 1rem}
svg{display:block;width:100%;max-width:36rem!important}
details{border-top:1px solid var(--line);padding-top:.6rem}
summary{cursor:pointer;color:var(--soft)}
summary:focus-visible{outline:2px solid #1d5a9c;outline-offset:3px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin-top:.5rem;font-size:.8rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .7rem .2rem 0;text-align:right;border-bottom:1px solid var(--line);font-weight:400}
td{white-space:nowrap}
thead th{color:var(--soft);vertical-align:bottom;white-space:normal;line-height:1.2}
h2{font-size:1rem;line-height:1.3;margin:0;font-weight:650}
section{border-top:1px solid var(--line);padding-top:.6rem;margin-bottom:1rem}
section p{margin:.2rem 0 .4rem}
.classes th:first-child{text-align:left;overflow-wrap:anywhere}
tr.best{color:#1d5a9c}
tr.best th,tr.best td{font-weight:650}
@media (min-width:56rem){.pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 2rem}}
"""

_CLASS_TITLES = ("recall", "precision", "F1")
"""Titles of `PER_CLASS`, in its order."""
_COLUMNS = (
    ("training loss", "loss", "{:.4f}"),
    ("validation loss", "val_loss", "{:.4f}"),
    ("training accuracy", "accuracy", "{:.2%}"),
    ("validation accuracy", "val_accuracy", "{:.2%}"),
    ("balanced validation accuracy", "val_balanced_accuracy", "{:.2%}"),
    ("learning rate", "learning_rate", "{:.3g}"),
    ("tiles per second", "tiles_per_second", "{:,.0f}"),
)


@dataclass(frozen=True)
class PageSection:
    """An additional section of the page, such as the plot of the learning-rate finder."""

    title: str
    note: str
    """Description in one sentence; plain text, like the title."""
    drawing: str
    """Trusted SVG or HTML."""


def render_page(history: History, manifest: Manifest, sections: Sequence[PageSection] = ()) -> str:
    """Render the page of a training.

    Args:
        history: figures of each epoch.
        manifest: the training data.
        sections: further sections, below the curves. Defaults to none.

    Returns:
        A self-contained HTML page without scripts.
    """
    title = html.escape(f"Training on {manifest.name}")
    figures = "".join(f"<figure>{curve_panel(history, figure)}</figure>" for figure in drawn_figures(history))
    more = _classes(history, manifest) + "".join(map(_section, sections))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>{_lede(history, manifest)}</p>"
        f'<div class="pair">{figures}</div>{more}<details><summary>Figures of each epoch</summary>'
        f'<div class="scroll" tabindex="0">{_table(history)}</div></details></main></body></html>\n'
    )


def _lede(history: History, manifest: Manifest) -> str:
    best, epochs = history.best, len(history.epochs)
    if not history.has_validation:
        return (
            f"The model is that of the last of {epochs} epochs, since there are no validation tiles. Accuracy "
            f"{100 * best['accuracy']:.1f} %, loss {best['loss']:.3f} on the training tiles."
        )
    chosen = html.escape(f"the {'lowest' if lower_is_better(history.metric) else 'highest'} {in_words(history.metric)}")
    return (
        f"Best epoch: {history.best_epoch} of {epochs}, by {chosen}: accuracy "
        f"{100 * best['val_accuracy']:.1f} %, loss {best['val_loss']:.3f} "
        f"on {manifest.splits['val'].tiles:,} tiles."
    )


def _section(section: PageSection) -> str:
    return (
        f"<section><h2>{html.escape(section.title)}</h2><p>{html.escape(section.note)}</p>"
        f"<figure>{section.drawing}</figure></section>"
    )


def _classes(history: History, manifest: Manifest) -> str:
    """Render recall, precision and F1 of each class that has validation tiles, in the best epoch."""
    labels = class_labels(manifest.class_names)
    tiles = manifest.splits["val"].tiles_per_class
    figures = {
        name: [history.best[f"val_{figure}/{label}"] for figure in PER_CLASS]
        for name, label in zip(manifest.class_names, labels, strict=True)
        if f"val_recall/{label}" in history.best
    }
    if not figures:
        return ""
    head = "".join(f'<th scope="col">{title}</th>' for title in ("class", *_CLASS_TITLES, "tiles"))
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        f"{''.join(f'<td>{value:.1%}</td>' for value in values)}<td>{tiles[name]:,}</td></tr>"
        for name, values in sorted(figures.items(), key=lambda row: row[1][0])
    )
    return (
        "<section><h2>Classes</h2><p>The validation tiles in the best epoch, lowest recall first; classes without "
        "validation tiles have no figures.</p>"
        f'<div class="scroll" tabindex="0"><table class="classes"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _table(history: History) -> str:
    columns = [column for column in _COLUMNS if column[1] in history.best]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("epoch", *(column[0] for column in columns)))
    rows = "".join(_row(number, figures, history) for number, figures in enumerate(history.epochs, start=1))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(number: int, figures: dict[str, float], history: History) -> str:
    mark = ' class="best"' if number == history.best_epoch else ""
    cells = "".join(f"<td>{form.format(figures[name])}</td>" for _, name, form in _COLUMNS if name in figures)
    return f'<tr{mark}><th scope="row">{number}</th>{cells}</tr>'
