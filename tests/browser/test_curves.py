import numpy as np
import pytest

from tests.support.contrast import assert_dark_is_readable
from tilepipe.components.shared.pages.markup import element
from tilepipe.components.shared.pages.page import section
from tilepipe.components.train.figures.epoch_figures import epoch_figures
from tilepipe.components.train.report.training_page import render_page

NAMES = ("AnnualCrop", "Forest")
framed_and_wide = pytest.mark.parametrize("framed", [True, False], ids=["framed", "wide"])


@framed_and_wide
def test_it_is_quiet_and_fits(show, make_evaluation, history, framed):
    shown = show(render_page(history, make_evaluation(NAMES).manifest), framed=framed)
    shown.assert_quiet_and_fits()
    shown.document.get_by_text("Figures of each epoch").click()
    assert shown.document.get_by_role("row").count() == 13
    assert shown.overflow() == 0


@framed_and_wide
def test_both_curves_are_there(show, make_evaluation, history, framed):
    shown = show(render_page(history, make_evaluation(NAMES).manifest), framed=framed)
    assert shown.document.inner_text("h1") == "Training on eurosat-sample (synthetic)"
    drawings = shown.document.get_by_role("img")
    assert drawings.count() == 2
    for drawing, title in zip(drawings.all(), ("Loss", "Accuracy"), strict=True):
        assert title in drawing.text_content()
        assert "best epoch 9" in drawing.text_content()
        assert drawing.bounding_box()["width"] > 400


def test_words_in_the_drawings_do_not_overlap(show, make_evaluation, history):
    show(render_page(history, make_evaluation(NAMES).manifest)).assert_words_do_not_overlap("svg")


def test_a_name_from_outside_is_text(show, make_evaluation, history):
    name = "<img src=x onerror=alert(1)>"
    shown = show(render_page(history, make_evaluation(NAMES, name=name).manifest))
    assert shown.document.inner_text("h1") == f"Training on {name}"
    assert shown.complaints == []
    assert shown.requests == []


@framed_and_wide
def test_all_that_can_be_on_it_fits(show, make_evaluation, history, framed):
    names = ("AnnualCrop", "H" * 60, "<b>Forest & Sea</b>", *(f"Class {number}" for number in range(30)))
    counts = np.random.default_rng(0).integers(0, 5, (33, 33)) + 40 * np.eye(33, dtype=int)
    epochs = tuple(
        epoch | epoch_figures(counts, names) | {"val_accuracy": epoch["val_accuracy"], "learning_rate": 1e-3 / number}
        for number, epoch in enumerate(history.epochs, start=1)
    )
    manifest = make_evaluation(names).manifest
    more = section("Learning-rate finder", "Loss against rate.", element("svg", viewBox="0 0 480 100"))
    shown = show(render_page(history.model_copy(update={"epochs": epochs}), manifest, more), framed=framed)
    shown.assert_quiet_and_fits()
    assert shown.document.locator("svg[role=img]").count() == 4
    classes = shown.document.get_by_role("table", name="Figures of each class, lowest recall first")
    assert classes.locator("tbody tr").count() == 33
    shown.document.get_by_text("Figures of each epoch").click()
    assert shown.overflow() == 0


def test_dark_colors_can_be_read(show, make_evaluation, history):
    shown = show(render_page(history, make_evaluation(NAMES).manifest))
    assert_dark_is_readable(shown, texts=30)
