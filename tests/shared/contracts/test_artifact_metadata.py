"""Addresses in the metadata of artifacts."""

from tilepipe.components.shared.contracts.artifact_metadata import read_uris, write_uris


def test_addresses_are_one_text_that_kfp_does_not_wrap():
    text = write_uris(iter(["s3://b/part 1", "s3://b/ö,2"]))
    assert isinstance(text, str)
    assert read_uris(text) == ("s3://b/part 1", "s3://b/ö,2")
    assert read_uris("") == ()
