"""Wrong files of a geography folder are refused with file, place, found and expected."""

import json

import pytest

from geo.io import find_folder, read_folder
from geo.params import GeoParams
from sim.core.errors import ScenarioError

HEADER = "name,lat,lon,population,region,utc_offset_h\n"
GOOD = HEADER + "Alfa,50,10,1000,North,1\n"
SQUARE = [[10.0, 50.0], [10.01, 50.0], [10.01, 50.01], [10.0, 50.01], [10.0, 50.0]]


def write(tmp_path, *, places=GOOD, towers=None, fences=None, sources=None):
    """Make a geography folder from texts, bytes or objects."""
    for name, content in (
        ("places.csv", places),
        ("towers.csv", towers),
        ("fences.geojson", fences),
        ("sources.json", sources),
    ):
        if content is None:
            continue
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        raw = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(raw)
    return tmp_path


def feature(coordinates=None, *, kind="mall", geometry="Polygon", **properties):
    """Make a collection of one fence."""
    shape = {"type": geometry, "coordinates": [SQUARE] if coordinates is None else coordinates}
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": "Mall", "kind": kind, **properties},
                "geometry": shape,
            }
        ],
    }


def problems(folder):
    """Return the problems a folder has."""
    with pytest.raises(ScenarioError) as caught:
        read_folder(folder)
    return caught.value.problems


def test_a_good_folder_reads_with_bom_and_blank_lines(tmp_path):
    """A byte order mark, blank lines, extra columns and quotes are no problem."""
    text = '\ufeffname,lat,lon,population,region,utc_offset_h,note\n\n"A, b",50,10,5,N,5.75,x\n'
    folder = read_folder(write(tmp_path, places=text, fences=feature(levels=3)))
    assert folder.place_names == ("A, b",)
    assert folder.place_tz_q.tolist() == [23]
    assert folder.fences[0].levels == 3


@pytest.mark.fault("I6", "I9")
@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("Alfa,95,10,1000,North,1", "lat"),
        ("Alfa,50,190,1000,North,1", "lon"),
        ("Alfa,50,10,-5,North,1", "population"),
        ("Alfa,50,10,many,North,1", "population"),
        ("Alfa,nan,10,5,North,1", "lat"),
        ("Alfa,50,10,5,North,30", "utc_offset_h"),
        ("Alfa,50,10,5,North,1.1", "utc_offset_h"),
        (",50,10,5,North,1", "name"),
        ("Alfa,50,10,5,,1", "region"),
    ],
)
def test_a_bad_value_names_file_line_and_column(tmp_path, row, column):
    """The problem points at line 3 of places.csv and the column."""
    (problem,) = problems(write(tmp_path, places=GOOD + row + "\n"))
    assert problem.file.endswith("places.csv")
    assert (problem.line, problem.path) == (3, column)
    assert problem.expected


def test_all_problems_of_all_files_come_at_once(tmp_path):
    """Three files with one defect each give three problems."""
    found = problems(
        write(
            tmp_path,
            places=HEADER + "Alfa,99,10,1000,North,1\n",
            towers="lat,lon,position_kind\n50,10,masts\n",
            fences=feature(kind="airprot"),
        )
    )
    assert [problem.file.rsplit("/", 1)[1] for problem in found] == [
        "places.csv",
        "towers.csv",
        "fences.geojson",
    ]
    assert "mast" in found[1].expected and "nearest: airport" in found[2].expected


def test_a_missing_column_is_reported_with_the_nearest_name(tmp_path):
    """`popultion` is recognised as a slip of `population`."""
    (problem,) = problems(write(tmp_path, places=GOOD.replace("population", "popultion")))
    assert problem.path == "population" and "popultion" in problem.found


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ("", "file is empty"),
        (HEADER, "no rows"),
        (GOOD + "Beta,50\n", "wrong number of columns"),
        (GOOD + 'Beta,"50,1\n', "not CSV"),
        (GOOD.encode() + b"Caf\xe9,50,10,5,North,1\n", "not UTF-8"),
        (HEADER.replace("lon", "lat") + "A,1,2,3,N,1\n", "missing column"),
        (HEADER + "Alfa,50,10,0,North,1\n", "nobody lives here"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, places, message):
    """Empty, headless, ragged, unquoted and wrongly encoded tables are named as such."""
    found = problems(write(tmp_path, places=places))
    assert any(message in problem.message for problem in found)


def test_not_utf8_names_the_line(tmp_path):
    """The line of the first bad byte is reported."""
    (problem,) = problems(write(tmp_path, places=GOOD.encode() + b"Caf\xe9,50,10,5,North,1\n"))
    assert problem.line == 3 and "0xe9" in problem.found


BOW = [[[10.0, 50.0], [10.01, 50.01], [10.01, 50.0], [10.0, 50.01], [10.0, 50.0]]]


@pytest.mark.fault("I1", "I2")
@pytest.mark.parametrize(
    ("fences", "message", "path"),
    [
        (feature([SQUARE[:-1]]), "ring not closed", "features[0].geometry.coordinates"),
        (feature(BOW), "polygon is not valid", "features[0].geometry"),
        (feature([SQUARE[:2]]), "ring too short", "features[0].geometry.coordinates"),
        (feature([[[200.0, 50.0], *SQUARE[1:-1], [200.0, 50.0]]]), "out of range", None),
        (feature([["a"]]), "broken coordinates", None),
        (feature(geometry="Point"), "not a polygon", "features[0].geometry.type"),
        (feature(kind="airprt"), "unknown kind", "features[0].properties.kind"),
        (feature(iata="NQ"), "IATA", "features[0].properties.iata"),
        (feature(levels=0), "storeys", "features[0].properties.levels"),
        (feature(name=""), "missing name", "features[0].properties.name"),
        (feature([[[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]]), "unlikely area", None),
        ({"type": "FeatureCollection"}, "not GeoJSON", None),
        ([1], "not GeoJSON", None),
        ({"features": [7]}, "not a feature", None),
        ("{", "not JSON", None),
        ("[" * 100_000, "n", None),
    ],
)
def test_a_broken_fence_is_refused(tmp_path, fences, message, path):
    """Each defect of a feature is named with the way to it."""
    (problem,) = problems(write(tmp_path, fences=fences))
    assert message in problem.message
    assert problem.file.endswith("fences.geojson")
    if path:
        assert problem.path == path


def test_two_fences_of_one_name_are_refused(tmp_path):
    """A catalogue names fences, so a name must mean one fence."""
    twice = feature()
    twice["features"] *= 2
    (problem,) = problems(write(tmp_path, fences=twice))
    assert problem.message == "name appears twice" and problem.path.startswith("features[1]")


def test_sources_must_be_objects_that_name_a_file(tmp_path):
    """An entry without a file is refused."""
    (problem,) = problems(write(tmp_path, sources=[{"licence": "CC0"}]))
    assert problem.path == "[0]"


def test_problems_are_limited_to_a_screenful(tmp_path):
    """A file of ten thousand bad rows gives a hundred problems."""
    assert len(problems(write(tmp_path, places=HEADER + "A,99,10,5,N,1\n" * 10_000))) == 100


def test_an_unknown_folder_lists_the_shipped_ones(tmp_path):
    """The nearest shipped name is offered, and a relative path starts at the scenario."""
    with pytest.raises(ScenarioError, match="astana"):
        find_folder("astna", tmp_path)
    (tmp_path / "mine").mkdir()
    assert find_folder("mine", tmp_path) == (tmp_path / "mine").resolve()
    (problem,) = problems(tmp_path / "mine")
    assert problem.message == "file is missing"


def test_unknown_parameters_are_refused():
    """A slip in a key is an error, not a default."""
    with pytest.raises(ValueError, match="resolutoin"):
        GeoParams(resolutoin=9)
