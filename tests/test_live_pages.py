"""Every live figure in a real browser, from a file: pointer, touch, keyboard, dark, a phone, and not one request."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from live_figures import MADE, convolutional, figure

from tools import pdf
from vaecourse.live import page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is not installed")


def found_browser() -> str | None:
    """Return the browser of the machine, or else the one that playwright has installed."""
    with contextlib.suppress(FileNotFoundError):
        return pdf.browser()
    with playwright.sync_playwright() as driver:
        return driver.chromium.executable_path if Path(driver.chromium.executable_path).exists() else None


BROWSER = found_browser()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine: live pages not tried")

each_figure = pytest.mark.parametrize("name", MADE)
PAGE = '<!doctype html><html lang="en"><head><title>All</title>{head}</head><body><main>{body}</main></body></html>'
PHONE = {"viewport": {"width": 390, "height": 800}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Return a page that holds all figures."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    head += "<style>body{margin:8px}</style>"
    path = tmp_path_factory.mktemp("pages") / "all.html"
    body = "<h1>All</h1>" + "".join(figure(name).html() for name in MADE)
    path.write_text(PAGE.format(head=head, body=body), encoding="utf-8")
    return path


class Opened:
    """A page, and what it said and asked for."""

    def __init__(self, browser, path, **options):
        self.page = browser.new_context(**options).new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def figure(self, name):
        """Scroll to a figure, and wait until it runs."""
        found = self.page.locator(f".vl[data-figure={name}]")
        found.scroll_into_view_if_needed()
        self.page.wait_for_selector(f".vl[data-figure={name}][data-state=running]")
        self.page.wait_for_function(_HAS_DRAWN, arg=name)
        return found

    def words(self, name):
        return self.page.locator(f".vl[data-figure={name}]").first.evaluate(_WORDS)

    def settled(self, name):
        """Return what a figure says when it has been the same for a fifth of a second."""
        before, words = None, self.words(name)
        while words != before:
            self.page.wait_for_timeout(200)
            before, words = words, self.words(name)
        return words

    def changes(self, name, before):
        """Wait until a figure says something else."""
        differs = f"([name, before]) => {{ {_FIND} return ({_WORDS})(found) !== before; }}"
        self.page.wait_for_function(differs, arg=[name, before], timeout=10_000)


_FIND = 'const found = document.querySelector(`.vl[data-figure="${name}"]`);'
_WORDS = """(found) => {
    const set = [...found.querySelectorAll("output, .vl-words")].map((one) => one.textContent);
    return set.join(" ");
}"""
_CORNER = """(found) => {
    const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    copy.drawImage(found.querySelector("canvas"), 0, 0);
    return copy.getImageData(2, 2, 1, 1).data[0];
}"""
_HAS_DRAWN = f"(name) => {{ {_FIND} return found.querySelector('.vl-stage').frameTimes?.length > 0; }}"


@pytest.fixture(scope="module")
def desktop(browser, together):
    return Opened(browser, together, viewport={"width": 1000, "height": 800})


@pytest.fixture(scope="module")
def phone(browser, together):
    return Opened(browser, together, reduced_motion="reduce", **PHONE)


def test_nothing_runs_before_it_is_seen(browser, together):
    opened = Opened(browser, together, viewport={"width": 1000, "height": 300})
    opened.page.wait_for_selector(".vl[data-figure=latent_plane][data-state=running]")
    states = [opened.page.locator(f".vl[data-figure={name}]").get_attribute("data-state") for name in MADE]
    assert states[0] == "running"
    assert set(states[3:]) == {"waiting"}


def at(canvas, across, down):
    box = canvas.bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


CHOICES = (
    ".vl-answers button:not([disabled]), .vl-thumbs button, input[type=radio]:not(:checked), button:not([disabled])"
)


@each_figure
def test_a_pointer_moves_it(desktop, name):
    canvas, before = desktop.figure(name).locator("canvas.vl-drag"), desktop.words(name)
    if canvas.count():
        canvas.first.scroll_into_view_if_needed()
        desktop.page.mouse.move(*at(canvas.first, 0.2, 0.7))
        desktop.page.mouse.down()
        before = desktop.settled(name)
        desktop.page.mouse.move(*at(canvas.first, 0.9, 0.4), steps=4)
        desktop.page.mouse.up()
    else:
        desktop.figure(name).locator(CHOICES).first.click()
    desktop.changes(name, before)
    assert desktop.said == []


@each_figure
def test_a_key_moves_it(desktop, name):
    found = desktop.figure(name)
    canvas, before = found.locator("canvas.vl-drag"), desktop.settled(name)
    if canvas.count():
        canvas.first.focus()
    elif name in ("gradient_lab", "epochs"):
        found.locator("input[type=range]").first.focus()
    else:
        buttons = found.locator(CHOICES)
        (buttons.last if name == "digit_lab" else buttons.first).focus()
    for key in ("Space", "ArrowUp", "ArrowUp") if name == "draw_a_digit" else ("Enter", "ArrowLeft", "ArrowRight"):
        desktop.page.keyboard.press(key)
        if desktop.settled(name) != before:
            break
    desktop.changes(name, before)
    assert desktop.said == []


@each_figure
def test_a_finger_moves_it_on_a_phone(phone, name):
    canvas, before = phone.figure(name).locator("canvas.vl-drag"), phone.words(name)
    if canvas.count():
        canvas.first.scroll_into_view_if_needed()
        phone.page.touchscreen.tap(*at(canvas.first, 0.2, 0.7))
        before = phone.settled(name)
        phone.page.touchscreen.tap(*at(canvas.first, 0.9, 0.4))
    else:
        phone.figure(name).locator(CHOICES).first.tap()
    phone.changes(name, before)
    assert phone.said == []


def test_no_page_pans_on_a_phone_and_targets_are_large_enough(phone):
    for name in MADE:
        found = phone.figure(name)
        assert found.bounding_box()["width"] <= 390
        sizes = found.locator("button, select, input[type=range], label:has(input[type=radio])").evaluate_all(
            "(all) => all.filter((one) => one.offsetParent).map((one) => one.getBoundingClientRect().height)"
        )
        assert min(sizes, default=40) >= 24, name
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_reduced_motion_climbs_at_once(phone):
    found = phone.figure("bound_by_hand")
    found.get_by_role("button", name="Climb").tap()
    phone.page.wait_for_timeout(300)
    first = phone.words("bound_by_hand")
    phone.page.wait_for_timeout(300)
    assert phone.words("bound_by_hand") == first


def test_a_slider_says_its_epoch_and_claims_nothing_about_the_pictures(desktop):
    slider = desktop.figure("epochs").locator("input[type=range]")
    slider.focus()
    desktop.page.keyboard.press("Home")
    assert "8 pictures, epoch 0." in desktop.settled("epochs")


@pytest.mark.parametrize(("attribute", "value"), [("data-theme", "dark"), ("data-theme", "light")])
def test_the_switch_of_the_page_turns_it_dark_and_light(desktop, attribute, value):
    desktop.page.evaluate("([name, value]) => document.documentElement.setAttribute(name, value)", [attribute, value])
    for name in ("bound_by_hand", "pixel_lab"):
        desktop.figure(name)
        turned = f"(name) => {{ {_FIND} return ({_CORNER})(found) {'<' if value == 'dark' else '>'} 128; }}"
        desktop.page.wait_for_function(turned, arg=name, timeout=10_000)


def test_nothing_was_asked_for_and_nothing_was_said(desktop, phone):
    for opened in (desktop, phone):
        assert opened.said == []
        assert [url for url in opened.asked if not url.startswith(("data:", "blob:"))] == opened.asked[:1]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_shut_out(desktop, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    desktop.page.evaluate("(theme) => document.documentElement.setAttribute('data-theme', theme)", theme)
    for name in MADE:
        desktop.figure(name)
    found = axe.Axe().run(desktop.page, context=".vl").response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def decoded(browser, path):
    """Return what the model of the first figure decodes in a browser, at 20 places."""
    opened = Opened(browser, path)
    return opened.page.evaluate(
        """(z) => {
            const live = vaecourseLive, given = document.querySelector(".vl script[type='application/json']");
            const data = live.unpack(JSON.parse(given.textContent));
            const vae = live.part("models").model(data.model || data.models[0]);
            return z.map((one) => Array.from(vae.image(one)));
        }""",
        PLACES.tolist(),
    )


PLACES = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")


def test_a_browser_decodes_as_keras_does_and_a_line_undone_is_noticed(browser, tmp_path):
    expected = np.reshape(convolutional().decode(PLACES).mean(), (20, -1))
    path = figure("draw_a_digit").save(tmp_path / "draw.html")
    np.testing.assert_allclose(decoded(browser, path), expected, atol=1e-3)
    line = "for (let i = 0; i < out.length; i++) if (out[i] < 0) out[i] = 0;"
    text = path.read_text(encoding="utf-8")
    assert text.count(line) == page.script("engine.js").count(line) == 1
    path.write_text(text.replace(line, ""), encoding="utf-8")
    assert np.abs(decoded(browser, path) - expected).max() > 0.01


def test_without_javascript_the_still_is_seen(browser, tmp_path):
    path = figure("bound_by_hand").save(tmp_path / "bound.html")
    opened = Opened(browser, path, java_script_enabled=False)
    assert opened.page.locator(".vl-still").bounding_box()["height"] > 100
