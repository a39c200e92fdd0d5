"""The commands that need a cluster: submit, upload, schedule and doctor."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from tilepipe.components.finish.outcome import Outcome
from tilepipe.pipelines.cli.cluster import cluster_display
from tilepipe.pipelines.cli.cluster.endpoint import connect
from tilepipe.pipelines.cli.cluster.submit import DEFAULT_EXPERIMENT
from tilepipe.pipelines.cli.output import Output, OutputOption, plain_console, print_document, progress_console

console = plain_console(soft_wrap=True)

Words = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Parameters of the run.")]
ConfigFile = Annotated[
    list[Path] | None,
    typer.Option("--config", metavar="FILE", help="YAML file of parameters; NAME=VALUE overrides it."),
]
Endpoint = Annotated[str | None, typer.Option(help="Address of Kubeflow Pipelines. [env: KFP_ENDPOINT]")]
Namespace = Annotated[str | None, typer.Option(help="Namespace of the runs. [env: KFP_NAMESPACE; default: kubeflow]")]
SettingsFile = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        envvar="TILEPIPE_SETTINGS",
        help="YAML file with the settings of the platform, with which the pipelines were compiled.",
    ),
]
Experiment = Annotated[str, typer.Option(help="KFP experiment, which groups runs.")]
ServiceAccount = Annotated[
    str, typer.Option(help="Service account of the pods of a run; default: that of the settings, else KFP's.")
]

FAILED_EXIT_CODE = 1
STILL_RUNNING_EXIT_CODE = 3
INTERRUPTED_EXIT_CODE = 130


def submit(
    pipeline: Annotated[str, typer.Argument(help="Name of a pipeline, or the path of a compiled YAML.")],
    words: Words = None,
    config: ConfigFile = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    run_name: Annotated[
        str | None, typer.Option(help="Name of the run; default: the name of the pipeline and the time.")
    ] = None,
    experiment: Experiment = DEFAULT_EXPERIMENT,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
    service_account: ServiceAccount = "",
    cache: Annotated[bool, typer.Option(help="Take results of tasks from KFP's cache.")] = True,
    checks: Annotated[bool, typer.Option(help="Check addresses, nodes, Secrets and namespace first.")] = True,
    timeout_minutes: Annotated[
        float | None, typer.Option(help="Stop following the run after this time; the run continues.", min=0)
    ] = None,
    settings: SettingsFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run a pipeline on Kubeflow and follow it.

    Exit code 1 means that the run failed, 3 that it continues after --timeout-minutes.
    """
    from tilepipe.pipelines.cli import arguments, whole_run
    from tilepipe.pipelines.cli.cluster import access, follow, requirements
    from tilepipe.pipelines.cli.cluster import submit as submitting
    from tilepipe.pipelines.cli.compilation import settings_file, user_terms

    platform = settings_file.platform(settings)
    found = settings_file.load(pipeline, platform)
    checked = arguments.collect(found, arguments.only_file(config), words or [])
    if checks:
        whole_run.check_reachable(checked)
    tasks, account = requirements.of_pipeline(found, checked), settings_file.account(service_account, platform)
    kubeflow = connect(endpoint, namespace)
    cluster = access.reachable(kubeflow.namespace)
    if cluster and checks:
        submitting.check(cluster, tasks, checked, account)
    run = submitting.start(
        kubeflow, found, checked, name=run_name, experiment=experiment, cache=cache, service_account=account
    )
    progress = progress_console(output, console)
    tasks_seen: dict[str, follow.TaskState] = {}
    cluster_display.started(progress, run)
    if cluster:
        asked, cluster = cluster.namespace, cluster.where_it_runs(run.run_id)
        cluster_display.moved(progress, asked, cluster.namespace)

    def finish(state: str, code: int, outcome: Outcome | None = None) -> NoReturn:
        if output == Output.JSON:
            print_document(cluster_display.as_document(run, state, tasks_seen.values(), outcome))
        raise SystemExit(code)

    def show(message: follow.Message) -> None:
        if isinstance(message, follow.TaskState):
            tasks_seen[message.key] = message
        cluster_display.show(progress, message)

    if not wait:
        finish("started", 0)
    by_name = {task.task: task for task in tasks}
    began = time.monotonic()
    try:
        state = follow.follow(
            kubeflow,
            cluster,
            run.run_id,
            by_name,
            show,
            timeout_seconds=None if timeout_minutes is None else timeout_minutes * 60,
        )
    except KeyboardInterrupt:
        cluster_display.left_running(progress, kubeflow.url, run)
        finish("still running", INTERRUPTED_EXIT_CODE)
    if state == "still running":
        cluster_display.left_running(progress, kubeflow.url, run)
        finish(state, STILL_RUNNING_EXIT_CODE)
    cluster_display.ended(progress, run, state, time.monotonic() - began)
    if state != "succeeded":
        outcome = follow.explain(cluster, run.run_id, by_name)
        if outcome:
            outcome = replace(outcome, reason=user_terms.translate(found, outcome.failed_task, outcome.reason))
        cluster_display.failure(progress, cluster, run, outcome)
        finish(state, FAILED_EXIT_CODE, outcome)
    finish(state, 0)


def upload(
    pipelines: Annotated[list[str] | None, typer.Argument(metavar="PIPELINE", help="Default: all.")] = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    settings: SettingsFile = None,
) -> None:
    """Upload pipelines to Kubeflow.

    Versions are named by their content, and unchanged pipelines are skipped.
    """
    from tilepipe.pipelines.cli.cluster import upload as uploading
    from tilepipe.pipelines.cli.compilation import settings_file

    platform = settings_file.platform(settings)
    found = [settings_file.load(name, platform) for name in pipelines or settings_file.names(platform)]
    kubeflow = connect(endpoint, namespace)
    kubeflow.check_version()
    for pipeline in found:
        version = uploading.upload(kubeflow, pipeline)
        console.print(Text(f"{version.pipeline}: {version.name}, {version.state}"))


def schedule(
    name: Annotated[str, typer.Argument(help="Name of the recurring run.")] = "",
    pipeline: Annotated[str, typer.Argument(help="Name of an uploaded pipeline, or the path of its YAML.")] = "",
    words: Words = None,
    config: ConfigFile = None,
    cron: Annotated[
        str, typer.Option(help='Cron expression, such as "0 3 * * *": minute hour day month weekday.')
    ] = "",
    every_minutes: Annotated[int | None, typer.Option(help="Interval in minutes, instead of --cron.", min=1)] = None,
    catchup: Annotated[bool, typer.Option(help="Start the runs that were missed while Kubeflow was down.")] = False,
    experiment: Experiment = DEFAULT_EXPERIMENT,
    pause: Annotated[bool, typer.Option("--pause", help="Pause the recurring run.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the recurring run.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the recurring run; its runs stay.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List all recurring runs.")] = False,
    checks: Annotated[bool, typer.Option(help="Check that pods can reach the addresses.")] = True,
    service_account: ServiceAccount = "",
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    settings: SettingsFile = None,
) -> None:
    """Create, change, pause or delete a recurring run.

    A recurring run is identified by its name, and follows the newest version of the pipeline.
    """
    from tilepipe.components.shared.errors import ParameterError
    from tilepipe.pipelines.cli import arguments, whole_run
    from tilepipe.pipelines.cli.cluster import schedule as scheduling
    from tilepipe.pipelines.cli.compilation import settings_file

    if list_:
        cluster_display.schedules(console, scheduling.recurring_runs(connect(endpoint, namespace)))
        return
    if not name or [bool(pipeline), pause, resume, delete].count(True) != 1:
        raise ParameterError(
            "`tilepipe schedule` takes a name and either a pipeline, --pause, --resume or --delete; or only --list. "
            f"Received: name={name!r}, pipeline={pipeline!r}, pause={pause}, resume={resume}, delete={delete}. "
            "`tilepipe schedule --help` describes them."
        )
    if not pipeline:
        action = scheduling.pause if pause else scheduling.resume if resume else scheduling.delete
        console.print(Text(action(connect(endpoint, namespace), name)))
        return
    trigger = scheduling.Trigger.of(cron, every_minutes)
    platform = settings_file.platform(settings)
    found = settings_file.load(pipeline, platform)
    checked = arguments.collect(found, arguments.only_file(config), words or [])
    if checks:
        whole_run.check_reachable(checked)
    kubeflow = connect(endpoint, namespace)
    kubeflow.check_version()
    account = settings_file.account(service_account, platform)
    pipeline_id = scheduling.uploaded(kubeflow, found)
    wanted = scheduling.Wanted(name, pipeline_id, trigger, checked, catchup, experiment, account)
    console.print(Text(scheduling.put(kubeflow, wanted)))


def doctor(
    pipelines: Annotated[list[str] | None, typer.Argument(metavar="PIPELINE", help="Default: all.")] = None,
    endpoint: Endpoint = None,
    namespace: Namespace = None,
    context: Annotated[str, typer.Option(help="Context of the kubeconfig; default: the current one.")] = "",
    bucket: Annotated[list[str] | None, typer.Option(help="Bucket of tiles to test; may be repeated.")] = None,
    s3_endpoint: Annotated[
        str, typer.Option(help="Address of the object store from this machine, such as a port-forward.")
    ] = "",
    mlflow_uri: Annotated[str, typer.Option(help="Address of MLflow from this machine, such as a port-forward.")] = "",
    start_pods: Annotated[
        bool, typer.Option("--start-pods", help="Start short-lived pods to test image pulls and services.")
    ] = False,
    seconds: Annotated[int, typer.Option(help="Timeout for these pods.", min=1)] = 20,
    settings: SettingsFile = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check everything that a run needs.

    Each problem comes with a remedy; exit code 1 means that there is one.

    Starts nothing unless --start-pods is given. Even then, no pod starts if the pipelines API does not answer, or if
    the kubeconfig may be for another cluster and --context does not confirm it.
    """
    from tilepipe.pipelines.cli.cluster.doctor import doctor as checking
    from tilepipe.pipelines.cli.compilation import settings_file

    options = checking.Options(
        endpoint=endpoint,
        namespace=namespace,
        pipelines=tuple(pipelines or ()),
        buckets=tuple(bucket or ()),
        s3_endpoint=s3_endpoint,
        mlflow_uri=mlflow_uri,
        context=context,
        start_pods=start_pods,
        pod_seconds=seconds,
        platform=settings_file.platform(settings),
    )
    findings, progress = [], progress_console(output, console)
    for finding in checking.examine(options):
        cluster_display.finding(progress, finding)
        findings.append(finding)
    if output == Output.JSON:
        print_document([asdict(finding) for finding in findings])
    if cluster_display.findings_summary(progress, findings):
        raise SystemExit(FAILED_EXIT_CODE)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (submit, upload, schedule, doctor):
        app.command()(command)
