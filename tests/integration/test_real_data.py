"""Real EuroSAT through the compiled pipeline: JPEGs with their canonical split, and 13 bands from a STAC catalog."""

import json
import re
import tarfile

from tests.integration.test_run import tilepipe

WEB = "https://raw.githubusercontent.com/ai-extensions/stac-data-loader/0.5.0/data/EuroSAT/"
TRUE_ORDER = "B01,B02,B03,B04,B05,B06,B07,B08,B09,B10,B11,B12,B8A"


def _words(folder):
    return [
        f"data_source={folder / 'stac' / 'subset' / 'catalog.json'}",
        f"data_href_rewrite={json.dumps({WEB: f'{folder}/'})}",
        "split_property=ml-aoi:split",
        "train_batch_size=16",
        "train_epochs=2",
    ]


def test_bands_that_contradict_the_pixels_stop_the_run(eurosat100, tmp_path):
    done = tilepipe("run", "train_classifier", *_words(eurosat100), cwd=tmp_path)
    assert done.returncode == 2
    output = done.stdout + done.stderr
    assert re.search(r"B8A.*looks like B09", output)
    assert re.search(r"B09.*looks like B10", output)
    assert "B09" in output and "B8A" in output
    assert "Traceback" not in output


def test_the_true_band_order_is_accepted(eurosat100, tmp_path):
    done = tilepipe("run", "train_classifier", *_words(eurosat100), f"data_source_bands={TRUE_ORDER}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("runs/*/*/merge-packed/manifest.json")
    manifest = json.loads(path.read_text())
    assert manifest["bands"] == TRUE_ORDER.split(",")
    assert {name: split["tiles"] for name, split in manifest["splits"].items()} == {"train": 60, "val": 20, "test": 20}
    means = {s["band"]: s["mean"] for s in manifest["statistics"]}
    assert means["B10"] < 20  # cirrus
    assert means["B8A"] > 1500


def test_eurosat_rgb_with_its_canonical_split(real_data, tmp_path):
    """A tenth of the data, to save time; `make accuracy` uses all."""
    splits = {}
    wanted = set()
    for split in ("train", "val"):
        names = real_data(f"eurosat-rgb/splits/eurosat-{split}.txt").read_text().split()[::10]
        path = tmp_path / f"{split}.txt"
        path.write_text("\n".join(names) + "\n")
        splits[split] = str(path)
        wanted |= set(names)
    with tarfile.open(real_data("eurosat-rgb/eurosat-rgb-train-val.tar")) as tar:
        members = [member for member in tar if member.name.rsplit("/", 1)[-1] in wanted]
        tar.extractall(tmp_path / "tiles", members=members, filter="data")
    words = [f"data_source={tmp_path / 'tiles'}", f"split_files={json.dumps(splits)}", "train_epochs=3"]
    done = tilepipe("run", "train_classifier", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    accuracy = float(re.search(r"│ val_accuracy\s+│\s+([\d.]+)", done.stdout)[1])
    assert accuracy > 0.4  # a tenth of the tiles; chance is 0.1
    assert "test_accuracy" not in done.stdout, "there is no test split in these lists"
