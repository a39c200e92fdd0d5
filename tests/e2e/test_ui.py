"""`train_classifier` through Kubeflow's pages in a real browser, like a person: upload, run form, graph, figures.

KFP_UI_URL   Kubeflow's pages, such as http://127.0.0.1:3000
E2E_SAMPLE   catalog of a sample that is already in the bucket; default: a new sample is uploaded

Each stage saves a screenshot in build/e2e.
"""

import os
import re
import uuid
from pathlib import Path

import pytest

from tests.browser import conftest as chromium
from tilepipe.pipelines.cli.sample.landscapes import CLASS_NAMES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2700)]

browser = chromium.browser

PICTURES = Path(__file__).parents[2] / "build" / "e2e"
SMALL = {
    "train_epochs": "1",
    "train_batch_size": "16",
    "model_options": '{"filters": [8, 8, 8, 8], "dense_units": 16}',
    "tracking_experiment": "e2e",
}
GROUP = "train-classifier"
LOOP = "pack"
"""Its tasks are a nested graph; like any group, it seems to run forever if all of its results came from the cache."""
STEPS = ("ingest-tiles", "merge-packed", "prepare-model", "train-model", "evaluate-model")
DONE = re.compile("^(CheckCircleIcon|CloudDownloadIcon)$")
"""Icons of a node that has succeeded, and of one whose results came from the cache."""
RUN_SECONDS = 1500
ID = "([0-9a-f-]{36})"


def shoot(page, name):
    """Save a screenshot."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(1000)
    page.screenshot(path=PICTURES / f"{name}.png")


@pytest.fixture(scope="module")
def page(request):
    """A window at Kubeflow's first page."""
    address = os.environ.get("KFP_UI_URL")
    if not address:
        pytest.skip("KFP_UI_URL is not set: there are no Kubeflow pages to look at")
    pytest.importorskip("playwright")
    context = request.getfixturevalue("browser").new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    yield page
    context.close()


@pytest.fixture(scope="module")
def catalog(page, request):
    """Address of the sample's catalog."""
    return os.environ.get("E2E_SAMPLE") or request.getfixturevalue("sample")


@pytest.fixture(scope="module")
def uploaded(page, pipeline_yaml):
    """Name of the pipeline, uploaded through the upload page under a unique name; the window shows its graph."""
    name = f"e2e-ui-{uuid.uuid4().hex[:8]}"
    page.get_by_role("button", name="Pipelines", exact=True).click()
    page.get_by_role("button", name="Upload pipeline").click()
    page.get_by_label("Pipeline Name").fill(name)
    page.get_by_label("Upload a file").check()
    page.locator("input[type=file]").set_input_files(pipeline_yaml)
    shoot(page, "1-upload")
    page.get_by_role("button", name="Create", exact=True).click()
    page.wait_for_url(re.compile(f"#/pipelines/details/{ID}/version/{ID}"))
    return name


@pytest.fixture(scope="module")
def run_id(page, uploaded, catalog):
    """A run started through the run form; the window shows it."""
    page.get_by_role("button", name="Create run").click()
    page.get_by_label("Run name").fill(f"{uploaded} run")
    for name, value in {"data_source": catalog, **SMALL}.items():
        page.get_by_label(re.compile(f"^{name} - ")).fill(value)
    page.get_by_label(re.compile("^data_source - ")).scroll_into_view_if_needed()
    shoot(page, "2-run-form")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(f"#/runs/details/{ID}"))
    return re.search(f"details/{ID}", page.url)[1]


@pytest.fixture(scope="module")
def finished(page, run_id):
    """The run after its success; the window shows the graph inside its group."""
    page.get_by_title(GROUP, exact=True).wait_for()
    shoot(page, "3-run-started")
    seen_to_succeed(page)
    page.get_by_role("button", name="Graph", exact=True).click()
    page.get_by_title(GROUP, exact=True).get_by_test_id("expand-button").click()
    page.get_by_title("evaluate-model", exact=True).wait_for()
    page.get_by_role("button", name="Fit View").click()  # Kubeflow shows an empty part of the canvas at first
    shoot(page, "5-steps")
    return run_id


def seen_to_succeed(page):
    """Wait until the details show that the run succeeded: the node of a fully cached group seems to run forever."""
    for _ in range(RUN_SECONDS // 20):
        page.get_by_role("button", name="Detail", exact=True).click()
        page.get_by_text("Run details", exact=True).wait_for()
        assert page.get_by_text(re.compile("^FAILED$", re.IGNORECASE)).count() == 0, "the page shows a failure"
        if page.get_by_text(re.compile("^SUCCEEDED$", re.IGNORECASE)).count():
            return shoot(page, "4-run-succeeded")
        page.wait_for_timeout(15_000)
        page.reload()
    pytest.fail(f"the page shows no success within {RUN_SECONDS} s")


@pytest.fixture
def look_at(page, finished):
    """Open a tab of a node of the graph, and close its panel afterwards, which covers other nodes."""

    def look_at(node, tab):
        node.dispatch_event("click")  # the overview map may cover it, so a mouse click would fail
        page.get_by_role("button", name=tab, exact=True).click()

    yield look_at
    page.get_by_role("button", name="close", exact=True).click()


def artifact(page, name):
    """Return the node of an artifact of `evaluate-model`."""
    return page.get_by_test_id(f"artifact.evaluate-model.{name}")


def test_the_uploaded_pipeline_is_drawn(page, uploaded):
    page.get_by_title(GROUP, exact=True).wait_for()
    shoot(page, "1-uploaded")
    assert uploaded in page.inner_text("body")


def test_the_graph_shows_each_step_succeeded(page, finished, kubeflow):
    for step in STEPS:
        page.get_by_title(step, exact=True).get_by_test_id(DONE).wait_for()
    page.get_by_title(LOOP, exact=True).get_by_test_id("expand-button").wait_for()
    assert kubeflow.wait(finished, 120).state == "SUCCEEDED"


def test_a_step_shows_its_inputs_and_outputs(page, look_at):
    look_at(page.get_by_title("evaluate-model", exact=True), "Input/Output")
    for title in ("Input Artifacts", "Output Artifacts"):
        page.get_by_text(title, exact=True).wait_for()
    for name in ("val_shards", "report"):
        link = page.get_by_role("link", name=name, exact=True).first
        link.wait_for()
        assert link.is_visible()
    shoot(page, "6-evaluate-model")


def test_the_metrics_are_a_table(page, look_at):
    look_at(artifact(page, "metrics"), "Visualization")
    for name in ("test_accuracy", "test_macro_f1", "val_accuracy"):
        figure = page.get_by_text(name, exact=True)
        for _ in range(20):  # sorted by name, ten to a page
            page.wait_for_timeout(500)
            if figure.count():
                break
            page.get_by_role("button", name="Go to next page").click()
        assert figure.is_visible()
    shoot(page, "7-metrics")


def test_the_confusion_matrix_names_the_classes(page, look_at):
    look_at(artifact(page, "confusion"), "Visualization")
    page.get_by_text("Confusion matrix", exact=False).first.wait_for()
    page.get_by_text("ROC Curve", exact=False).first.wait_for()
    page.get_by_text("True label", exact=True).scroll_into_view_if_needed()
    shoot(page, "8-confusion")
    for name in CLASS_NAMES:
        assert page.get_by_text(name, exact=True).count() == 2, f"{name} is not on both axes"


def test_the_summary_is_drawn_from_its_markdown(page, look_at):
    look_at(artifact(page, "summary"), "Visualization")
    page.get_by_role("heading", name="Classes of the test split, weakest first").wait_for()
    shoot(page, "9-summary")
    assert page.get_by_text(re.compile("Right on [0-9,]+ of [0-9,]+ tiles of the test split")).count() == 1
    assert page.get_by_role("columnheader", name="Balanced accuracy").count() == 1
    for name in CLASS_NAMES:
        assert page.get_by_role("cell", name=name, exact=True).count(), f"{name} is not in the table"


def test_the_report_is_drawn_in_its_frame(page, look_at):
    look_at(artifact(page, "report"), "Visualization")
    report = page.frame_locator("iframe")
    report.get_by_text("Evaluation report", exact=True).wait_for()
    shoot(page, "10-report")
    for title in ("Confusion matrix", "Most frequent mistakes", "Classes", "Training", "Splits", "Data set"):
        heading = report.get_by_role("heading", name=title, exact=True)
        heading.scroll_into_view_if_needed()
        shoot(page, f"10-report-{title.lower().replace(' ', '-')}")
    assert report.get_by_text(re.compile("The model is right on [0-9,]+ of [0-9,]+ tiles")).count() == 1
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert report.locator("body").evaluate(width) == 0, "the report is wider than its frame"
