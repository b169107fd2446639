"""The pictures show the graph that is there: every box and arrow, legible, in the file that was asked for."""

from __future__ import annotations

import itertools
import random
import re
from xml.etree import ElementTree as ET

import pytest

import retrograd as torch
from retrograd.show import graph_svg
from retrograd.show.layout import Layout, crossings, lay_out, spread

SVG = "{http://www.w3.org/2000/svg}"


def read(svg: str) -> tuple[list[list[str]], int]:
    """Return the lines of text in each box, and the number of arrows."""
    root = ET.fromstring(svg)
    boxes = [
        [text.text or "" for text in g.findall(f"{SVG}text")]
        for g in root.findall(f"{SVG}g")
        if g.find(f"{SVG}rect") is not None
    ]
    arrows = [path for path in root.iter(f"{SVG}path") if path.get("marker-end")]
    return boxes, len(arrows)


def rectangles(svg: str) -> list[tuple[float, float, float, float]]:
    groups = [g.find(f"{SVG}rect") for g in ET.fromstring(svg).findall(f"{SVG}g")]
    return [
        tuple(float(rect.get(side, "0")) for side in ("x", "y", "width", "height"))  # type: ignore[misc]
        for rect in groups
        if rect is not None
    ]


def network() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    w = torch.ones(5, 3, requires_grad=True)
    b = torch.zeros(3, requires_grad=True)
    return (torch.ones(5) @ w + b).sigmoid().sum(), {"w": w, "b": b}


def test_shows_operations_leaves_and_result() -> None:
    loss, params = network()
    boxes, arrows = read(graph_svg(loss, params))
    titles = [box[0] for box in boxes]
    assert {"w", "b", "Add", "Sigmoid", "Sum", "result"} <= set(titles)
    assert ["w", "5 × 3"] in boxes
    assert ["b", "3"] in boxes
    assert ["result", "scalar"] in boxes
    assert arrows == len(boxes) - 1  # this graph is a tree


def test_operation_names_lose_their_suffix() -> None:
    loss, params = network()
    svg = graph_svg(loss, params)
    assert ">Sum<" in svg
    assert "Backward" not in re.sub(r"<title>.*?</title>", "", svg)


def test_a_module_names_its_parameters() -> None:
    model = torch.nn.Linear(4, 2)
    boxes, _ = read(graph_svg(model(torch.ones(3, 4)).sum(), model))
    assert ["weight", "2 × 4"] in boxes
    assert ["bias", "2"] in boxes


def test_a_leaf_without_a_name_is_shown_by_shape() -> None:
    x = torch.ones(2, 7, requires_grad=True)
    boxes, _ = read(graph_svg(x.sum(), {}))
    assert ["leaf", "2 × 7"] in boxes


def test_a_shared_leaf_is_one_box_with_an_arrow_per_use() -> None:
    w = torch.ones(3, requires_grad=True)
    y = w
    for _ in range(4):
        y = y * w
    boxes, arrows = read(graph_svg(y.sum(), {"w": w}))
    assert [box[0] for box in boxes].count("w") == 1
    assert arrows == 8 + 2  # two per product, then sum and result


def test_inputs_stand_in_the_order_of_the_arguments() -> None:
    x, y, z = (torch.ones(size, requires_grad=True) for size in ((2, 1), (1, 3), ()))
    svg = graph_svg(torch.where(torch.ones(2, 3) > 0, x, y) * z, {"x": x, "y": y, "z": z})
    place = {text[0]: rectangle[0] for text, rectangle in zip(read(svg)[0], rectangles(svg), strict=True)}
    assert place["x"] < place["y"] < place["z"]


def test_arrows_end_on_boxes_and_shared_stretches_are_drawn_once() -> None:
    w = torch.ones(3, requires_grad=True)
    y = w
    for _ in range(4):
        y = y.sin() * w
    svg = graph_svg(y.sum(), {"w": w})
    paths = [path.get("d", "") for path in ET.fromstring(svg).iter(f"{SVG}path") if path.get("marker-end")]
    boxes = rectangles(svg)
    for path in paths:
        *_, x, y = map(float, re.findall(r"-?[\d.]+", path))
        assert [box for box in boxes if box[0] < x < box[0] + box[2] and abs(box[1] - y) < 0.2]
    assert "".join(paths).count("V") == 7  # w passes that many rows on its way to the last product


def test_a_leaf_alone() -> None:
    w = torch.ones(3, requires_grad=True)
    assert read(graph_svg(w, {"w": w})) == ([["w", "3"]], 0)


def test_names_are_escaped() -> None:
    w = torch.ones(3, requires_grad=True)
    boxes, _ = read(graph_svg(w.sum(), {"<w> & co": w}))
    assert ["<w> & co", "3"] in boxes


def test_writes_the_file(tmp_path) -> None:
    loss, params = network()
    svg = graph_svg(loss, params, path=tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == svg


def test_refuses_a_tensor_without_history() -> None:
    with pytest.raises(ValueError, match=r"graph_svg.*\(2, 2\).*require grad"):
        graph_svg(torch.ones(2, 2))


def test_boxes_do_not_overlap_and_lie_in_the_view() -> None:
    w = torch.ones(4, 4, requires_grad=True)
    v = torch.ones(4, requires_grad=True)
    h = v
    for _ in range(6):
        h = (w @ h + v).tanh() * h
    svg = graph_svg(h.sum(), {"a.rather.long.name.of.a.weight": w, "v": v})
    found = rectangles(svg)
    assert len(found) > 20
    for (x1, y1, w1, h1), (x2, y2, w2, h2) in itertools.combinations(found, 2):
        assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
    left, top, wide, high = map(float, ET.fromstring(svg).get("viewBox", "").split())
    for x, y, w1, h1 in found:
        assert left <= x
        assert top <= y
        assert x + w1 <= left + wide
        assert y + h1 <= top + high


def test_a_deep_graph_needs_no_recursion() -> None:
    x = torch.ones(1, requires_grad=True)
    y = x
    for _ in range(3000):
        y = y + 1
    boxes, arrows = read(graph_svg(y))
    assert (len(boxes), arrows) == (3002, 3001)


def random_graph(seed: int) -> tuple[list[float], list[tuple[int, int]]]:
    draw = random.Random(seed)
    count = draw.randrange(2, 40)
    edges = [
        (source, draw.randrange(source + 1, count))
        for source in range(count - 1)
        for _ in range(draw.randrange(1, 4))
    ]
    return [draw.uniform(10, 120) for _ in range(count)], edges


@pytest.mark.parametrize("seed", range(20))
def test_layout_of_random_graphs(seed: int) -> None:
    widths, edges = random_graph(seed)
    layout = lay_out(widths, edges, gap=9.0, thread=4.0)
    check_layout(layout, [*widths] + [4.0] * (len(layout.x) - len(widths)), edges, gap=9.0)


def check_layout(layout: Layout, widths: list[float], edges: list[tuple[int, int]], gap: float) -> None:
    for row in layout.rows:
        for left, right in itertools.pairwise(row):
            assert layout.x[right] - layout.x[left] >= (widths[left] + widths[right]) / 2 + gap - 1e-6
    assert [(route[0], route[-1]) for route in layout.routes] == edges
    for route in layout.routes:
        rows = [layout.row_of[item] for item in route]
        assert rows == list(range(rows[0], rows[0] + len(rows)))


def test_the_check_of_layouts_sees_an_overlap() -> None:
    layout = lay_out([50.0, 50.0, 50.0], [(0, 2), (1, 2)], gap=9.0, thread=4.0)
    layout.x[0] = layout.x[1]
    with pytest.raises(AssertionError):
        check_layout(layout, [50.0] * 3, [(0, 2), (1, 2)], gap=9.0)


def test_edges_from_one_box_share_their_waypoints() -> None:
    steps = 30
    edges = [(i, i + 1) for i in range(steps)] + [(steps + 1, i) for i in range(1, steps + 1)]
    layout = lay_out([20.0] * (steps + 2), edges, gap=9.0, thread=4.0)
    assert len(layout.x) - (steps + 2) == steps - 1


def test_a_planar_graph_is_drawn_without_crossings() -> None:
    edges = [(0, 5), (1, 4), (2, 3), (3, 6), (4, 6), (5, 6)]
    assert crossings(lay_out([20.0] * 7, edges, gap=9.0, thread=4.0)) == 0


def test_crossings_are_counted() -> None:
    layout = Layout([[0, 1], [2, 3]], [0, 0, 1, 1], [], [], {0: [3], 1: [2], 2: [1], 3: [0]})
    assert crossings(layout) == 1


def test_spread_is_the_least_squares_answer() -> None:
    wanted, widths, firmness = [5.0, 0.0, 1.0, 40.0], [4.0, 6.0, 2.0, 8.0], [1.0, 2.0, 1.0, 5.0]
    got = spread(wanted, widths, firmness, gap=1.0)

    def cost(centres: list[float]) -> float:
        return sum(f * (c - w) ** 2 for f, c, w in zip(firmness, centres, wanted, strict=True))

    def legal(centres: list[float]) -> bool:
        return all(
            centres[i + 1] - centres[i] >= (widths[i] + widths[i + 1]) / 2 + 1 - 1e-9
            for i in range(len(centres) - 1)
        )

    assert legal(got)
    for shift in itertools.product((-0.1, 0.0, 0.1), repeat=4):
        moved = [c + s for c, s in zip(got, shift, strict=True)]
        assert not legal(moved) or cost(moved) >= cost(got) - 1e-9


def shapes(tensor: torch.Tensor, params: dict[str, torch.Tensor] | None = None) -> dict[str, str]:
    """Return the second line of each box by its first; of several with one name that of the last."""
    return {box[0]: box[1] if len(box) > 1 else "" for box in read(graph_svg(tensor, params))[0]}


def test_boxes_of_operations_show_the_shapes_of_their_results() -> None:
    x, w = torch.ones(5, 3), torch.ones(4, 3, requires_grad=True)
    b = torch.ones(4, requires_grad=True)
    found = shapes(((x @ w.t() + b).tanh() * 2).relu().sum(), {"w": w, "b": b})
    assert found["Relu"] == found["Mul"] == found["Tanh"] == found["Add"] == found["Mm"] == "5 × 4"
    assert found["T"] == "3 × 4" and found["Sum"] == "scalar" and found["w"] == "4 × 3"


def test_shapes_of_several_results_and_of_joined_inputs() -> None:
    x = torch.ones(2, 6, requires_grad=True)
    first, second = x.exp().chunk(2, 1)
    assert shapes(torch.cat([first.sin(), second.cos()], 0).sum())["Cat"] == "4 × 3"
    assert shapes((first * second.sum(1, keepdim=True)).sum())["Mul"] == "2 × 3"


def test_shapes_that_nothing_tells_are_left_out() -> None:
    x = torch.ones(2, 6, requires_grad=True)
    found = shapes((x * 1).sum(1).flip(0).sum())
    assert set(found.values()) >= {"scalar", "2 × 6"}


def test_a_long_chain_of_shapes_ends_soon() -> None:
    y = torch.ones(3, requires_grad=True)
    for _ in range(2000):
        y = y + 1
    assert shapes(y)["Add"] == "3"
