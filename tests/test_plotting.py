"""Arrays in, figures out: as many pictures as asked for, each in its place, nothing left open and nothing changed."""

import os
import re
import sys
import tempfile

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure
from nbclient import NotebookClient
from PIL import Image, ImageSequence

from tools import chapters
from vaecourse import plotting, recipes
from vaecourse.course import ruler

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(6, 5, 4, 1))
CASES = {
    "image_grid": (plotting.image_grid, [IMAGES], {"columns": 3}),
    "manifold": (plotting.manifold, [IMAGES.reshape(2, 3, 5, 4, 1)], {"extent": (-1.6, 1.6)}),
    "latent_scatter": (plotting.latent_scatter, [RNG.normal(size=(40, 2)), np.arange(40) % 10], {}),
    "curves": (plotting.curves, [{"elbo": np.array([-200.0, -160.0])}], {"xlabel": "epoch", "ylabel": "nats"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_plot_is_a_figure_that_is_closed_and_leaves_its_input_and_the_style_alone(name):
    function, arrays, options = CASES[name]
    inputs = [array["elbo"] if isinstance(array, dict) else array for array in arrays]
    before = [array.copy() for array in inputs]
    style = dict(plt.rcParams)
    figure = function(*arrays, **options)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    for array, kept in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(array, kept)
    assert dict(plt.rcParams) == style


def pictures(figure: Figure) -> list[np.ndarray]:
    return [axis.images[0].get_array().data for axis in figure.axes if axis.images]


@pytest.mark.parametrize(("n", "columns", "rows"), [(6, 3, 2), (6, 4, 2), (1, 8, 1), (6, 6, 1)])
def test_an_image_grid_shows_every_image_in_rows(n, columns, rows):
    figure = plotting.image_grid(IMAGES[:n], columns)
    assert len(figure.axes) == rows * columns
    shown = pictures(figure)
    assert len(shown) == n
    np.testing.assert_array_equal(shown, IMAGES[:n, ..., 0])
    places = [(axis.get_subplotspec().rowspan.start, axis.get_subplotspec().colspan.start) for axis in figure.axes[:n]]
    assert places == [divmod(index, columns) for index in range(n)]


def test_ink_is_black_on_paper_in_the_same_shade_in_every_image():
    figure = plotting.image_grid(np.array([np.zeros((2, 2)), np.full((2, 2), 0.5), np.ones((2, 2))]))
    (scale,) = {(axis.images[0].cmap.name, *axis.images[0].get_clim()) for axis in figure.axes[:3]}
    assert scale == ("gray_r", 0, 1)
    colors = [figure.axes[0].images[0].to_rgba(picture)[0, 0, :3] for picture in pictures(figure)]
    np.testing.assert_allclose(colors, [[1, 1, 1], [0.5, 0.5, 0.5], [0, 0, 0]], atol=0.01)


@pytest.mark.parametrize("dropped", [(), (0,)], ids=["with a channel", "without"])
def test_bytes_and_grays_look_the_same(dropped):
    levels = RNG.integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    levels = levels[..., 0] if dropped else levels
    for by_bytes, by_grays in zip(
        pictures(plotting.image_grid(levels)), pictures(plotting.image_grid(levels / 255)), strict=True
    ):
        np.testing.assert_allclose(by_bytes, by_grays)


def test_colors_are_shown_as_colors():
    colors = RNG.uniform(size=(2, 4, 4, 3))
    np.testing.assert_array_equal(pictures(plotting.image_grid(colors)), colors)
    (shown,) = pictures(plotting.manifold(colors[np.newaxis], extent=(0, 1)))
    np.testing.assert_array_equal(shown, np.concatenate(colors, axis=1))


def in_a_grid(images: np.ndarray) -> None:
    plotting.image_grid(images, columns=2)


def in_a_manifold(images: np.ndarray) -> None:
    plotting.manifold(images[np.newaxis], extent=(0, 1))


def in_a_tile(images: np.ndarray) -> None:
    plotting.tile(images[:, np.newaxis])


def in_an_animation(images: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            plotting.animate([images], f"{folder}/images.gif", columns=1)
        finally:
            assert bool(os.listdir(folder)) == (sys.exc_info()[0] is None), "nothing is written of what is refused"


WAYS = [in_a_grid, in_a_manifold, in_a_tile, in_an_animation]
each_way = pytest.mark.parametrize("draw", WAYS)


@each_way
@pytest.mark.parametrize("channels", [(), (1,), (3,)], ids=["no channels", "1 channel", "3 channels"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8, bool])
def test_every_function_takes_grays_and_colors_as_floats_and_as_bytes(draw, channels, dtype):
    draw(np.ones((2, 4, 5, *channels), dtype))


def with_one(pixel: float) -> np.ndarray:
    images = np.full((2, 4, 5, 3), 0.5)
    images[1, 2, 3, 0] = pixel
    return images


@each_way
@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 4, 5, 2)), ValueError, "1 channel or 3, got 2: shape"),
        (np.zeros((2, 4, 5, 4), np.uint8), ValueError, "1 channel or 3, got 4: shape"),
        (np.zeros((2, 4, 5, 5)), ValueError, "1 channel or 3, got 5: shape"),
        (np.zeros((2, 5)), ValueError, "expected at least one of images"),
        (np.zeros((2, 4, 5, 3, 1)), ValueError, "expected at least one of images"),
        (np.zeros((2, 4, 0, 1)), ValueError, "expected at least one of images"),
        (with_one(np.nan), ValueError, "expected finite pixels, got 1 that"),
        (with_one(np.inf), ValueError, "expected finite pixels, got 1 that"),
        (np.zeros((2, 4, 5), int), TypeError, "floats in .* or as uint8, got int64"),
        (np.zeros((2, 4, 5), complex), TypeError, "floats in .* or as uint8, got complex128"),
        (np.full((2, 4, 5), "ink"), TypeError, "floats in .* or as uint8, got <U3"),
    ],
)
def test_every_function_refuses_what_is_no_image(draw, images, error, message):
    with pytest.raises(error, match=message):
        draw(images)


def test_no_images_are_refused():
    with pytest.raises(ValueError, match=r"expected at least one of images \(n, height, .*got shape \(0, 28, 28, 1\)"):
        plotting.image_grid(np.zeros((0, 28, 28, 1)))


def test_titles_stand_above_images_and_labels_beside_rows():
    figure = plotting.image_grid(IMAGES, columns=3, titles=list("abcdef"), row_labels=["data", "decoded"])
    assert [axis.get_title() for axis in figure.axes] == list("abcdef")
    assert [axis.get_ylabel() for axis in figure.axes] == ["data", "", "", "decoded", "", ""]


def test_tile_puts_every_image_in_its_place():
    images = RNG.uniform(size=(2, 3, 5, 4, 1))
    tiled = plotting.tile(images)
    assert tiled.shape == (10, 12)
    for row, column in np.ndindex(2, 3):
        place = tiled[5 * row : 5 * row + 5, 4 * column : 4 * column + 4]
        np.testing.assert_array_equal(place, images[row, column, ..., 0])
    assert plotting.tile(RNG.uniform(size=(2, 3, 5, 4, 3))).shape == (10, 12, 3)


def test_a_manifold_is_one_picture_with_latents_at_the_ends_of_its_axes():
    images = RNG.uniform(size=(2, 3, 5, 4, 1))
    figure = plotting.manifold(images, extent=(-1.5, 2))
    (shown,) = pictures(figure)
    np.testing.assert_array_equal(shown, plotting.tile(images))
    (axis,) = figure.axes
    # The first row of the picture is at the top, where the second latent is largest.
    assert axis.yaxis_inverted()
    for ticks, labels, ends in (
        (axis.get_xticks(), axis.get_xticklabels(), [(0, "-1.5"), (11, "2")]),
        (axis.get_yticks(), axis.get_yticklabels(), [(0, "2"), (9, "-1.5")]),
    ):
        assert [(tick, label.get_text()) for tick, label in zip(ticks, labels, strict=True)] == ends


def test_a_latent_scatter_shows_every_point_and_names_each_class_at_its_median():
    z, labels = RNG.normal(size=(30, 2)), np.repeat([3, 5, 8], 10)
    (axis,) = plotting.latent_scatter(z, labels).axes
    assert [text.get_text() for text in axis.texts] == ["3", "5", "8"]
    for points, text, label in zip(axis.collections, axis.texts, (3, 5, 8), strict=True):
        np.testing.assert_array_equal(points.get_offsets(), z[labels == label])
        np.testing.assert_allclose(text.xy, np.median(z[labels == label], axis=0))
    assert len({tuple(points.get_facecolor()[0]) for points in axis.collections}) == 3


@pytest.mark.parametrize(("z", "labels"), [((5, 3), 5), ((5,), 5), ((5, 2), 4)])
def test_latents_that_cannot_be_scattered_are_refused(z, labels):
    with pytest.raises(ValueError, match="expected latents"):
        plotting.latent_scatter(np.zeros(z), np.zeros(labels))


def test_curves_count_epochs_from_one_and_are_named():
    series = {"a": [3.0, 2.0, 1.0], "b": [1.0, 5.0]}
    (axis,) = plotting.curves(series, "epoch", "nats", reference=-157.02).axes
    *drawn, reference = axis.lines
    for line, (name, values) in zip(drawn, series.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(values) + 1))
        np.testing.assert_array_equal(line.get_ydata(), values)
    np.testing.assert_array_equal(reference.get_ydata(), -157.02)
    assert [text.get_text() for text in axis.get_legend().texts] == ["a", "b", "published: -157.02"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("epoch", "nats")


# --- animations ---------------------------------------------------------------------------------------------------


@pytest.fixture
def frames() -> list[np.ndarray]:
    """Three frames of four images, each of another gray."""
    return [np.full((4, 6, 5, 1), 0.2 * (number + 1)) * np.array([1, 0, 1, 1]).reshape(4, 1, 1, 1)
            for number in range(3)]  # fmt: skip


def test_an_animation_has_a_frame_for_each_and_loops_for_ever(frames, tmp_path):
    path = plotting.animate(frames, tmp_path / "digits.gif", columns=2, seconds=0.4)
    assert path == tmp_path / "digits.gif"
    with Image.open(path) as gif:
        assert gif.n_frames == 3
        assert gif.info["loop"] == 0
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(gif)] == [400, 400, 1600]
        assert gif.size == (3 * 2 * 5, 3 * 2 * 6)
        for number, frame in enumerate(ImageSequence.Iterator(gif)):
            shades = np.asarray(frame.convert("L"), float) / 255
            expected = np.repeat(np.repeat(1 - plotting.tile(frames[number].reshape(2, 2, 6, 5, 1)), 3, 0), 3, 1)
            np.testing.assert_allclose(shades, expected, atol=1 / 255)
    assert plt.get_fignums() == []


PALETTE = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0.6, 0.2]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("count", [1, 3])
def test_an_animation_shows_colors_as_a_grid_shows_them(dtype, count, tmp_path):
    """Few colors, which fit into the palette of a frame: 256 entries, each exact."""
    colors = PALETTE[RNG.integers(len(PALETTE), size=(count, 4, 6, 5, 3))[..., 0]]
    frames = np.rint(255 * colors).astype(dtype) if dtype == np.uint8 else colors.astype(dtype)
    path = plotting.animate(list(frames), tmp_path / "colors.gif", columns=2)
    with Image.open(path) as gif:
        assert gif.n_frames == count
        for number, frame in enumerate(ImageSequence.Iterator(gif)):
            shown = np.asarray(frame.convert("RGB"))[1::3, 1::3]
            expected = 255 * plotting.tile(colors[number].reshape(2, 2, 6, 5, 3))
            np.testing.assert_allclose(shown, expected, atol=0.5)  # rounded to bytes
            for place, picture in zip(np.ndindex(2, 2), pictures(plotting.image_grid(frames[number])), strict=True):
                drawn = shown[6 * place[0] : 6 * place[0] + 6, 5 * place[1] : 5 * place[1] + 5]
                np.testing.assert_allclose(drawn, 255 * picture, atol=0.5)


@pytest.mark.parametrize("channels", [(), (1,)], ids=["no channels", "1 channel"])
def test_an_animation_of_bytes_is_that_of_grays(channels, tmp_path):
    levels = RNG.integers(0, 256, (3, 4, 6, 5, *channels), dtype=np.uint8)
    by_bytes = plotting.animate(list(levels), tmp_path / "bytes.gif", columns=2)
    by_grays = plotting.animate(list(levels / 255), tmp_path / "grays.gif", columns=2)
    assert by_bytes.read_bytes() == by_grays.read_bytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1)], ids=str)
@pytest.mark.parametrize("channels", [(), (1,), (3,)], ids=["no channels", "1 channel", "3 channels"])
def test_the_narrowest_animation_is_not_mistaken_for_channels(shape, channels, tmp_path):
    """One image of a pixel or a few: a picture three or four pixels wide is no picture of colors."""
    frames = [np.full((1, *shape, *channels), shade) for shade in (0.0, 1.0)]
    path = plotting.animate(frames, tmp_path / "narrow.gif", columns=1)
    with Image.open(path) as gif:
        assert gif.size == (3 * shape[1], 3 * shape[0])
        shown = [np.unique(np.asarray(frame.convert("L"))).tolist() for frame in ImageSequence.Iterator(gif)]
    assert shown == ([[0], [255]] if channels == (3,) else [[255], [0]])


@pytest.mark.parametrize("other", [(4, 6, 4, 1), (4, 6, 5, 3), (4, 6, 5), (8, 6, 5, 1)])
def test_frames_of_other_shapes_are_refused(frames, other, tmp_path):
    with pytest.raises(ValueError, match=r"expected frames of one shape, got \(.*\) and \("):
        plotting.animate([*frames, np.zeros(other)], tmp_path / "digits.gif", columns=2)
    assert not list(tmp_path.iterdir())


def test_an_animation_leaves_its_frames_as_they_are(frames, tmp_path):
    before = [frame.copy() for frame in frames]
    plotting.animate(frames, str(tmp_path / "digits.gif"))
    for frame, kept in zip(frames, before, strict=True):
        np.testing.assert_array_equal(frame, kept)


def test_grays_beyond_black_and_white_are_drawn_black_and_white(tmp_path):
    path = plotting.animate([np.array([-0.2, 1.2]).reshape(2, 1, 1, 1)], tmp_path / "one.gif", columns=2)
    with Image.open(path) as gif:
        np.testing.assert_array_equal(np.asarray(gif.convert("L"))[0], [255] * 3 + [0] * 3)


@pytest.mark.parametrize("name", ["digits.png", "digits"])
def test_an_animation_is_a_gif(frames, name, tmp_path):
    with pytest.raises(ValueError, match=r"ending in \.gif"):
        plotting.animate(frames, tmp_path / name)


def test_an_animation_needs_a_frame_and_full_rows(frames, tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        plotting.animate([], tmp_path / "digits.gif")
    for columns in (3, 8, 0):
        with pytest.raises(ValueError, match=f"expected images that fill rows of {columns}, got 4 in a frame"):
            plotting.animate(frames, tmp_path / "digits.gif", columns=columns)
    assert not list(tmp_path.iterdir())


def test_a_notebook_shows_figures_of_its_own_after_ours():
    cells = [
        "import matplotlib.pyplot as plt\nimport numpy as np\nfrom vaecourse import plotting",
        "plotting.image_grid(np.zeros((2, 4, 4)))",
        "plt.plot([1, 2])\nNone",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, kernel_name="python3").execute()
    for cell in notebook.cells[1:]:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs)


# --- the nats ruler -----------------------------------------------------------------------------------------------


def texts(figure: Figure) -> dict[str, tuple[float, float]]:
    """What is written on a ruler, on one line each, and where."""
    (axis,) = figure.axes
    return {" ".join(text.get_text().split()): text.get_position() for text in axis.texts}


def test_the_ruler_shows_every_mark_with_its_cost_on_its_side():
    written = texts(ruler.nats_ruler())
    for marks, side in ((ruler.THRESHOLDED, 1), (ruler.DRAWN, -1)):
        for mark in marks:
            assert side * written[f"{mark.name} {mark.cost:.1f}"][1] > 0
            assert mark.source
    assert plt.get_fignums() == []


def test_the_ruler_says_where_the_reader_is_and_shows_pictures():
    here = {"wide network": 99.25}
    pictures = {"wide network": IMAGES[0], "fair coins": np.zeros((3, 3), np.uint8)}
    before = ruler.nats_ruler(here)
    figure = ruler.nats_ruler(here, pictures)
    assert "you are here: wide network 99.2" in texts(figure)
    assert "you are here" not in " ".join(texts(ruler.nats_ruler()))
    assert len(figure.axes[0].artists) == len(before.axes[0].artists) + 2
    assert figure.get_figheight() > before.get_figheight()


@pytest.mark.parametrize(
    ("here", "images", "error", "message"),
    [
        ({"mine": -120.0}, None, ValueError, "expected a cost from 0 to 570 nats, got -120 for 'mine'"),
        ({"mine": 1e4}, None, ValueError, "got 10000 for 'mine'"),
        ({"mine": np.nan}, None, ValueError, "got nan for 'mine'"),
        ({"mine": 1.0}, {"yours": IMAGES[0]}, ValueError, "no mark for the picture of yours"),
        (None, {"fair coins": IMAGES}, ValueError, "expected at least one of images"),
        (None, {"fair coins": np.zeros((3, 3), int)}, TypeError, "got int64"),
    ],
)
def test_what_is_not_on_the_ruler_is_refused(here, images, error, message):
    with pytest.raises(error, match=message):
        ruler.nats_ruler(here, images)


@pytest.mark.parametrize(
    "costs", [[100.0], [100, 101, 102], [0, 300, 570], [5, 5, 5, 560], [90, 101, 148, 157, 206, 543]]
)
def test_labels_stand_apart_in_order_and_as_near_as_they_can(costs):
    places = ruler.spread(costs, gap=50)
    assert (np.diff(places) >= 50 - 1e-9).all()
    assert places.min() >= 25 - 1e-9
    assert places.max() <= 545 + 1e-9
    for _ in range(200):
        other = np.sort(RNG.uniform(25, 545, len(costs)))
        if (np.diff(other) >= 50).all():
            assert ((places - costs) ** 2).sum() <= ((other - costs) ** 2).sum() + 1e-9


def test_many_labels_stand_on_the_ruler_closer_to_each_other():
    places = ruler.spread(np.full(20, 100.0), gap=50)
    np.testing.assert_allclose(places, 570 / 20 * (np.arange(20) + 0.5))


def test_costs_are_found_by_name():
    assert ruler.cost("fair coins") == pytest.approx(543.43, abs=0.005)
    assert ruler.cost("2 latents, tutorial") == -recipes.get("tf-cvae").published
    assert isinstance(ruler.THRESHOLDED[0], ruler.Mark)
    with pytest.raises(ValueError, match="unknown mark 'dice'; there are fair coins, "):
        ruler.cost("dice")


def test_what_the_ruler_owes_to_a_chapter_is_what_the_chapter_printed():
    cells = chapters.code_cells(chapters.read(chapters.ROOT / "book" / "chapters" / "setup.ipynb"))
    printed = "\n".join(out.text for cell in cells for out in cell.outputs if out.output_type == "stream")
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", printed)]
    for mark in (*ruler.THRESHOLDED, *ruler.DRAWN):
        if mark.source == "setup":
            assert min(abs(number - mark.cost) for number in numbers) <= 0.06, mark
