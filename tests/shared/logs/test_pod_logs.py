from tilepipe.components.shared.logs.pod_logs import last_words, own_lines

# The end of a real pod's log: KFP 2.17's launcher, Argo 4.0.5, and a step between them.
LOG = """\
time=2026-11-21T22:04:11.589Z level=INFO msg="waiting for signals" argo=true signalPath=/var/run/argo/ctr/main/signal
I1121 22:04:11.629113      15 main.go:67] Setting log level to: '1'
reading

error: the rule. Received: moon
E1121 22:04:11.676307      15 launcher_v2.go:449] Component failed to execute successfully: exit status 2
F1121 22:04:11.711207      15 main.go:59] failed to execute component: exit status 2
time=2026-11-21T22:04:12.590Z level=INFO msg="sub-process exited" argo=true error="exit status 1"
Error: exit status 1
"""


def test_only_what_the_step_wrote_is_left():
    assert own_lines(LOG) == ["reading", "error: the rule. Received: moon"]


def test_a_steps_own_lines_may_look_alike():
    lines = ["Error: the bucket is gone", "time=3 loss=0.4", "I am line 3"]
    assert own_lines("\n".join(lines)) == lines


def test_the_last_words_are_the_steps_own():
    assert last_words(LOG) == "reading\nerror: the rule. Received: moon"


def test_what_a_driver_died_of():
    log = (
        "{\n}\n"
        "F1121 23:57:22.046713      15 main.go:127] KFP driver: driver.Container(pipelineName=train-classifier, "
        'taskName="train-model", KubernetesExecutorConfig) failed: failed to resolve node selector: json: cannot '
        "unmarshal number into Go value of type string\n"
        "Error: exit status 1\n"
    )
    assert last_words(log) == (
        "failed to resolve node selector: json: cannot unmarshal number into Go value of type string"
    )
