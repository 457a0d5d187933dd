import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from flax import serialization
from recordings import NEEDS_DATA

from purejaxrrl import teachers
from purejaxrrl.environments.balloon import assets, fetch


def layers(**changed):
    widths = (64, 1000, 1000, 1000, 4410)
    made = {
        f"Dense_{layer}": {
            "kernel": np.zeros(widths[layer : layer + 2], np.float32),
            "bias": np.zeros(widths[layer + 1], np.float32),
        }
        for layer in range(4)
    }
    return serialization.msgpack_serialize({"params": made | changed})


def test_a_decoder_is_read_and_makes_a_stream_function():
    assert assets.parse_decoder(layers())(np.zeros(64, np.float32)).shape == (7, 7, 10, 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no wind decoder"),
        (b"\xc1garbage", "no wind decoder"),
        (layers()[:-40], "no wind decoder"),
        (
            layers(Dense_2={"kernel": np.zeros((1000, 3), np.float32), "bias": np.zeros(1000, np.float32)}),
            "Dense_2's kernel is",
        ),
        (layers(Dense_0={"kernel": np.zeros((64, 1000), np.float64), "bias": np.zeros(1000)}), "float64"),
        (layers(Dense_0={"kernel": 3, "bias": 4}), "Dense_0's kernel is int"),
        (
            layers(Dense_0={"kernel": np.full((64, 1000), np.nan, np.float32), "bias": np.zeros(1000, np.float32)}),
            "not finite",
        ),
    ],
)
def test_bytes_that_are_no_decoder_are_refused(content, message):
    with pytest.raises(assets.MissingAssetsError, match=message):
        assets.parse_decoder(content)


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PUREJAXRRL_CACHE", str(tmp_path))
    (tmp_path / "balloon").mkdir()
    (tmp_path / "balloon" / assets.DECODER).write_bytes(layers())
    with pytest.raises(assets.MissingAssetsError, match="is damaged.*fetch it again with: python -m"):
        assets.read(assets.DECODER)


def wheel_with(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"balloon_learning_environment/models/{name}", content)
    return path


def test_another_wheel_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PUREJAXRRL_CACHE", str(tmp_path / "cache"))
    wheel = wheel_with(tmp_path / "some.whl", other="x")
    with pytest.raises(fetch.FetchError, match="has the SHA-256 .*, not balloon-learning-environment==1.0.1's"):
        fetch.unpack(wheel)
    assert not (tmp_path / "cache").exists()


def test_a_wheel_without_the_files_or_with_others_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("PUREJAXRRL_CACHE", str(tmp_path / "cache"))
    for content, message in (({"other": "x"}, "does not hold"), ({assets.DECODER: b"x"}, "has another SHA-256")):
        wheel = wheel_with(tmp_path / "some.whl", **content)
        monkeypatch.setattr(fetch, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
        with pytest.raises(fetch.FetchError, match=message):
            fetch.unpack(wheel)
        assert not any((tmp_path / "cache").rglob("*.pb"))


def test_the_command_ends_with_one_line_where_it_cannot(tmp_path):
    command = [sys.executable, "-m", "purejaxrrl.environments.balloon.fetch", "--wheel", str(tmp_path / "none.whl")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [f"error: {tmp_path / 'none.whl'} cannot be read (No such file or directory)"]


@NEEDS_DATA
def test_the_fetched_teacher_loads_by_name():
    teacher = teachers.load(teachers.shipped("balloon"))
    assert teacher.card.environment == "balloon" and teacher.card.observation_shape == (1099,)
    q_values = teacher.apply(teacher.params, np.zeros((1, 1099), np.float32))
    np.testing.assert_allclose(q_values, [[4.5716, 5.2008, 5.1509]], atol=1e-4)
