import subprocess

from tilepipe.pipelines.cli.cluster.upload import content_digest, digest_of, git_revision, version_name


def test_a_versions_name_holds_package_revision_and_content():
    digest = content_digest(b"components: {}\n")
    assert len(digest) == 8
    name = version_name("0.1.0", "abc1234", digest)
    assert name == f"0.1.0-abc1234-{digest}"
    assert digest_of(name) == digest
    assert version_name("0.1.0", "", digest) == f"0.1.0-{digest}"


def test_going_back_to_older_content_at_the_same_revision_gets_a_name_of_its_own():
    taken = ["0.1.0-abc1234-11111111", "0.1.0-abc1234-11111111.2"]
    name = version_name("0.1.0", "abc1234", "11111111", taken)
    assert name == "0.1.0-abc1234-11111111.3"
    assert digest_of(name) == "11111111"


def test_versions_that_other_tools_named_have_no_digest():
    assert digest_of("train-classifier") == ""
    assert digest_of("v2 2026-01-01") == ""


def test_the_revision_of_a_repository(tmp_path):
    assert git_revision(tmp_path) == ""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    (tmp_path / "inner").mkdir()
    assert git_revision(tmp_path / "inner") == head[:7]
