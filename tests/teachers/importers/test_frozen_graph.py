import numpy as np
import pytest
import recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from purejaxrrl.environments.balloon import assets
from purejaxrrl.teachers.importers import frozen_graph, perciatelli44


def varint(value):
    groups = []
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def constant(name, array, operation=b"Const", kind=1, shape=None, content=None, content_field=4):
    sizes = array.shape if shape is None else shape
    dimensions = b"".join(field(2, field(1, size)) for size in sizes)
    content = array.astype("<f4").tobytes() if content is None else content
    tensor = field(1, kind) + field(2, dimensions) + field(content_field, content)
    attribute = field(1, b"value") + field(2, field(8, tensor))
    return field(1, field(1, name.encode()) + field(2, operation) + field(5, attribute))


WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)
GRAPH = constant("a/weights", WEIGHTS) + constant("a/biases", WEIGHTS[0]) + field(4, field(1, 27))


def test_constants_are_read_by_name_and_other_nodes_passed_over():
    graph = GRAPH + constant("sum", WEIGHTS, operation=b"Add") + constant("whole", WEIGHTS, kind=3)
    found = frozen_graph.constants(graph)
    assert set(found) == {"a/weights", "a/biases"}
    np.testing.assert_array_equal(found["a/weights"], WEIGHTS)


def test_float_values_instead_of_bytes_are_read_and_one_may_stand_for_all():
    graph = constant("a", WEIGHTS, content_field=5) + constant(
        "b", WEIGHTS, content=np.float32(2).tobytes(), content_field=5
    )
    found = frozen_graph.constants(graph)
    np.testing.assert_array_equal(found["a"], WEIGHTS)
    np.testing.assert_array_equal(found["b"], np.full((2, 3), 2, np.float32))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (GRAPH + constant("a/weights", WEIGHTS), "two nodes are called 'a/weights'"),
        (constant("a", WEIGHTS, shape=(2, 4)), r"shape \(2, 4\) has 24 bytes, not 32"),
        (constant("a", WEIGHTS, shape=(1 << 30, 1 << 30)), "more than"),
        (constant("a", WEIGHTS, shape=(1,) * 9), "9 dimensions"),
        (field(1, field(1, b"\xff\xfe")), "a name is no text"),
        (b"\x0b", "a field of kind 3"),
        (b"\xff" * 11, "more than 64 bits"),
        (b"\x0a\xff\xff\xff\x7f", "cut off: 268435455 bytes are announced where 0 are left"),
    ],
)
def test_what_is_no_graph_is_refused(graph, message):
    with pytest.raises(frozen_graph.GraphError, match=message):
        frozen_graph.constants(graph)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_graphs_are_refused_or_read_and_nothing_else(data):
    graph = bytearray(GRAPH)
    graph = graph[: data.draw(st.integers(0, len(graph)))]
    for _ in range(data.draw(st.integers(0, 3))):
        if graph:
            graph[data.draw(st.integers(0, len(graph) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = frozen_graph.constants(bytes(graph))
    except frozen_graph.GraphError:
        return
    assert all(array.dtype == np.float32 for array in found.values())


def test_another_network_is_refused():
    with pytest.raises(frozen_graph.GraphError, match="has no constant 'Online/fully_connected/weights'"):
        perciatelli44(GRAPH)
    with pytest.raises(frozen_graph.GraphError, match=r"is \(2, 3\), or not finite; Perciatelli44's is \(1099, 600\)"):
        perciatelli44(constant("Online/fully_connected/weights", WEIGHTS))


@recordings.NEEDS_DATA
def test_perciatelli44_acts_as_recorded():
    """Of each 40 steps the second half were its own."""
    teacher = perciatelli44(assets.read(assets.TEACHER_GRAPH))
    for seed in (1, 2):
        recorded = recordings.load(f"steps_seed{seed}")
        own = np.arange(len(recorded["A"])) // 20 % 2 == 1
        actions = np.asarray(teacher.apply(teacher.params, recorded["F"][:-1])).argmax(1)
        np.testing.assert_array_equal(actions[own], recorded["A"][own])
