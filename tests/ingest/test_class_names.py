import itertools

import pytest

from tilepipe.components.ingest.class_names import check_class_names
from tilepipe.components.shared.errors import SourceError


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Crop", "crop", "River"), """crop and Crop; merge them with data_recode='{"crop": "Crop"}'"""),
        (("bare soil", "bare_soil", "bare-soil"), '{"bare_soil": "bare soil", "bare-soil": "bare soil"}'),
        (("0", "0.0", "1.0", "10"), """0.0 and 0; merge them with data_recode='{"0.0": "0"}'"""),
        (("Crop", "nan", "NA"), """missing labels: nan, NA; drop them with data_recode='{"nan": "", "NA": ""}'"""),
    ],
)
def test_names_that_are_hardly_classes_of_their_own_are_reported(caplog, names, said):
    check_class_names(names)
    assert said in caplog.text


def test_different_names_are_not_reported(caplog):
    check_class_names(("1", "01", "1.5", "1.25", "A1", "Crop", "Crops", "National", "other<living", "living"))
    assert caplog.text == ""


def test_names_that_combine_labels_are_reported(caplog):
    extra = ("agriculture", "water", "road", "habitation")
    pairs = [f"{one} {other}" for one, other in itertools.combinations(extra, 2)]
    check_class_names([f"clear primary {words}" for words in ("", *extra, *pairs)] + ["cloudy", "haze cloudy", "haze"])
    assert "several labels (clear, primary, agriculture" in caplog.text
    assert "each of the 14 combinations is a class of its own" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        ("Broad-leaved forest", "Coniferous forest", "Mixed forest", "Natural grassland", "Moors and heathland"),
        ("AnnualCrop", "Forest", "Highway", "River"),
        ("A", "A B", "B"),
        tuple(" ".join(pair) for pair in itertools.product(("maize", "rye", "wheat"), ("young", "ripe", "cut"))),
    ],
)
def test_names_of_several_words_are_not_reported(caplog, names):
    check_class_names(names)
    assert caplog.text == ""


def test_one_name_in_two_unicode_forms():
    with pytest.raises(SourceError) as caught:
        check_class_names(("Forêt", "Fore\u0302t", "River"))
    assert 'data_recode=\'{"Fore\u0302t": "Forêt"}\'' in str(caught.value)
