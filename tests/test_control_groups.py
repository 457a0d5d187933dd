"""Limits of control groups, in folders made as Linux shows them."""

import pytest

from purejaxrrl import control_groups


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(control_groups, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "_OWN", tmp_path / "own")

    def write(own, **files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name.replace("__", "/").replace("_DOT_", ".")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")

    return write


def test_without_groups_there_is_no_limit(write):
    assert control_groups.memory_left() is None and control_groups.processors() is None
    write("0::/\n", memory_DOT_max="max", memory_DOT_current="5", cpu_DOT_max="max 100000")
    assert control_groups.memory_left() is None and control_groups.processors() is None


def test_the_narrowest_of_the_groups_above_counts(write):
    write(
        "0::/slurm/job_1/step\n", slurm__job_1__memory_DOT_max="3000", slurm__job_1__memory_DOT_current="1000",
        slurm__job_1__cpu_DOT_max="250000 100000", slurm__job_1__step__memory_DOT_max="max", slurm__job_1__step__memory_DOT_current="1000",
        slurm__memory_DOT_max="9000", slurm__memory_DOT_current="8500",
    )  # fmt: skip
    assert control_groups.memory_left() == 500 and control_groups.processors() == 3


def test_pages_of_files_are_given_back(write):
    write(
        "0::/\n",
        memory_DOT_max="3000",
        memory_DOT_current="1000",
        memory_DOT_stat="anon 100\nfile 900\ninactive_file 600\nactive_file 200",
    )
    assert control_groups.memory_left() == 2800


def test_the_first_version_has_a_hierarchy_for_each(write):
    """Whose place need not be shown in a container, where the root is its own."""
    write(
        "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n", memory__memory_DOT_limit_in_bytes="2000", memory__memory_DOT_usage_in_bytes="500",
        cpu__cpu_DOT_cfs_quota_us="50000", cpu__cpu_DOT_cfs_period_us="100000",
    )  # fmt: skip
    assert control_groups.memory_left() == 1500 and control_groups.processors() == 1
    write("", memory__memory_DOT_limit_in_bytes="9223372036854771712", cpu__cpu_DOT_cfs_quota_us="-1")
    assert control_groups.memory_left() is None and control_groups.processors() is None
