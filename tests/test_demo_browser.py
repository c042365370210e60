"""The page of `byhand demo` in a real browser: Chromium without a window, driven by Playwright.

The tests need Debian's package chromium, and playwright and axe-playwright-python from PyPI.
"""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from byhand.models import lenet5, mlp
from byhand.pictures.drawings import drawing
from cli_support import run
from demo_client import serving
from strokes import Points, placed

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 300, 200  # of the drawing, in the units of pad.js
DESKTOP = {"width": 1240, "height": 900}
PHONE = {"width": 360, "height": 740}


def address_of(model: Any, folder: Path) -> Iterator[str]:
    model.save(folder / "model.safetensors")
    with serving(folder / "model.safetensors") as (_, _, address):
        yield address


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page with a LeNet-5 that is not trained."""
    yield from address_of(lenet5(), tmp_path_factory.mktemp("lenet5"))


class Page:
    """An open page. Its errors, and its requests to other hosts, fail the test."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)  # the machine may be busy
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]")
        self.address = address

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert not self.errors
            assert all(url.startswith(self.address) for url in self.requests)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true.

        Playwright's own method would evaluate text in the page, which the page forbids.
        """
        end = time.monotonic() + 60
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)

    def on_screen(self, point: tuple[float, float]) -> tuple[float, float]:
        box = self.page.locator("#pad").bounding_box()
        scale = box["width"] / WIDTH
        return box["x"] + scale * point[0], box["y"] + scale * point[1]

    def draw(self, strokes: list[Points]) -> None:
        """Draw with the mouse, and wait for the answer."""
        for points in strokes:
            self.page.mouse.move(*self.on_screen(points[0]))
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*self.on_screen(point))
            # Otherwise the answer to an earlier stroke would end the wait below.
            self.page.evaluate("document.getElementById('status').textContent = ''")
            self.page.mouse.up()
        self.wait_for("document.getElementById('status').textContent.startsWith('Read ')")

    def ink(self) -> int:
        """Return the number of painted pixels of the canvas."""
        return int(
            self.page.evaluate(
                """() => { const pad = document.getElementById("pad");
                const { data } = pad.getContext("2d").getImageData(0, 0, pad.width, pad.height);
                return data.filter((value, i) => i % 4 === 3 && value > 0).length; }"""
            )
        )


FIVE = placed(5, 110, 35, 120)

# --------------------------------------------------------------------------------------------------
# Digits are read

HEIGHTS, PENS = (60, 100, 150), (8, 13, 20)
READ = """async (drawings) => {
  const { Pad } = await import("/pad.js");
  const { post } = await import("/server.js");
  const pad = new Pad(document.createElement("canvas"), () => {});
  const answers = [];
  for (const strokes of drawings) {
    pad.drawings = [strokes];
    pad.repaint();
    const { symbols } = await post("/api/drawing?height=200&width=300", pad.ink());
    answers.push(symbols.map(({ answer }) => answer).join(""));
  }
  return answers;
}"""


def test_digits_of_all_sizes_at_all_places_are_read(
    browser: Any, mnist: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LeNet-5 after three epochs reads at least 98 % of 810 drawings, and every clear one."""
    run("train", "lenet5", "--epochs", 3, "--out", tmp_path / "run")
    with serving(tmp_path / "run") as (_, _, address), Page(browser, address) as page:
        cases = list(itertools.product(range(10), HEIGHTS, PENS, range(3), range(3)))
        drawings = []
        for digit, height, pen, i, j in cases:
            left = 12 + i / 2 * (WIDTH - 24 - 0.6 * height)
            top = 12 + j / 2 * (HEIGHT - 24 - height)
            strokes = placed(digit, left, top, height)
            drawings.append([{"pen": pen, "points": points} for points in strokes])
        answers = page.page.evaluate(READ, drawings)
        wrong = [
            (*case, answer)
            for case, answer in zip(cases, answers, strict=True)
            if answer != str(case[0])
        ]
        assert len(wrong) <= 0.02 * len(cases), wrong
        times = []
        for digit in range(10):
            page.draw(placed(digit, 110, 35, 120))
            assert page.text("#digits") == str(digit)
            assert page.text("#status").startswith(f"Read {digit}, ")
            entries = "performance.getEntriesByName('answer').map(({ duration }) => duration)"
            times.append(page.page.evaluate(entries)[-1])
            page.page.click("#clear")
            page.wait_for("document.getElementById('status').textContent === ''")
    with capsys.disabled():
        print(
            f"\n{len(cases) - len(wrong)} of {len(cases)} drawings read; an answer after the end "
            f"of a stroke: median {np.median(times):.0f} ms, fastest {min(times):.0f} ms"
        )


def test_several_digits_in_a_row(browser: Any, untrained: str) -> None:
    """Each is a button that chooses whose details are shown."""
    with Page(browser, untrained) as page:
        page.draw([*placed(7, 20, 40, 110), *placed(1, 130, 40, 110), *placed(2, 210, 40, 110)])
        page.wait_for("document.querySelectorAll('#digits button').length === 3")
        buttons = page.page.locator("#digits button")
        pressed = [buttons.nth(i).get_attribute("aria-pressed") for i in range(3)]
        assert sorted(pressed) == ["false", "false", "true"]
        other = pressed.index("false")
        buttons.nth(other).press("Enter")
        assert buttons.nth(other).get_attribute("aria-pressed") == "true"
        assert page.text("#sentence").startswith(f"Symbol {other + 1} of 3 is selected")


def test_clear_undo_and_upload(browser: Any, untrained: str) -> None:
    with Page(browser, untrained) as page:
        page.draw(FIVE)
        full = page.ink()
        page.page.click("#undo")
        assert 0 < page.ink() < full
        page.page.click("#clear")
        assert page.ink() == 0
        assert page.text("#sentence") == "Draw one digit, or several in a row."
        page.page.keyboard.press("Control+z")
        assert 0 < page.ink() < full
        drawing(4).save(file := io.BytesIO(), "PNG")
        four = {"name": "4.png", "mimeType": "image/png", "buffer": file.getvalue()}
        page.page.set_input_files("#upload", four)
        page.wait_for("document.querySelector('.found')?.width > 0")
        page.page.wait_for_selector("text=Only the ink inside the frame is kept")
        page.page.set_input_files("#upload", {**four, "buffer": b"no picture"})
        page.wait_for("document.getElementById('problem').textContent.includes('not a picture')")
        page.errors.clear()  # the console notes the status 400
        page.draw(FIVE)
        assert page.text("#problem") == ""


# --------------------------------------------------------------------------------------------------
# Feature maps


def numbers(text: str) -> list[float]:
    return [float(word.replace("\u2212", "-")) for word in text.split()]


def test_a_tap_on_a_feature_map_explains_the_value(browser: Any, untrained: str) -> None:
    with Page(browser, untrained) as page:
        page.draw(FIVE)
        page.page.wait_for_selector("#explanation")
        maps = page.page.locator(".stage").nth(1).locator(".output")
        assert maps.count() == 50
        box = maps.nth(7).bounding_box()
        # The value at row 2 and column 5 of 8 x 8.
        place = {"x": (5.5 / 8) * box["width"], "y": (2.5 / 8) * box["height"]}
        maps.nth(7).click(position=place)
        page.wait_for("document.querySelectorAll('.planes button').length === 20")
        fields = {
            name: page.page.locator(f"#position [name={name}]").input_value()
            for name in ("stage", "channel", "row", "column")
        }
        assert fields == {"stage": "1", "channel": "7", "row": "2", "column": "5"}
        tables = page.page.locator("#formula table")
        patch, weights, products, window = (
            np.array(numbers(tables.nth(i).inner_text())) for i in range(4)
        )
        # The page shows two decimals.
        assert np.allclose(patch * weights, products, atol=0.01 * (1 + np.abs(patch).max()))
        planes = numbers(page.text(".planes"))
        total, bias, value = (
            numbers(page.page.locator("#formula .equation").nth(0).locator("b").nth(i).inner_text())
            for i in range(3)
        )
        assert abs(sum(planes) - total[0]) < 0.11 and abs(total[0] + bias[0] - value[0]) < 2e-4
        assert abs(window - value[0]).min() < 0.006 and len(window) == 4
        last = page.page.locator("#formula .equation").last.inner_text()
        assert last.startswith("max(0, ")


def test_the_fields_choose_a_value_by_keyboard(browser: Any, untrained: str) -> None:
    with Page(browser, untrained) as page:
        page.draw(FIVE)
        page.page.wait_for_selector("#explanation")  # a hidden field takes no focus
        row = page.page.locator("#position [name=row]")
        row.focus()
        page.page.keyboard.press("Control+a")
        page.page.keyboard.type("3")
        before = page.text("#formula")
        page.page.keyboard.press("ArrowUp")
        assert row.input_value() == "4"
        page.wait_for(f"document.getElementById('formula').innerText !== {json.dumps(before)}")
        page.page.locator("#position [name=stage]").select_option("1")
        page.wait_for("document.querySelectorAll('.planes button').length === 20")


def test_a_model_without_convolutions(browser: Any, tmp_path: Path) -> None:
    for address in address_of(mlp((8,)), tmp_path):
        with Page(browser, address) as page:
            page.draw(FIVE)
            assert "This model has no convolution" in page.text("#maps-text")
            assert not page.page.locator(".stage").count()
            assert not page.page.locator("#explanation").is_visible()


# --------------------------------------------------------------------------------------------------
# Phones, accessibility, no network


def touch(session: Any, kind: str, points: list[tuple[float, float]]) -> None:
    spots = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})


def test_a_finger_draws_on_a_phone(browser: Any, untrained: str) -> None:
    """A stroke never scrolls the page, and a second finger neither draws nor ends the stroke."""
    phone = {"viewport": PHONE, "is_mobile": True, "has_touch": True}
    with Page(browser, untrained, **phone) as page:
        session = page.context.new_cdp_session(page.page)
        points = [page.on_screen((150, 20 + 16 * i)) for i in range(10)]
        touch(session, "touchStart", points[:1])
        for point in points[1:5]:
            touch(session, "touchMove", [point])
        drawn = page.ink()
        assert drawn > 0
        second = page.on_screen((40, 40))
        touch(session, "touchStart", [points[5], second])
        touch(session, "touchMove", [points[6], page.on_screen((40, 150))])
        assert page.ink() < 2 * drawn
        for point in points[7:]:
            touch(session, "touchMove", [point])
        touch(session, "touchEnd", [])
        page.wait_for("document.getElementById('status').textContent.startsWith('Read ')")
        assert page.page.evaluate("scrollY") == 0
        page.page.wait_for_selector("#explanation")
        for width in (320, 360, 414):
            page.page.set_viewport_size({"width": width, "height": 740})
            assert page.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(
    browser: Any, untrained: str, scheme: str, viewport: dict[str, int]
) -> None:
    """The page is checked empty, with one digit, and with several digits and an explanation."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with Page(browser, untrained, color_scheme=scheme, viewport=viewport) as page:

        def check() -> None:
            found = axe.Axe().run(page.page)
            assert found.violations_count == 0, found.generate_report()

        check()
        page.draw(FIVE)
        page.page.wait_for_selector("#explanation")
        check()
        page.draw(placed(1, 230, 35, 120))
        page.page.locator("#position [name=stage]").select_option("1")
        page.wait_for("document.querySelectorAll('.planes button').length === 20")
        check()


def test_the_page_says_that_the_server_has_ended(browser: Any, tmp_path: Path) -> None:
    lenet5().save(tmp_path / "model.safetensors")
    with serving(tmp_path / "model.safetensors") as (process, _, address):
        page = Page(browser, address)
        page.draw(FIVE)
        process.kill()
        process.wait()
        page.page.click("#undo")
        page.wait_for("document.getElementById('problem').textContent.includes('byhand demo')")
        page.context.close()
