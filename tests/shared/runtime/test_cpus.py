"""Tests of the number of CPUs, on the files that the kernel writes."""

import os

import pytest

from tilepipe.components.shared.runtime.cpus import available_cpus

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cpus"), [("max 100000", ALLOWED), ("50000 100000", 1), ("100000 100000", 1), ("odd", ALLOWED)]
)
def test_the_limit_of_the_second_interface_is_read(tmp_path, quota, cpus):
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", ALLOWED), ("50000", 1), ("1000000000", ALLOWED)])
def test_the_limit_of_the_first_interface_is_read(tmp_path, quota, cpus):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == cpus


def test_without_a_control_group_there_is_no_limit(tmp_path):
    assert available_cpus(tmp_path) == ALLOWED
