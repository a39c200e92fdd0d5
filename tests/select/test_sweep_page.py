"""The page that compares the candidates."""

import itertools
import re

import pytest

from tests.support.packed import manifest_for
from tests.support.sweeping import made_up
from tilepipe.components.select.parallel_coordinates import drawing
from tilepipe.components.select.sweep_page import render_comparison
from tilepipe.components.shared.contracts.candidates import ranked


def sweep():
    """Outcomes of a grid, in which one candidate is stopped and one fails."""
    grid = itertools.product(["cnn", "compact"], [0.001, 0.01], [[], ["NDVI"]])
    outcomes = [
        made_up(
            index,
            {"model_architecture": network, "train_learning_rate": rate, "model_options.indices": indices},
            [0.5, 0.5 + 0.05 * index],
        )
        for index, (network, rate, indices) in enumerate(grid)
    ]
    outcomes[2] = made_up(2, outcomes[2].parameters, [0.6], status="stopped", reason="place 3 of 3")
    outcomes[5] = made_up(5, outcomes[5].parameters, [], status="failed", reason="No band <b>B99</b>.")
    return ranked(outcomes)


def test_the_page_has_the_winner_the_table_and_the_reasons():
    page = render_comparison(sweep(), manifest_for())
    assert "Candidate 7 is the best of 8: validation accuracy 85.00\u202f% in epoch 2 of 2." in page
    assert "The next one, candidate 6, has 80.00\u202f%." in page
    assert page.count("<tr") > 8
    assert "Candidate 5: No band &lt;b&gt;B99&lt;/b&gt;." in page
    assert "<b>B99" not in page
    assert "<script" not in page


@pytest.mark.parametrize("count", [1, 2])
def test_few_candidates_and_one_epoch_leave_sections_out(count):
    page = render_comparison([made_up(index, {}, [0.5]) for index in range(count)], manifest_for())
    assert "<svg" not in page
    assert "Importance" not in page


def test_a_line_leads_through_the_values_of_each_candidate():
    outcomes = sweep()
    drawn = str(drawing(outcomes))
    assert drawn.count("<polyline") == 7  # all but the failed one
    assert drawn.count("stroke-dasharray") == 1
    assert "The best, candidate 7, has model_architecture compact, train_learning_rate 0.01" in drawn
    winner = re.findall(r'<polyline points="([^"]+)"', drawn)[-1].split()
    assert len(winner) == 4
    assert float(winner[-1].split(",")[0]) == pytest.approx(430)  # the best value is at the right end
    assert drawing([made_up(index, {"seed": 1}, [0.5]) for index in range(3)]) is None


def test_lower_losses_are_better_in_the_drawing_too():
    outcomes = [made_up(index, {"seed": index}, [loss], metric="val_loss") for index, loss in enumerate((0.2, 0.9))]
    drawn = str(drawing(ranked(outcomes)))
    winner = re.findall(r'<polyline points="([^"]+)"', drawn)[-1].split()
    assert float(winner[-1].split(",")[0]) == pytest.approx(430)
    assert "validation loss 0.2000" in render_comparison(ranked(outcomes), manifest_for())


def test_titles_keep_the_letters_of_f1_and_of_classes():
    for metric, title in (
        ("val_macro_f1", "Validation macro F1"),
        ("val_recall/Sea Lake", "Validation recall of Sea Lake"),
    ):
        outcomes = [made_up(index, {"seed": index}, [0.1, 0.5], metric=metric) for index in range(2)]
        assert f">{title}<" in render_comparison(ranked(outcomes), manifest_for())
