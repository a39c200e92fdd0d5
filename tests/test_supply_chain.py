"""The audit of the lock and the bills of materials: `make audit` and `make sbom`."""

import datetime as dt
import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.audit import Explanation, advisories, problems, read_explanations
from tests.support.image_environments import uv
from tests.support.sbom import EXTRAS, locked, unverifiable, write_sbom

ROOT = Path(__file__).parents[1]
TODAY = dt.date(2026, 11, 29)
# As pip-audit 2.9 writes it.
REPORT = {
    "dependencies": [
        {"name": "sound", "version": "1.0", "vulns": []},
        {
            "name": "frail",
            "version": "2.1",
            "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.2"], "description": ""}],
        },
    ],
    "fixes": [],
}


def explanation(**changes):
    given = {"id": "CVE-2026-1", "package": "frail", "reason": "only its server is affected", "written": TODAY}
    return Explanation(**{**given, "expires": TODAY + dt.timedelta(days=30), **changes})


def test_an_advisory_fails_until_it_is_explained():
    (failure,) = problems(advisories(REPORT), [], TODAY)
    assert "frail 2.1: CVE-2026-1, PYSEC-1, fixed in 2.2" in failure
    assert problems(advisories(REPORT), [explanation()], TODAY) == []
    assert problems(advisories(REPORT), [explanation(id="PYSEC-1")], TODAY) == []
    assert len(problems(advisories(REPORT), [explanation(package="other")], TODAY)) == 2


def test_an_explanation_expires_and_must_concern_something():
    (failure,) = problems(advisories(REPORT), [explanation(expires=TODAY)], TODAY)
    assert "expired on 2026-11-29" in failure
    assert problems([], [explanation()], TODAY) == ["CVE-2026-1 of frail no longer occurs: remove its explanation."]


def test_a_database_that_does_not_answer_is_no_clean_audit():
    report = {"dependencies": [{"name": "sound", "skip_reason": "Dependency not found on PyPI"}]}
    with pytest.raises(ConnectionError, match="no answer about 1 of 1, such as sound"):
        advisories(report)


def test_explanations_state_a_reason_and_a_date_within_half_a_year(tmp_path):
    assert all(one.expires > one.written for one in read_explanations())
    entry = '[[advisory]]\nid = "A"\npackage = "p"\nreason = "{}"\nwritten = 2026-01-01\nexpires = {}\n'
    for reason, expires in (("later", "2026-02-01"), ("it only concerns its server", "2027-02-01")):
        (tmp_path / "advisories.toml").write_text(entry.format(reason, expires))
        with pytest.raises(ValueError, match="A needs a reason"):
            read_explanations(tmp_path / "advisories.toml")


def test_bills_list_what_the_images_install(tmp_path):
    program = uv()
    if program is None:
        pytest.skip("uv is neither on the PATH nor in build/uv (run `make setup`)")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    versions = locked()
    for name in ("data", "train"):
        bill = json.loads(write_sbom(program, name, tmp_path).read_text())
        found = {component["name"]: component["version"] for component in bill["components"]}
        direct = {re.match(r"[A-Za-z0-9-]+", line)[0] for extra in EXTRAS[name] for line in declared[extra]}
        assert direct <= set(found)
        assert {name: versions[name] for name in found} == found
        bill["components"][0]["externalReferences"][0]["hashes"] = []
        assert unverifiable(bill) == [bill["components"][0]["name"]]


@pytest.mark.parametrize("image", ["data", "train", "mlflow"])
def test_bills_are_of_the_extras_that_an_image_installs(image):
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    assert set(re.findall(r"--extra ([\w-]+)", text)) - {"cli"} == set(EXTRAS[image])


def test_everything_locked_has_a_hash():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    files = [
        (package["name"], file)
        for package in packages
        for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    ]
    assert len(files) > 200
    assert [name for name, file in files if not file["hash"].startswith("sha256:")] == []
    sources = {package["name"] for package in packages if "registry" not in package["source"]}
    assert sources == {"tilepipe"}


def test_images_install_nothing_without_a_hash_of_the_lock():
    for path in sorted((ROOT / "images").glob("*/Dockerfile")):
        text = path.read_text()
        assert "--no-hashes" not in text, path
        for line in re.findall(r"uv pip install .*", text):
            assert "--require-hashes" in line, path


def test_actions_are_pinned_by_commit_and_ci_runs_the_checks():
    texts = {path.name: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    used = [line for text in texts.values() for line in re.findall(r"uses: *(.+)", text)]
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    assert {"make sbom", "make audit"} <= set(re.findall(r"run: (make \w+)", texts["test.yml"]))
