from html.parser import HTMLParser

from tests.packed import manifest_for
from tilepipe.components.shared.history import History
from tilepipe.components.train.page import render_page


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
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone():
    tags = Tags(page()).seen
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe"}
    assert not [attrs for _, attrs in tags if {"src", "href"} & set(attrs)]
    assert [tag for tag, _ in tags].count("svg") == 2


def test_the_best_epoch_is_said():
    content = page()
    assert "Best epoch: 3 of 3, by the lowest validation loss: accuracy 30.0 %, loss 0.367" in content
    assert '<tr class="best"><th scope="row">3</th>' in content
    assert content.count("<tr") == 4


def test_the_data_sets_name_is_harmless():
    content = page("<script>alert(1)</script>")
    assert "<script" not in content
    Tags(content)
