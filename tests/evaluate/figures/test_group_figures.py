import numpy as np

from tilepipe.components.evaluate.figures.group_figures import group_figures


def test_the_weakest_group_comes_first_and_tiles_without_a_group_are_left_out():
    groups = ["north", "south", "north", "", "south", "south", "east"]
    labels = np.array([0, 1, 1, 0, 1, 0, 2])
    predicted = np.array([0, 1, 0, 0, 1, 1, 2])
    found = group_figures(groups, labels, predicted)
    assert [(g.name, g.tiles, g.classes, round(g.accuracy, 3)) for g in found] == [
        ("north", 2, 2, 0.5),
        ("south", 3, 2, 0.667),
        ("east", 1, 1, 1.0),
    ]


def test_without_groups_there_are_none():
    assert group_figures(["", ""], np.array([0, 1]), np.array([0, 0])) == ()
