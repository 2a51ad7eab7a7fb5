import itertools
import xml.etree.ElementTree as ElementTree

from benchmarks.plot import LABEL_GAP, PLOT_HEIGHT, TOP, WIDTH, Bar, Curve, bars, percentiles

SVG = "{http://www.w3.org/2000/svg}"


def read(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def test_bars_are_as_long_as_their_values():
    drawn = read(bars("Speed", [Bar("ours", 300.0), Bar("<theirs>", 100.0), Bar("none", 0.0)]))
    lengths = [float(one.get("width", "")) for one in drawn.findall(f"{SVG}rect")[1:]]
    assert lengths[0] == 3 * lengths[1]
    assert lengths[2] > 0
    assert "<theirs>" in [text.text for text in drawn.findall(f"{SVG}text")]


def test_a_curve_rises_and_stays_within_the_drawing():
    points = [(0.0, 0.0), (50.0, 100.0), (99.0, 900.0), (99.99, 5_000.0), (100.0, 60_000.0)]
    line = read(percentiles("Latency", [Curve("ours", points)])).find(f"{SVG}polyline")
    assert line is not None
    places = [tuple(map(float, place.split(","))) for place in line.get("points", "").split()]
    assert len(places) == 3  # neither no time at all nor the end of all nines can be drawn
    assert all(0 < x < WIDTH and TOP <= y <= TOP + PLOT_HEIGHT for x, y in places)
    assert places == sorted(places, key=lambda place: -place[1])


def test_labels_of_like_curves_do_not_lie_on_each_other():
    curves = [Curve(f"server {number}", [(50.0, 100.0), (99.9, 1_000.0)]) for number in range(8)]
    circles = read(percentiles("Latency", curves)).findall(f"{SVG}circle")
    heights = sorted(float(one.get("cy", "")) for one in circles)
    assert all(lower - upper >= LABEL_GAP for upper, lower in itertools.pairwise(heights))


def test_nothing_measured_is_still_a_drawing():
    assert read(percentiles("Latency", [])).tag == f"{SVG}svg"
    assert read(bars("Speed", [])).tag == f"{SVG}svg"


def test_it_is_readable_in_the_dark():
    for drawing in (bars("Speed", []), percentiles("Latency", [])):
        assert "prefers-color-scheme:dark" in drawing
