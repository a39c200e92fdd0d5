"""The training's page: how loss and accuracy went, epoch by epoch."""

import html

from tilepipe.components.shared.curves import FIGURES, curve_panel
from tilepipe.components.shared.history import History
from tilepipe.components.shared.manifest import Manifest

# Kubeflow shows it in a frame of some 500 by 600 pixels that allows no storage and no calls: nothing here needs them.
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
tr.best{color:#1d5a9c}
tr.best th,tr.best td{font-weight:650}
@media (min-width:56rem){.pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 2rem}}
"""

_METRICS = {"val_accuracy": "the highest validation accuracy", "val_loss": "the lowest validation loss"}
"""Without one of these the last epoch is the model's."""
_COLUMNS = (
    ("training loss", "loss", "{:.4f}"),
    ("validation loss", "val_loss", "{:.4f}"),
    ("training accuracy", "accuracy", "{:.2%}"),
    ("validation accuracy", "val_accuracy", "{:.2%}"),
    ("tiles a second", "tiles_per_second", "{:,.0f}"),
)


def render_page(history: History, manifest: Manifest) -> str:
    """Draw a training.

    Args:
        history: figures of each epoch.
        manifest: what was trained on.

    Returns:
        An HTML page that needs nothing beside itself, and no scripts.
    """
    title = html.escape(f"Training on {manifest.name}")
    figures = "".join(f"<figure>{curve_panel(history, figure)}</figure>" for figure in FIGURES)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>"
        f"<p>{_lede(history, manifest)}</p>"
        f'<div class="pair">{figures}</div><details><summary>Figures of each epoch</summary>'
        f'<div class="scroll" tabindex="0">{_table(history)}</div></details></main></body></html>\n'
    )


def _lede(history: History, manifest: Manifest) -> str:
    best, epochs = history.best, len(history.epochs)
    if not history.has_validation:
        return (
            f"The model is that of the last of {epochs} epochs: there are no validation tiles. Accuracy "
            f"{100 * best['accuracy']:.1f} %, loss {best['loss']:.3f} on the training tiles themselves."
        )
    return (
        f"Best epoch: {history.best_epoch} of {epochs}, by {_METRICS[history.metric]}: accuracy "
        f"{100 * best['val_accuracy']:.1f} %, loss {best['val_loss']:.3f} "
        f"on {manifest.splits['val'].tiles:,} tiles."
    )


def _table(history: History) -> str:
    columns = [column for column in _COLUMNS if history.has_validation or not column[1].startswith("val_")]
    head = "".join(f'<th scope="col">{name}</th>' for name in ("epoch", *(column[0] for column in columns)))
    rows = "".join(_row(number, figures, history) for number, figures in enumerate(history.epochs, start=1))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(number: int, figures: dict[str, float], history: History) -> str:
    mark = ' class="best"' if number == history.best_epoch else ""
    cells = "".join(f"<td>{form.format(figures[name])}</td>" for _, name, form in _COLUMNS if name in figures)
    return f'<tr{mark}><th scope="row">{number}</th>{cells}</tr>'
