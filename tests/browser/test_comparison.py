import itertools

import pytest

from tests.support.contrast import assert_dark_is_readable
from tests.support.packed import manifest_for
from tests.support.sweeping import made_up
from tilepipe.components.select.sweep_page import render_comparison
from tilepipe.components.shared.contracts.candidates import ranked

LONG = "The loss must stay finite. " * 8


@pytest.fixture(scope="module")
def page():
    """A sweep with long names and values, a stopped and a failed candidate."""
    grid = itertools.product(["cnn", "efficientnet_lite0", "mobilenet_v3_large"], [0.0003, 0.03], range(3))
    outcomes = [
        made_up(
            index,
            {
                "model_architecture": network,
                "train_learning_rate": rate,
                "model_options.indices": [["NDVI", "NDMI", "EVI"], [], ["ND(B08,B04)"]][seed],
                "train_options.early_stopping_patience_epochs": seed,
            },
            [0.5, 0.5 + 0.02 * index],
        )
        for index, (network, rate, seed) in enumerate(grid)
    ]
    outcomes[3] = made_up(3, outcomes[3].parameters, [0.9], status="stopped", reason="place 3 of 3")
    outcomes[4] = made_up(4, outcomes[4].parameters, [], status="failed", reason=LONG)
    return render_comparison(ranked(outcomes), manifest_for())


@pytest.mark.parametrize(("framed", "size"), [(True, None), (False, None), (False, (375, 800))])
def test_it_is_quiet_and_fits(show, page, framed, size):
    shown = show(page, framed=framed, size=size)
    shown.assert_quiet_and_fits()
    assert shown.document.get_by_role("img").count() == 3
    assert shown.document.get_by_text("Candidate 17 is the best of 18").count() == 1


def test_words_in_the_drawings_do_not_overlap(show, page):
    show(page).assert_words_do_not_overlap("svg")


def test_dark_colors_can_be_read(show, page):
    assert_dark_is_readable(show(page), texts=150)
