from tilepipe.components.ingest.sources.numbered_files import warn_of_missing_files


def test_files_that_others_announce_are_missed(caplog):
    warn_of_missing_files([f"train-{n:05}-of-00010.parquet" for n in range(3, 10)] + ["test-00000-of-00001.parquet"])
    assert "3 of 10 files are missing: train-00000-of-00010.parquet, train-00001-of-00010.parquet, train" in caplog.text
    caplog.clear()
    warn_of_missing_files(["x.tfrecord-00001-of-00002"])
    assert "1 of 2 files are missing: x.tfrecord-00000-of-00002" in caplog.text


def test_complete_and_other_names(caplog):
    warn_of_missing_files(["a-00000-of-00002", "a-00001-of-00002", "b.tfrecord", "part-r-00012"])
    assert caplog.text == ""
