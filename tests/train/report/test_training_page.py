import re
from html.parser import HTMLParser

import numpy as np

from tests.support.packed import manifest_for
from tilepipe.components.shared.contracts.history import History
from tilepipe.components.shared.pages.markup import element
from tilepipe.components.shared.pages.page import section
from tilepipe.components.train.figures.epoch_figures import epoch_figures
from tilepipe.components.train.report.training_page import render_page


def page(name="tiny"):
    epochs = tuple(
        {
            "loss": 1 / epoch,
            "accuracy": 0.5,
            "val_loss": 1.1 / epoch,
            "val_accuracy": 0.1 * epoch,
            "learning_rate": 0.01,
            "seconds": 1.0,
            "tiles_per_second": 1234.5,
        }
        for epoch in (1, 2, 3)
    )
    history = History(metric="val_loss", best_epoch=3, epochs=epochs)
    return render_page(history, manifest_for().model_copy(update={"name": name}))


class Tags(HTMLParser):
    def __init__(self, content):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_self_contained():
    tags = Tags(page()).seen
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe"}
    assert not [attrs for _, attrs in tags if {"src", "href"} & set(attrs)]
    assert [tag for tag, _ in tags].count("svg") == 2
    assert [attrs["content"] for _, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy"]


def test_the_best_epoch_is_stated():
    content = page()
    assert "Best epoch: 3 of 3, by the lowest validation loss: accuracy 30.0\u202f%, loss 0.367" in content
    assert '<tr class="best"><th scope="row">3</th>' in content
    assert content.count("<tr") == 4


def test_the_data_sets_name_is_harmless():
    content = page("<script>alert(1)</script>")
    assert "<script" not in content
    Tags(content)


def counted_page(**settings):
    manifest = manifest_for(classes=("Forest", "<b>Sea & Lake", "Industrial"))
    figures = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.1, "seconds": 1.0, "tiles_per_second": 100.0}
    counts = np.array([[9, 1, 0], [3, 1, 0], [0, 0, 5]])
    epochs = tuple(
        figures | epoch_figures(counts, manifest.class_names) | {"learning_rate": rate} for rate in (1e-3, 5e-4)
    )
    history = History(metric="val_recall/_b_Sea _ Lake", best_epoch=2, epochs=epochs)
    return render_page(history, manifest, **settings)


def test_each_class_has_its_figures_weakest_recall_first():
    content = counted_page()
    Tags(content)
    table = content[content.index("Figures of each class") :]
    names = [re.sub("<[^>]*>", "", row) for row in re.findall(r'<th scope="row" class="name">.*?</th>', table)[:3]]
    assert names == ["&lt;b&gt;Sea &amp; Lake", "Forest", "Industrial"]
    assert re.findall(r'<td class="number">([\d.]+\u202f%)</td>', table)[:3] == [
        f"{figure}\u202f%" for figure in ("25.0", "50.0", "33.3")
    ]
    assert "by the highest validation recall of _b_Sea _ Lake" in content


def test_balanced_accuracy_and_learning_rate_are_drawn_and_listed():
    content = counted_page()
    assert [tag for tag, _ in Tags(content).seen].count("svg") == 4
    assert '<td class="number">71.67\u202f%</td><td class="number">0.0005</td>' in content


def test_another_piece_can_add_a_section():
    content = counted_page(more=section("Learning rate <finder>", "A & B.", element("svg")))
    Tags(content)
    assert '<h2>Learning rate &lt;finder&gt;</h2><p class="note">A &amp; B.</p><svg></svg></section>' in content
