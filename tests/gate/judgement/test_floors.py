"""Floors of figures and classes."""

import math

import numpy as np
import pytest

from tilepipe.components.gate.judgement.floors import check_floors, parse_floors
from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.shared.figures import classification_figures

CLASSES = ("Forest", "Sea [deep]", "River")
FIGURES = classification_figures(np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]]))


def check(floors):
    return {result.name: result for result in check_floors(parse_floors(floors), FIGURES, CLASSES)}


def test_figures_and_classes_are_compared():
    found = check({"accuracy": 0.9, "recall[Forest]": 0.81, "recall[Sea [deep]]": 1})
    assert found["accuracy"].value == pytest.approx(0.9)
    assert [result.is_met for result in found.values()] == [True, False, True]


def test_a_class_without_test_tiles_is_neither_met_nor_measured():
    (found,) = check({"recall[River]": 0}).values()
    assert math.isnan(found.value)
    assert (found.is_measured, found.is_met) == (False, False)


def test_a_star_is_every_class_with_test_tiles():
    found = check({"f1[*]": 0.9})
    assert {name: result.is_met for name, result in found.items()} == {"f1[Forest]": False, "f1[Sea [deep]]": True}


@pytest.mark.parametrize(
    ("floors", "message"),
    [
        ({"acuracy": 0.9}, "Received: floors={'acuracy': 0.9}. Did you mean accuracy?"),
        ({"recall": 0.9}, "with a class, such as recall"),
        ({"accuracy[Forest]": 0.9}, "accuracy"),
        ({"accuracy": 80}, "from 0 to 1. Received: floors={'accuracy': 80}. Give 0.8 for 80 %."),
        ({"accuracy": "0.9"}, "Received: floors={'accuracy': '0.9'}"),
        ({"accuracy": float("nan")}, "from 0 to 1"),
        ({"": 0.9}, "Correct the name"),
        ({"recall[Desert]": 0.9}, "a class of the model: Forest"),
    ],
)
def test_wrong_floors_are_refused(floors, message):
    with pytest.raises(ParameterError) as error:
        check(floors)
    assert message in str(error.value)
