"""Promotions and rollbacks in a real MLflow store."""

import getpass
import json
import socket

import pytest

from tests.support.registry import NAME
from tilepipe.components.promote.config import PromoteConfig
from tilepipe.components.promote.promote import promote, roll_back
from tilepipe.components.shared.errors import (
    ArtifactError,
    ParameterError,
    PromotionError,
    SourceError,
    TrackingError,
)
from tilepipe.components.shared.registry.promotions import read_state
from tilepipe.components.shared.registry.version_tags import BUNDLE_SHA256


def put(version="challenger", **options):
    return promote(PromoteConfig.parse(name=NAME, version=str(version), **options))


def moves(client):
    return [(entry.action, entry.from_version, entry.to_version) for entry in read_state(client, NAME).promotions]


def test_an_accepted_version_becomes_champion(client, version, champion):
    number = version()
    entry = put()
    assert champion() == number == 1
    assert (entry.sequence, entry.from_version, entry.to_version, entry.verdict) == (1, None, 1, "accepted")
    assert entry.who == f"{getpass.getuser()}@{socket.gethostname()}"
    assert entry.why == "accepted by the gate: All is well."
    assert json.loads(client.get_registered_model(NAME).tags["tilepipe.history.000001"])["to_version"] == 1
    assert [tag for tag in client.get_registered_model(NAME).tags if tag.startswith("tilepipe.claim.")] == []


def test_the_champion_is_not_promoted_again(client, version):
    version()
    put()
    assert put() is None
    assert len(moves(client)) == 1


@pytest.mark.parametrize(
    ("verdict", "against", "message"),
    [
        (None, "none", "Received: version 2, which it has not judged. Run the gate with the pipeline `promote`"),
        ("refused", "1", "Received: version 2, refused: All is well."),
        ("undecided", "1", "Received: version 2, undecided: All is well."),
        ("accepted", "none", "accepted against no champion, while the present one is version 1"),
        ("accepted", "7", "accepted against version 7, while the present one is version 1"),
    ],
)
def test_the_gate_must_have_accepted_it_against_the_present_champion(
    client, version, champion, verdict, against, message
):
    version()
    put()
    version(against, verdict)
    with pytest.raises(PromotionError) as error:
        put()
    assert message in str(error.value)
    assert champion() == 1
    entry = put(override=True, reason="the customer asked for it")
    assert (champion(), entry.why, entry.verdict) == (2, "the customer asked for it", verdict or "")
    assert moves(client) == [("promote", None, 1), ("promote", 1, 2)]


def test_commands_of_errors_quote_the_name_of_the_model(client, version):
    version(verdict=None)
    client.rename_registered_model(NAME, "land cover")
    with pytest.raises(PromotionError) as refused:
        promote(PromoteConfig.parse(name="land cover", version="1"))
    assert "`tilepipe run promote model_name='land cover' model_version=1`" in str(refused.value)
    assert "`tilepipe promote 'land cover' --version 1 --yes --reason ...`" in str(refused.value)


def test_a_person_must_give_a_reason():
    with pytest.raises(ParameterError, match=r"needs a reason for the history. Received: override=True, reason=' '"):
        PromoteConfig.parse(name=NAME, override=True, reason=" ")


@pytest.mark.parametrize("parameters", [{"name": "a@b"}, {"name": ""}, {"name": "a", "version": "0"}, {"name": "a/3"}])
def test_names_and_versions_are_checked(parameters):
    with pytest.raises(ParameterError, match="Received"):
        PromoteConfig.parse(**parameters)


def test_a_bundle_that_was_changed_is_not_promoted(client, version):
    version(tags={BUNDLE_SHA256: "0" * 64})
    with pytest.raises(ArtifactError, match="must be the one that was registered"):
        put(override=True, reason="in a hurry")
    assert moves(client) == []


def test_a_bundle_that_does_not_load_is_not_promoted(client, version):
    version(model_onnx=b"no model")
    with pytest.raises(ArtifactError, match="must hold a model that onnxruntime"):
        put(override=True, reason="in a hurry")
    assert moves(client) == []


def test_absent_models_and_missing_registries_are_named(client, version, monkeypatch):
    with pytest.raises(SourceError, match="forests@challenger"):
        put()
    version()
    with pytest.raises(SourceError, match="forests/9"):
        put(9)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"Received: http://127.0.0.1:9"):
        put()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(TrackingError, match="Received: no MLFLOW_TRACKING_URI"):
        put()


@pytest.fixture
def three(client, version):
    """Three versions that became champion one after the other."""
    for before in ("none", 1, 2):
        version(before)
        put()


def test_rollbacks_go_back_one_by_one(client, three, champion):
    assert roll_back(NAME, "it sees ghosts").why == "it sees ghosts"
    assert champion() == 2
    assert roll_back(NAME).why == "rollback of version 2"
    assert champion() == 1
    with pytest.raises(PromotionError, match=r"needs an earlier champion of forests. Received: none"):
        roll_back(NAME)
    put(3, override=True, reason="it was right after all")
    roll_back(NAME)
    assert champion() == 1
    assert moves(client)[3:] == [("rollback", 3, 2), ("rollback", 2, 1), ("promote", 1, 3), ("rollback", 3, 1)]


def test_only_a_person_promotes_a_version_again_that_a_rollback_left(client, three, champion):
    roll_back(NAME, "it sees ghosts")
    with pytest.raises(
        PromotionError,
        match=r"Received: version 3, which \S+ left at \S+: it sees ghosts. If .* --version 3 --yes --reason",
    ):
        put()  # it still is the challenger, and the gate accepted it against version 2
    assert champion() == 2
    put(3, override=True, reason="the ghosts are real")
    assert champion() == 3
    roll_back(NAME)
    roll_back(NAME)
    with pytest.raises(PromotionError, match=r"Received: version 2, which .* rollback of version 2"):
        put(2)


def test_a_rollback_skips_deleted_versions(client, three, champion):
    client.delete_model_version(NAME, "2")
    roll_back(NAME)
    assert champion() == 1


def test_a_deleted_champion_is_noticed_and_can_be_rolled_back(client, three, version, champion):
    client.delete_model_version(NAME, "3")
    state = read_state(client, NAME)
    assert state.champion is None
    assert "forests has no champion, but its history says version 3: that version was deleted" in state.remark
    version("3")
    with pytest.raises(PromotionError, match="accepted against version 3, while the present one is no champion"):
        put()
    entry = roll_back(NAME)
    assert (champion(), entry.from_version, entry.to_version) == (2, None, 2)
    assert read_state(client, NAME).remark == ""


def test_an_alias_that_somebody_moved_is_noticed(client, three):
    client.set_registered_model_alias(NAME, "champion", "1")
    assert "is version 1, but its history says version 3: the alias was moved" in read_state(client, NAME).remark
    with pytest.raises(PromotionError, match="Only a champion that tilepipe promoted can be rolled back"):
        roll_back(NAME)
    put(3, override=True, reason="back to order")
    assert read_state(client, NAME).remark == ""
    assert read_state(client, NAME).earlier_champions() == [1, 3, 2, 1]


def test_nothing_to_roll_back(client, version):
    version()
    with pytest.raises(PromotionError, match="Received: none"):
        roll_back(NAME)


def test_the_history_of_others_is_not_guessed(client, version):
    version()
    client.set_registered_model_tag(NAME, "tilepipe.history.000001", "me, yesterday")
    with pytest.raises(ArtifactError, match=r"Received: tilepipe.history.000001=me, yesterday. Delete this tag"):
        put()


def test_a_move_without_tilepipe_during_a_promotion_is_told(client, version, monkeypatch):
    version()
    put()
    version(1)
    set_tag = type(client).set_registered_model_tag

    def move_too(self, name, key, value):
        set_tag(self, name, key, value)
        if key.startswith("tilepipe.claim."):
            client.set_registered_model_alias(NAME, "champion", "2")

    monkeypatch.setattr(type(client), "set_registered_model_tag", move_too)
    with pytest.raises(PromotionError, match="the alias was moved without tilepipe, from version 1 to version 2"):
        put()
    assert len(moves(client)) == 1
