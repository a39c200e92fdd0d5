from xml.etree import ElementTree

import pytest

from tilepipe.components.evaluate.report.confusion_figure import confusion_figure

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_it_is_a_whole_drawing_with_each_name_twice(make_evaluation, classes):
    names = [f"Class <{i}> & more" for i in range(classes)]
    drawing = ElementTree.fromstring(confusion_figure(make_evaluation(names, tiles=200)))
    assert drawing.tag == f"{SVG}svg"
    texts = [text.text for text in drawing.iter(f"{SVG}text")]
    for name in names:
        assert texts.count(name) == 2
    assert len(list(drawing.iter(f"{SVG}rect"))) == classes**2 + 1


def test_everything_is_within_the_drawing(make_evaluation):
    drawing = ElementTree.fromstring(confusion_figure(make_evaluation(["x" * 100, "y"])))
    width, height = float(drawing.get("width")), float(drawing.get("height"))
    for rect in drawing.iter(f"{SVG}rect"):
        assert float(rect.get("x", 0)) + float(rect.get("width")) <= width
        assert float(rect.get("y", 0)) + float(rect.get("height")) <= height
    assert "x" * 31 + "…" in [text.text for text in drawing.iter(f"{SVG}text")]
