"""Live figures as Python makes them: what they hold, what they refuse, and what they say that they left out."""

import base64
import gzip
import json
import re
import struct

import keras
import numpy as np
import pytest
from keras import layers
from live_figures import MADE, convolutional, figure, images, patients

from vaecourse import VAE, ConditionalVAE, FlowVAE, live, networks
from vaecourse.live import choosing, digits, drawing, export, frames, ladders, page, slips, stills
from vaecourse.live import layers as exported
from vaecourse.live.packing import packed, packed_images
from vaecourse.models.flows import CouplingFlow

each_figure = pytest.mark.parametrize("name", MADE)


def size_of(picture: bytes) -> tuple[int, int]:
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", picture[16:24])


def mlp(**options):
    return VAE(*networks.mlp(2, (16,), seed=0, **options))


@each_figure
def test_a_figure_displays_itself_in_three_ways(name):
    bundle = figure(name)._repr_mimebundle_()
    assert bundle.keys() == {"text/html", "image/png", "text/plain"}
    assert min(size_of(base64.b64decode(bundle["image/png"]))) > 20
    assert figure(name).title in bundle["text/plain"]
    assert bundle["text/html"].startswith("<figure")


@each_figure
def test_a_figure_needs_nothing_but_its_own_text(name):
    html = figure(name).html()
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert "fetch(" not in html
    assert "import " not in re.sub(r"/\*.*?\*/|//[^\n]*", "", html, flags=re.DOTALL)
    assert html.count("</script>") == 2, "the data end no script"


@each_figure
def test_a_saved_figure_is_one_whole_page_and_not_too_heavy(name, tmp_path):
    path = figure(name).save(tmp_path / "page.html")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert len(gzip.compress(text.encode())) < 300_000


def test_titles_and_captions_are_text_and_captions_may_have_links(tmp_path):
    shown = page.LiveFigure("epochs", "a < b", "c < d, [there](#there), [no](javascript:1)", {}, np.zeros((4, 4)))
    html = shown.html()
    assert "c &lt; d" in html
    assert '<a href="#there">there</a>' in html
    assert "[no](javascript:1)" in html
    assert "<title>a &lt; b</title>" in shown.save(tmp_path / "a.html").read_text(encoding="utf-8")


def test_figures_of_one_version_share_their_scripts():
    versions = {re.search(r'data-version="(\w+)"', figure(name).html())[1] for name in MADE}
    assert versions == {page.version()}


def test_a_still_shows_ink_as_black():
    picture = np.zeros((30, 40))
    picture[5:10] = 1
    assert size_of(stills.png(picture)) == (40, 30)
    assert stills.tiles(np.ones((3, 2, 2, 1)), 2).sum() == 12
    assert stills.tiles(np.ones((1, 2, 2, 3)), 1).sum() == 0, "white is no ink in a photograph"
    assert stills.curves(np.arange(3.0), [np.array([0.0, 1, 0])]).max() == 1


def unsupported(*extra):
    encoder, _ = networks.mlp(2, (16,), seed=0)
    parts = [keras.Input((2,)), layers.Dense(784), *extra, layers.Reshape((28, 28, 1))]
    return VAE(encoder, keras.Sequential(parts))


def bent():
    encoder, decoder = networks.mlp(2, (8,), seed=0)
    return FlowVAE(encoder, decoder, CouplingFlow(2))


def poisoned():
    vae = mlp()
    vae.decoder.layers[0].bias.assign(np.full(16, np.nan))
    return vae


REFUSED = {
    "no model": (lambda x, y: live.latent_plane({}, x, y), "at least one model"),
    "an unsupported layer": (
        lambda x, y: live.latent_plane(unsupported(layers.LayerNormalization()), x, y),
        "LayerNorm",
    ),
    "an unsupported activation": (
        lambda x, y: live.latent_plane(unsupported(layers.Activation("mish")), x, y),
        "activation 'mish'",
    ),
    "weights that are NaN": (lambda x, y: live.latent_plane(poisoned(), x, y), "NaN or infinite"),
    "no labels": (lambda x, y: live.latent_plane(mlp(), x, None), "integer labels, one for each image; got none"),
    "labels of another length": (lambda x, y: live.latent_plane(mlp(), x, y[:-1]), "integer labels"),
    "labels that are no integers": (lambda x, y: live.draw_a_digit(mlp(), x, y / 2), "integer labels"),
    "images of another shape": (lambda x, y: live.latent_plane(mlp(), x[:, :14], y), "28"),
    "grays for a model of bits": (lambda x, y: live.draw_a_digit(mlp(), 0.5 * x, y), "grays in between"),
    "one latent": (lambda x, y: live.latent_plane(VAE(*networks.mlp(1, (8,), seed=0)), x, y), "two latents"),
    "color to draw on": (
        lambda x, y: live.draw_a_digit(mlp(image_shape=(8, 8, 3)), np.zeros((10, 8, 8, 3), "float32"), y[:10]),
        "one channel of gray",
    ),
    "a bent posterior": (lambda x, y: live.latent_plane(bent(), x, y), "bent"),
    "a model of digits without labels": (lambda x, y: live.digit_lab(mlp(), x, y), "told one of"),
    "a single β": (lambda x, y: live.beta_lab({1.0: mlp()}, x), "from 2 to 12 models"),
    "NaN at one β": (lambda x, y: live.beta_lab({1.0: mlp(), 2.0: poisoned()}, x), "NaN or infinite"),
    "one epoch": (lambda x, y: live.epochs(x[None]), "at least two epochs"),
    "too many pixels": (lambda x, y: live.epochs(np.zeros((40, 60, 28, 28, 1))), "too many for a page"),
    "names that do not fit": (lambda x, y: live.epochs(np.zeros((3, 4, 8, 8, 1)), ["a"]), "a name for each"),
    "one patient": (lambda x, y: live.which_slip({"a": mlp()}, {"a": x}, {"a": "b"}), "at least two models"),
    "no history": (
        lambda x, y: live.which_slip({"a": mlp(), "b": mlp()}, {"a": x, "b": x}, {"a": "1", "b": "2"}),
        "no history",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_what_no_page_can_hold_is_refused_before_one_is_made(wrong):
    x, _, y = images()
    make, words = REFUSED[wrong]
    with pytest.raises((ValueError, TypeError), match=words):
        make(x, y)


def test_too_much_of_anything_is_refused(monkeypatch):
    x, grays, y = images()
    monkeypatch.setattr(ladders, "MOST_MODELS", 2)
    with pytest.raises(ValueError, match="from 2 to 2 models, got 3"):
        live.beta_lab({beta: mlp() for beta in (0.0, 1.0, 2.0)}, x)
    monkeypatch.setattr(digits, "MOST_CLASSES", 9)
    told = ConditionalVAE(*networks.mlp(2, (8,), classes=10, conditional=True, seed=0))
    with pytest.raises(ValueError, match="one of 2 to 9 classes"):
        live.digit_lab(told, grays, y)
    monkeypatch.setattr(frames, "MOST_PIXELS", 100)
    with pytest.raises(ValueError, match="takes 100"):
        live.epochs(np.zeros((2, 4, 8, 8, 1)))


def test_layers_that_do_nothing_outside_of_training_are_passed_by():
    assert {layers.Dropout, layers.Flatten} < set(exported.IDENTITIES)


def test_what_is_no_vae_is_refused():
    x, _, y = images()
    with pytest.raises(TypeError, match="VAE\\(encoder, decoder\\)"):
        live.latent_plane(mlp().decoder, x, y)
    told = ConditionalVAE(*networks.mlp(2, (8,), classes=10, conditional=True, seed=0))
    for make in (live.latent_plane, live.draw_a_digit):
        with pytest.raises(ValueError, match="label"):
            make(told, images()[1], y)


def test_layers_without_a_graph_and_too_many_weights_are_refused(monkeypatch):
    class Written(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="no graph of layers"):
        export.network(Written())
    monkeypatch.setattr(export, "MOST_WEIGHTS", 100)
    with pytest.raises(ValueError, match="takes at most 100"):
        export.network(mlp().decoder)
    for layer in (layers.Conv2D(2, 3, groups=2), layers.Conv2D(2, 3, dilation_rate=2)):
        model = keras.Sequential([keras.Input((8, 8, 2)), layer])
        with pytest.raises(ValueError, match="dilated or has groups"):
            exported.node_of(model.layers[0], [(8, 8, 2)], (6, 6, 2))


def test_a_class_that_draws_in_its_own_way_is_refused():
    class Doubled(VAE):
        def reparameterize(self, mean, logvar, eps):
            return mean + 2 * eps

    with pytest.raises(ValueError, match="draws neither"):
        export.described(Doubled(*networks.mlp(2, (8,), seed=0)))


def test_a_hundred_thousand_images_are_reduced_and_the_caption_says_so():
    x, _, y = images()
    many = np.lib.stride_tricks.as_strided(x, (100_000, *x.shape[1:]), (0, *x.strides[1:]))
    made = live.latent_plane(mlp(), many, np.resize(y, 100_000))
    assert f"Codes of {choosing.MOST_CODES} of 100,000 images; {choosing.MOST_IMAGES} can be chosen" in made.caption
    assert len(made.data["labels"]) == choosing.MOST_CODES


def test_many_epochs_are_thinned_and_the_caption_says_so():
    made = live.epochs(np.zeros((100, 2, 8, 8, 1)), columns=2)
    assert len(made.data["frames"]) == frames.MOST_FRAMES
    assert (made.data["names"][0], made.data["names"][-1]) == ("epoch 0", "epoch 99")
    assert "60 of 100 epochs" in made.caption


def test_every_label_comes_once_before_one_comes_twice():
    labels = np.array([3, 3, 3, 1, 1, 2])
    assert labels[choosing.alternating(labels, np.arange(6))].tolist() == [1, 2, 3, 1, 3, 3]
    assert choosing.checked_labels(np.uint8([1, 2]), 2).tolist() == [1, 2]


def test_one_model_is_called_vae_and_several_by_their_names():
    vae = mlp()
    assert choosing.by_name(vae) == {"VAE": vae}
    assert choosing.by_name({"first": vae}) == {"first": vae}
    with pytest.raises(ValueError, match="at least one model, got none"):
        choosing.by_name({})


def test_the_caption_says_which_model_and_how_long_it_was_trained():
    vae = mlp()
    vae.compile("adam")
    vae.fit(images()[0], epochs=2, verbose=0)
    words = export.summary(vae)
    assert words.startswith("VAE with 2 latents, Bernoulli likelihood")
    assert words.endswith("2 epochs of training")


def test_a_drawing_is_compared_with_the_bounds_of_images():
    made = figure("draw_a_digit")
    low, middle, high = made.data["elbos"]
    assert -700 < low < middle < high < -450, "an untrained model takes every pixel for a coin: 543 nats"
    assert made.data["examples"]["shape"][0] == drawing.EXAMPLES


def test_a_quiz_names_the_right_slip_among_the_answers_and_shows_measurements():
    data = figure("which_slip").data
    models, _ = patients()
    assert sorted(one["name"] for one in data["patients"]) == sorted(models)
    for one in data["patients"]:
        assert one["name"] in one["answers"]
        assert len(set(one["answers"])) == slips.CHOICES
        assert set(one["answers"]) <= data["slips"].keys()
        assert {words for words, _ in one["hints"]} <= set(slips.MEASUREMENTS.values())
    twice = next(one for one in data["patients"] if one["name"] == "kl twice")
    assert "kl weight doubled" in [name for name, *_ in twice["report"]]
    assert len(twice["curves"]["loss"]) == 2


def test_rates_and_distortions_are_those_of_the_models():
    made = figure("beta_lab")
    step = made.data["steps"][1]
    assert made.data["images"]["shape"][0] == ladders.SHOWN == slips.SHOWN
    assert ladders.MOST_IMAGES == 2000
    assert step["beta"] == 1.0
    assert step["rate"][0] == pytest.approx(sum(step["latents"]), rel=1e-3)
    assert 500 < step["distortion"][0] < 600


def test_numbers_that_no_page_can_hold_are_refused():
    for values, kind, words in (
        ([np.nan], "float32", "NaN"),
        ([1e6], "float16", "float16 holds"),
        ([2.0], "bytes", r"in \[0, 1\]"),
        ([0.0], "floats", "expected one of"),
    ):
        with pytest.raises(ValueError, match=words):
            packed(values, kind)
    assert packed_images(np.zeros((1, 2, 2, 1)))["kind"] == "bits"
    assert packed_images(np.full((1, 2, 2, 1), 0.5))["kind"] == "bytes"


def test_the_data_of_a_page_are_json_that_ends_no_script():
    shown = page.LiveFigure("epochs", "t", "", {"words": "</script><b>"}, np.zeros((4, 4)))
    content = re.search(r'<script type="application/json">(.*?)</script>', shown.html(), re.DOTALL)[1]
    assert json.loads(content)["words"] == "</script><b>"


def test_a_model_is_described_by_its_parts():
    spec = export.described(convolutional(), encoder=True)
    assert {"encoder", "decoder"} <= spec.keys()
    assert spec["likelihood"] == export.of_likelihood(convolutional().likelihood, 1)
    assert spec["drawn"] == "half"
    assert list(export.DRAWN) == ["half", "full", "point", "value"]
