"""Draws docs/pictures/demo.png, a picture of the page of `byhand demo` with a digit on it.

    python tools/draw_demo.py runs/lenet5

The script needs Debian's package chromium, and playwright from PyPI. It opens the page in Chromium,
draws a 5 with the mouse and taps on a value of a feature map.
`--out FOLDER` also takes pictures of the whole page for the eye: desktop.png, dark.png, phone.png.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from byhand.demo import Reader, application, listen
from byhand.files.atomic import write_atomic
from byhand.models import load
from byhand.training.run_folder import RunFolder
from PIL import Image

TARGET = Path(__file__).parents[1] / "docs" / "pictures" / "demo.png"
# A 5 in the units of the canvas, which is 300 x 200.
# fmt: off
STROKES = [
    [(128, 46), (126, 74), (124, 92), (146, 84), (166, 92), (174, 112), (166, 138), (146, 150),
     (126, 148), (114, 140)],
    [(128, 46), (150, 44), (174, 42)],
]
# fmt: on
LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1180, "height": 900}},
    "dark": {"viewport": {"width": 1180, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2},
}


def serve(model: Path) -> str:
    """Serve the page in another thread. Return its address."""
    import uvicorn

    path = RunFolder(model).choose(None).path if model.is_dir() else model
    opened = listen(0)
    app = application(Reader(load(path), str(model)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    threading.Thread(target=server.run, args=([opened],), daemon=True).start()
    return f"http://127.0.0.1:{opened.getsockname()[1]}/"


def picture(browser: Any, address: str, look: dict[str, Any]) -> Image.Image:
    """Draw a digit, choose a value of a feature map, and take a picture of the whole page."""
    page = browser.new_context(**look).new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    box = page.locator("#pad").bounding_box()
    scale = box["width"] / 300
    for points in STROKES:
        for i, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + scale * x, box["y"] + scale * y, steps=4)
            if i == 0:
                page.mouse.down()
        page.mouse.up()
    page.wait_for_selector("#explanation")
    page.locator(".stage").nth(1).locator(".output").nth(47).click(position={"x": 8, "y": 8})
    page.wait_for_selector(".planes")
    page.mouse.move(0, 0)
    page.evaluate("document.getElementById('speed').textContent = ''")  # differs each time
    page.wait_for_timeout(1000)
    return Image.open(io.BytesIO(page.screenshot(full_page=True)))


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="a run folder or a .safetensors file")
    parser.add_argument("--out", type=Path, help="folder for pictures of the whole page")
    options = parser.parse_args()
    address = serve(options.model)
    chromium = shutil.which("chromium")
    if chromium is None:
        parser.error("Chromium is not installed: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for name, look in LOOKS.items():
            if name == "desktop" or options.out is not None:
                image = picture(browser, address, look)
                if options.out is not None:
                    options.out.mkdir(exist_ok=True)
                    image.save(options.out / f"{name}.png")
                if name == "desktop":
                    write_atomic(TARGET, small(image))
        browser.close()


def small(image: Image.Image) -> bytes:
    """Return the upper part of the page at two thirds of its size, with 128 colours, as PNG."""
    part = image.convert("RGB").crop((0, 0, image.width, 860))
    part = part.resize((part.width * 2 // 3, part.height * 2 // 3), Image.Resampling.LANCZOS)
    part.quantize(128, dither=Image.Dither.NONE).save(file := io.BytesIO(), "PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    main()
