import pytest

from tilepipe.components.ingest.config import IngestConfig, split_named
from tilepipe.components.shared.errors import ParameterError


def test_defaults_are_those_of_the_component():
    config = IngestConfig.parse(source="/data")
    assert config.split_fractions == {"train": 0.7, "val": 0.15, "test": 0.15}
    assert config.options.kind == "auto"


def test_band_names_get_their_one_spelling():
    assert IngestConfig.parse(source="/data", source_bands=["B1", "b8a", "nir"]).source_bands == ("B01", "B8A", "nir")


def test_files_of_bands_are_in_the_order_of_the_canonical_names():
    options = {"band_assets": {"b10": "cirrus", "B9": "vapor", "B8a": "nir"}}
    found = IngestConfig.parse(source="/data", options=options).options.band_assets
    assert list(found.items()) == [("B09", "vapor"), ("B10", "cirrus"), ("B8A", "nir")]


def test_splits_may_have_the_names_that_catalogs_use():
    config = IngestConfig.parse(source="/data", split_fractions={"validate": 0.2, "train": 0.8})
    assert list(config.split_fractions.items()) == [("train", 0.8), ("val", 0.2)]
    assert split_named(" Validation ") == "val"
    assert split_named("holdout") is None


@pytest.mark.parametrize("snapshot", ["", "2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+02:00"])
def test_snapshots(snapshot):
    assert IngestConfig.parse(source="/data", snapshot=snapshot).snapshot == snapshot


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": ""}, "`source`"),
        ({"sauce": "x"}, "Did you mean source?"),
        (
            {"options": {"asset_keys": "x"}},
            "Received: options.asset_keys='x'. Did you mean options.asset_key",
        ),
        ({"source_bands": ["B1", "B01"]}, "name each band once"),
        ({"source_bands": [" "]}, "name each band once"),
        ({"href_rewrite": {"": "/x"}}, "must map prefixes"),
        ({"href_rewrite": {"https://a/": ""}}, "to a local folder, s3:// or https://"),
        ({"href_rewrite": {"https://a/": "https://"}}, "must be https://host/path"),
        ({"href_rewrite": {"https://a/": "gs://b/"}}, "is in href_rewrite"),
        ({"snapshot": "[[ScheduledTime.2006]]"}, "a macro that Kubeflow did not fill in"),
        ({"snapshot": "last week"}, "ISO 8601"),
        ({"split_fractions": {"train": 0.7, "val": 0.2}}, "add up to 0.9"),
        ({"split_fractions": {"train": 1.2, "val": -0.2}}, "0 or more"),
        ({"split_fractions": {"train": 1.0}}, "train and val more than 0"),
        ({"split_fractions": {"train": 0.5, "holdout": 0.5}}, "named train, val and test"),
        ({"split_fractions": {"train": 0.5, "val": 0.2, "validate": 0.3}}, "each once"),
        ({"split_files": {"train": "a.txt"}}, "a list for train and one for val"),
        ({"split_files": {"train": "a", "val": "b"}, "split_property": "split"}, "exclude each other"),
        ({"split_property": "split", "options": {"kind": "folder"}}, "for STAC sources"),
        ({"options": {"kind": "zip"}}, "options.kind"),
        ({"options": {"rare_class": "other"}}, "requires `options.min_per_class`"),
        ({"options": {"asset": "x"}}, "asset_key"),
        ({"options": {"band_assets": {"B4": "red", "B04": "nir"}}}, "with B04 repeated"),
        (
            {"columns": {"image": "path"}, "options": {"band_assets": {"DNA": "w1"}}},
            """Received: data_columns='{"image": "path"}' data_options='{"band_assets": {"DNA": "w1"}}'. Give one""",
        ),
        (
            {"source_bands": ["B08", "B04"], "options": {"band_assets": {"B4": "red", "B8": "nir"}}},
            """data_source_bands='["B08", "B04"]' data_options='{"band_assets": {"B04": "red", "B08": "nir"}}'""",
        ),
        ({"seed": "many"}, "`seed`"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ParameterError, match=r"Received|required") as caught:
        IngestConfig.parse(**{"source": "/data", **given})
    assert message in str(caught.value)


def test_seeds_may_come_as_kfp_sends_numbers():
    assert IngestConfig.parse(source="/data", seed=3.0).seed == 3
