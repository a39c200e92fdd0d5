import json
import math

import pytest

from tilepipe.components.shared.errors import ParameterError
from tilepipe.components.train.optimization.schedules import (
    Phase,
    Plateau,
    ScheduleOptions,
    fewest_epochs,
    make_schedule,
    phases,
)

STEPS, EPOCHS, RATE = 10, 8, 0.4


def rates(count=STEPS * EPOCHS, **options):
    schedule = make_schedule(RATE, ScheduleOptions.parse(**options), steps_per_epoch=STEPS, epochs=EPOCHS)
    return [float(schedule(step)) for step in range(count)]


@pytest.mark.parametrize("schedule", ["constant", "reduce_on_plateau"])
def test_a_rate_that_does_not_go_by_itself_is_a_number(schedule):
    options = ScheduleOptions(schedule=schedule)
    assert make_schedule(RATE, options, steps_per_epoch=STEPS, epochs=EPOCHS) == RATE
    assert ScheduleOptions().schedule == "constant"


def test_exponential():
    seen = rates(schedule="exponential", decay_rate=0.5, decay_epochs=2)
    assert seen == pytest.approx([RATE * 0.5 ** (step / 20) for step in range(80)])


def test_inverse_time():
    seen = rates(schedule="inverse_time", decay_rate=2, decay_epochs=0.5)
    assert seen == pytest.approx([RATE / (1 + 2 * step / 5) for step in range(80)])


def test_a_step_comes_after_its_epoch():
    seen = rates(schedule="step", step_epochs=[2, 4.5], step_factor=0.5)
    assert seen == pytest.approx([RATE] * 20 + [RATE / 2] * 25 + [RATE / 4] * 35)


def test_cosine_ends_at_the_minimum():
    seen = rates(81, schedule="cosine", minimum_rate_fraction=0.1)
    cosine = [0.5 * (1 + math.cos(math.pi * step / 80)) for step in range(81)]
    assert seen == pytest.approx([RATE * (0.1 + 0.9 * share) for share in cosine])
    assert seen[-1] == pytest.approx(0.1 * RATE)


def test_cosine_after_a_warm_up():
    seen = rates(81, schedule="cosine", warmup_epochs=2)
    assert seen[0] == pytest.approx(RATE / 20)
    assert seen[20] == max(seen) == pytest.approx(RATE)
    assert seen[:21] == sorted(seen[:21])
    assert seen[50] == pytest.approx(RATE / 2)
    assert seen[80] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schedule": "exponential"},
        {"schedule": "inverse_time"},
        {"schedule": "step", "step_epochs": [3]},
    ],
)
def test_any_other_schedule_continues_after_the_warmup(options):
    cold = rates(**options) if options else [RATE] * 80
    warm = rates(**options, warmup_epochs=1.5)
    assert warm[0] == pytest.approx(RATE / 15)
    assert warm[:15] == sorted(warm[:15])
    assert warm[15:] == pytest.approx(cold[15:])


@pytest.mark.parametrize("schedule", ["exponential", "inverse_time"])
def test_the_rate_stops_at_the_minimum(schedule):
    free = rates(schedule=schedule)
    seen = rates(schedule=schedule, minimum_rate_fraction=0.5)
    assert seen == pytest.approx([max(rate, RATE / 2) for rate in free])
    assert min(free) < RATE / 2


def test_the_optimizer_follows_its_steps():
    import keras

    options = ScheduleOptions(schedule="exponential", decay_rate=0.5, warmup_epochs=0.2)
    optimizer = keras.optimizers.SGD(make_schedule(RATE, options, steps_per_epoch=STEPS, epochs=EPOCHS))
    optimizer.iterations.assign(12)
    assert float(optimizer.learning_rate) == pytest.approx(RATE * 0.5**1.2)


def test_a_plateau_lowers_the_rate_to_its_minimum():
    options = ScheduleOptions(
        schedule="reduce_on_plateau", plateau_patience_epochs=2, plateau_factor=0.1, minimum_rate_fraction=0.05
    )
    plateau = Plateau(1.0, options, higher_is_better=True)
    figures = [0.5, 0.6, 0.6, 0.55, 0.6, 0.59, 0.3, 0.3, 0.7]
    expected = [None, None, None, 0.1, None, 0.05, None, None, None]
    assert [plateau.update(figure) for figure in figures] == pytest.approx(expected)


def test_a_plateau_of_losses_ignores_small_changes():
    options = ScheduleOptions(
        schedule="reduce_on_plateau", plateau_patience_epochs=1, plateau_factor=0.5, plateau_minimum_change=0.1
    )
    plateau = Plateau(1.0, options, higher_is_better=False)
    assert [plateau.update(loss) for loss in (1.0, 0.95, 0.8, 0.9)] == [None, 0.5, None, 0.25]


@pytest.mark.parametrize("seen", range(7))
def test_a_plateau_resumes_where_it_was(seen):
    options = ScheduleOptions(schedule="reduce_on_plateau", plateau_patience_epochs=2)
    figures = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    undisturbed = Plateau(1.0, options, higher_is_better=True)
    expected = [undisturbed.update(figure) for figure in figures]
    killed, resumed = (Plateau(1.0, options, higher_is_better=True) for _ in range(2))
    for figure in figures[:seen]:
        killed.update(figure)
    resumed.restore(json.loads(json.dumps(killed.state(), allow_nan=False)))
    assert [resumed.update(figure) for figure in figures[seen:]] == expected[seen:]
    assert resumed.state() == undisturbed.state()


def test_a_training_has_one_phase_or_two():
    assert phases(10, 0.1, ScheduleOptions()) == (Phase(0, 10, 0.1, frozen=False),)
    head, rest = phases(10, 0.1, ScheduleOptions(head_epochs=3))
    assert head == Phase(0, 3, 0.1, frozen=True)
    assert rest == Phase(3, 7, pytest.approx(0.01), frozen=False)
    assert phases(10, 0.1, ScheduleOptions(head_epochs=3, finetune_learning_rate=0.05))[1].learning_rate == 0.05


@pytest.mark.parametrize(("head", "warmup"), [(0, 0), (0, 0.5), (0, 1), (0, 2.5), (1, 0), (1, 0.5), (3, 1), (3, 2.5)])
def test_fewest_epochs_are_enough(head, warmup):
    options = ScheduleOptions(head_epochs=head, warmup_epochs=warmup)
    fewest = fewest_epochs(options)
    phases(fewest, 0.1, options)
    with pytest.raises(ParameterError):
        phases(fewest - 1, 0.1, options)


@pytest.mark.parametrize(
    ("epochs", "options", "message"),
    [
        (3, {"head_epochs": 3}, "`head_epochs` must be fewer than `epochs`.*head_epochs=3 with epochs=3"),
        (3, {"warmup_epochs": 3}, "`warmup_epochs` must be fewer than the epochs of each phase"),
        (9, {"warmup_epochs": 1, "head_epochs": 1}, "warmup_epochs=1 with a phase of 1 epochs"),
    ],
)
def test_phases_must_fit_the_epochs(epochs, options, message):
    with pytest.raises(ParameterError, match=message):
        phases(epochs, 0.1, ScheduleOptions(**options))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "linear"}, "`schedule` should be 'constant'"),
        ({"schedule": "step"}, "`step_epochs` must be given with schedule step"),
        ({"step_epochs": [3]}, "`step_epochs` must be given with schedule step, and with no other"),
        ({"schedule": "step", "step_epochs": [3, 3]}, "`step_epochs` must be above 0 and rise"),
        ({"schedule": "step", "step_epochs": [0]}, "`step_epochs` must be above 0 and rise"),
        ({"schedule": "exponential", "decay_rate": 1}, "`decay_rate` must be below 1 with schedule exponential"),
        ({"minimum_rate_fraction": 0.1}, "`minimum_rate_fraction` must be 0 with schedule constant"),
        ({"schedule": "reduce_on_plateau", "warmup_epochs": 1}, "`warmup_epochs` must be 0 with schedule reduce"),
        ({"finetune_learning_rate": 0.1}, "`finetune_learning_rate` must be 0 if `head_epochs` is 0"),
    ],
)
def test_a_wrong_value_is_one_message(given, message):
    with pytest.raises(ParameterError, match=message) as error:
        ScheduleOptions.parse(**given)
    assert "\n" not in str(error.value)
