"""The exported page in headless Chromium, beside Python: the same answers, few bytes, and messages for what fails."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from small_models import shared_squeezenet

from benchmarks import c_decoder
from benchmarks.browser import Browser, chromium, served
from compress import container
from compress.builtin_models import find_model
from compress.data.package_files import package_file
from compress.data.samples import PHOTOS
from compress.data.transforms import read_photo
from compress.errors import ConfigError, FormatError
from compress.evaluation.evaluate import predict_photos
from compress.export.web import write_web_page
from compress.networks.preprocessing_options import PreprocessingOptions
from compress.weights.user_network import UserNetwork

ROOT = Path(__file__).parents[2]
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WRITTEN = {
    "index.html", "style.css", "page.js", "squeeze.js", "squeeze.d.ts", "worker.js", "squeeze.wasm.gz", "model.sqz",
}  # fmt: skip
TOP5 = "[...document.querySelectorAll('#classes li')].map(row => [...row.children].slice(0, 2).map(e => e.textContent))"
SPOKEN = "document.querySelector('#spoken').textContent"
ERROR = "document.querySelector('#error').textContent"
READY = "document.body.dataset.ready"
CLASSIFY = """
const { load } = await import("./squeeze.js");
const network = await load("model.sqz"), answers = [];
for (const name of arguments[0]) answers.push((await network.classify(await (await fetch(name)).blob())).classes);
network.close();
return answers.map(classes => classes.map(({ label, probability }) => [label, probability]));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_web_page(find_model("squeezenet"), folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    with served(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), *CAMERA) as started:
        yield started


Top5 = list[list[tuple[str, float]]]
"""Name and probability of the five most probable classes of each photo."""


def page_of(model: Path, folder: Path) -> Path:
    """Export to a folder of its own."""
    write_web_page(model, folder)
    return folder


def top5(model: Path, *photos: Path) -> Top5:
    """Return the five most probable classes of each photo, as `squeeze-compress predict` prints them."""
    answers = predict_photos(replace(container.read(model), trusted=True), photos, "cpu")
    return [[(answer.name, answer.probability) for answer in classes] for _, classes in answers]


def assert_answers(model: Path, photos: list[Path], browser: Browser) -> Top5:
    """Compare the open page's answers to photos in its folder with those of Python, which it returns."""
    found, answers = top5(model, *photos), browser.result_of(CLASSIFY, [photo.name for photo in photos])
    assert isinstance(answers, list), answers
    for photo, expected, answer in zip(photos, found, answers, strict=True):
        assert [name for name, _ in answer] == [name for name, _ in expected], photo.name
        for (_, probability), (_, expected_probability) in zip(answer, expected, strict=True):
            assert probability == pytest.approx(expected_probability, abs=1e-5)
    return found


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_click_on_a_sample_shows_the_classes_that_python_finds(browser, folder, page, number):
    browser.open(page)
    browser.wait_for(READY)
    name = browser.run("return document.querySelectorAll('#samples img')[arguments[0]].getAttribute('src')", number)
    browser.run("document.querySelectorAll('#samples button')[arguments[0]].click()", number)
    spoken = browser.wait_for(SPOKEN)
    (expected,) = top5(folder / "model.sqz", folder / name)
    assert browser.run(f"return {TOP5}") == [[label, f"{probability:.1%}"] for label, probability in expected]
    assert spoken.startswith(expected[0][0])
    assert browser.console() == []


def test_20_photos_have_the_same_classes_in_python_in_c_and_in_the_browser(browser, folder, page, tmp_path):
    originals = [package_file(*parts) for parts in (*PHOTOS["calibration"], *PHOTOS["validation"])]
    photos = [Path(shutil.copy(path, folder)) for path in originals]
    assert len(photos) >= 20
    browser.open(page)
    found = assert_answers(folder / "model.sqz", photos, browser)
    main = c_decoder.SOURCES / "classify" / "sqz_classify.c"
    program = c_decoder.build(tmp_path / "sqz_classify", ("-O1",), [*c_decoder.NETWORK, main, Path("-lm")])
    for photo, expected in zip(photos, found, strict=True):
        read_photo(photo).save(tmp_path / "photo.ppm")
        words = [program, folder / "model.sqz", tmp_path / "photo.ppm"]
        lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
        assert [line.split("%")[1].strip() for line in lines] == [name for name, _ in expected]


def test_turned_transparent_and_large_photos_are_seen_as_in_python(browser, folder, page):
    cat = read_photo(package_file("skimage", "data", "chelsea.png"))
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    cat.save(folder / "turned.jpg", exif=turned)
    cat.putalpha(Image.linear_gradient("L").resize(cat.size))
    cat.save(folder / "transparent.png")
    cat.convert("RGB").resize((2000, 2600)).save(folder / "large.png")
    cat.convert("L").save(folder / "gray.webp", lossless=True)
    browser.open(page)
    photos = [folder / name for name in ("turned.jpg", "transparent.png", "large.png", "gray.webp")]
    assert_answers(folder / "model.sqz", photos, browser)


@pytest.mark.parametrize(
    ("function", "preprocessing"),
    [("mobilenet", "torchvision"), ("gray_convolution", PreprocessingOptions(33, 40, (0.5,), (0.2,), channels="L"))],
)
def test_networks_of_users_run_in_the_page(browser, tmp_path, function, preprocessing):
    source = UserNetwork(factory=f"user_networks:{function}", preprocessing=preprocessing)  # with batch norms
    container.write(tmp_path / "own.sqz", source.load(), ["raw"])
    folder = page_of(tmp_path / "own.sqz", tmp_path / "page")
    photo = shutil.copy(package_file("skimage", "data", "chelsea.png"), folder)
    with served(folder) as address:
        browser.open(address)
        assert_answers(tmp_path / "own.sqz", [Path(photo)], browser)


def test_page_runtime_and_class_names_leave_room_for_the_model(folder):
    """A SqueezeNet of 240 kB stays below 300,000 bytes with all that a visitor downloads but sample photos."""
    names = 6_000  # bytes of ImageNet's class names in the model's file
    files = [folder / name for name in WRITTEN - {"model.sqz"}]
    assert sum(path.stat().st_size for path in files) + names + 240_000 < 300_000


def test_the_page_counts_what_it_downloads(browser, folder, page, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("empty")) as first_visit:
        first_visit.open(page)
        first_visit.wait_for(READY)
        shown = first_visit.run("return document.querySelector('#bytes').textContent")
    files = [folder / name for name in WRITTEN - {"squeeze.d.ts"}]
    assert shown == f"{sum(path.stat().st_size for path in files):,} bytes"


def test_the_photo_of_a_camera_is_classified(browser, page):
    browser.open(page)
    browser.wait_for(READY)
    browser.element("#camera").click()
    browser.wait_for("document.querySelector('#video').videoWidth")
    browser.element("#take").click()
    assert browser.wait_for(SPOKEN)
    assert browser.run("return document.querySelector('#video').checkVisibility()") is False
    assert browser.run("return document.querySelector('#photo').naturalWidth") > 0


def test_two_clicks_start_one_camera_which_the_photo_ends(browser, page):
    browser.open(page)
    browser.wait_for(READY)
    browser.run("""
    const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
    window.streams = [];
    devices.getUserMedia = async wanted => (streams.push(await ask(wanted)), streams.at(-1));
    const camera = document.querySelector("#camera");
    camera.click();
    camera.click();
    """)
    browser.wait_for("streams.length === 2 && document.querySelector('#video').checkVisibility()")
    live = "streams.filter(stream => stream.getTracks()[0].readyState === 'live').length"
    assert browser.run(f"return {live}") == 1
    browser.element("#take").click()
    assert browser.wait_for(SPOKEN)
    assert browser.run(f"return {live}") == 0


def test_without_a_picture_of_the_camera_the_page_shows_what_it_showed_before(browser, page):
    browser.open(page)
    browser.wait_for(READY)
    browser.element("#file").send_keys(str(ROOT / "Makefile"))
    assert "not a photo" in browser.wait_for(ERROR)
    browser.element("#camera").click()
    browser.wait_for("document.querySelector('#video').checkVisibility()")
    browser.element("#stop").click()
    visible = "return ['#photo', '#hint'].map(id => document.querySelector(id).checkVisibility())"
    assert browser.run(visible) == [False, True]


def test_the_last_of_two_samples_is_shown_even_if_it_comes_first(browser, page):
    browser.open(page)
    browser.wait_for(READY)
    browser.run("""
    const fetchNow = window.fetch, [cat, coffee] = document.querySelectorAll("#samples button");
    window.fetch = async url => {
      if (url.endsWith("cat.jpg")) await new Promise(resolve => (window.release = resolve));
      const response = await fetchNow(url);
      if (url.endsWith("cat.jpg")) setTimeout(() => (window.catIsHere = true), 500);
      return response;
    };
    cat.click();
    coffee.click();
    """)
    assert "espresso" in browser.wait_for(SPOKEN)
    browser.run("release()")
    browser.wait_for("window.catIsHere")
    assert "espresso" in browser.run(f"return {SPOKEN}")
    pressed = "return [...document.querySelectorAll('#samples button')].map(each => each.getAttribute('aria-pressed'))"
    assert browser.run(pressed) == ["false", "true", "false"]


def test_the_module_runs_in_a_worker_of_the_page(browser, folder, page):
    (folder / "own.js").write_text("""
    import { load } from "./squeeze.js";
    const network = await load("model.sqz"), { classes } = await network.classify(new ImageData(9, 9));
    postMessage([classes.length, ...(await load("none/model.txt?1").catch(error => [error.code, error.message]))]);
    """)
    browser.open(page)
    script = """
    const worker = new Worker("own.js", { type: "module" });
    return new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(message);
    });
    """
    count, code, message = browser.result_of(script)
    assert (count, code) == (5, "download")
    assert message.startswith("Cannot download model.txt: HTTP 404.")


def test_a_chosen_file_that_is_no_photo_is_an_error_and_the_next_one_is_classified(browser, folder, page):
    browser.open(page)
    browser.wait_for(READY)
    browser.element("#file").send_keys(str(ROOT / "Makefile"))
    assert "not a photo" in browser.wait_for(ERROR)
    browser.element("#file").send_keys(str(folder / "samples" / "coffee.jpg"))
    assert "espresso" in browser.wait_for(SPOKEN)
    assert browser.run(f"return {ERROR}") == ""
    browser.element("#file").send_keys(str(ROOT / "Makefile"))
    assert "not a photo" in browser.wait_for(ERROR)
    assert " ms" not in str(browser.run("return document.querySelector('#time').textContent"))  # of the last photo


def test_the_keyboard_is_enough(browser, page):
    browser.open(page)
    browser.wait_for(READY)
    names = []
    for _ in range(5):
        browser.press("\ue004")  # the tabulator
        names.append(browser.run("const e = document.activeElement; return e.textContent || e.firstChild.alt"))
    assert names == ["Choose a photo", "Camera", "Sample: a cat", "Sample: a cup of coffee", "Sample: a motorcycle"]
    browser.press(" ")
    assert browser.wait_for(SPOKEN)


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(browser, page, width):
    browser.open(page, width=width)
    browser.wait_for(READY)
    browser.run("document.querySelector('#samples button').click()")
    browser.wait_for(SPOKEN)
    assert browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_what_cannot_be_done_rejects_with_its_code(browser, page):
    browser.open(page)
    script = """
    const { load } = await import("./squeeze.js"), network = await load("model.sqz");
    const codeOf = photo => network.classify(photo).catch(error => [error.name, error.code]);
    const codes = [await codeOf(new Blob(["text"]))];
    const waiting = codeOf(new ImageData(2000, 2000));
    network.close();
    codes.push(await waiting, await codeOf(new ImageData(1, 1)));
    const elsewhere = { worker: "https://example.org/worker.js" };
    return [...codes, await load("model.sqz", elsewhere).catch(error => [error.name, error.code])];
    """
    kinds = ["bad-photo", "closed", "closed", "no-worker"]
    assert browser.result_of(script) == [["SqueezeError", kind] for kind in kinds]


def test_an_exception_of_on_progress_reaches_the_caller_of_load(browser, page):
    browser.open(page)
    script = """
    const { load } = await import("./squeeze.js"), own = new TypeError("no such element");
    const caught = await load("model.sqz", { onProgress() { throw own; } }).catch(error => error);
    return [caught === own, (await load("model.sqz")).labels.length];
    """
    assert browser.result_of(script) == [True, 1000]
    assert browser.console() == []


def test_a_photo_of_another_site_that_pages_may_not_read_is_named(browser, folder, page):
    (folder / "own.html").write_text("<!doctype html><title>A page of one's own</title>")
    browser.open(f"{page}own.html")
    script = """
    const { load } = await import("./squeeze.js"), network = await load("model.sqz"), image = new Image();
    image.src = arguments[0];
    await image.decode();
    const answer = await network.classify(image).catch(({ name, code, message }) => [name, code, message]);
    return [...answer, (await network.classify(new ImageData(9, 9))).classes.length];
    """
    with served(folder) as other:
        name, code, message, classes = browser.result_of(script, f"{other}samples/cat.jpg")
    assert (name, code, classes) == ("SqueezeError", "bad-photo", 5)
    assert "another site" in message


def damage(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("model.sqz", damage, "damaged or not a .sqz file (bad-checksum)"),
        ("model.sqz", lambda data: data[:100_000], "damaged or not a .sqz file"),
        ("model.sqz", lambda data: b"<!doctype html>", "damaged or not a .sqz file (not-sqz)"),
        ("model.sqz", None, "Cannot download model.sqz: HTTP 404"),
        ("squeeze.wasm.gz", None, "Cannot download squeeze.wasm.gz: HTTP 404"),
        ("squeeze.wasm.gz", lambda data: data[:1000], "squeeze.wasm.gz is damaged"),
        ("squeeze.wasm.gz", lambda data: b"<!doctype html>", "squeeze.wasm.gz is damaged"),
        ("worker.js", None, "Cannot start worker.js"),
        ("worker.js", lambda data: b"", "Cannot start worker.js"),  # the browser reports nothing: the page waits
    ],
)
def test_a_file_that_is_damaged_or_missing_on_the_server_is_named(browser, folder, tmp_path, name, change, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    if change:
        (copy / name).write_bytes(change((folder / name).read_bytes()))
    with served(copy) as address:
        browser.open(address)
        assert message in browser.wait_for(ERROR)
        assert browser.run("return document.querySelector('#choose').disabled") is True
        assert browser.run("return document.querySelector('#error').checkVisibility()") is True


def test_a_server_may_send_the_policy_of_the_page_and_a_stricter_one_is_named(browser, folder):
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', (folder / "index.html").read_text("utf-8"))
    with served(folder, {"Content-Security-Policy": policy}) as address:
        browser.open(address)
        assert browser.wait_for(READY)
    with served(folder, {"Content-Security-Policy": policy.replace(" 'wasm-unsafe-eval'", "")}) as address:
        browser.open(address)
        message = browser.wait_for(ERROR)
        assert message.startswith("squeeze.wasm.gz does not run: ")
        assert message.endswith("A Content-Security-Policy of the server needs 'wasm-unsafe-eval'.")


@pytest.mark.parametrize(
    ("flag", "message"), [("--jitless", "no WebAssembly"), ("--no-enable-sse4-1", "no SIMD in WebAssembly")]
)
def test_a_browser_without_wasm_or_simd_is_told(tmp_path, page, flag, message):
    with chromium(tmp_path, f"--js-flags={flag}") as old:
        old.open(page)
        assert message in old.wait_for(ERROR)


def test_a_page_that_is_opened_as_a_file_says_that_it_needs_a_server(browser, folder):
    browser.open(folder / "index.html")
    assert browser.wait_for("getComputedStyle(document.querySelector('#late')).visibility === 'visible'")
    assert "python -m http.server" in browser.run("return document.querySelector('#late').textContent")


def test_a_server_that_decompresses_the_runtime_will_do(browser, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "squeeze.wasm.gz").write_bytes(gzip.decompress((folder / "squeeze.wasm.gz").read_bytes()))
    with served(copy) as address:
        browser.open(address)
        assert browser.wait_for(READY)


def test_a_network_that_the_runtime_does_not_know_is_not_exported(tmp_path, tiny):
    container.write(tmp_path / "own.sqz", tiny)
    with pytest.raises(ConfigError, match=r"cannot run the network tiny.*describe MODEL --factory FUNCTION"):
        write_web_page(tmp_path / "own.sqz", tmp_path / "page")
    (tmp_path / "text.sqz").write_bytes(b"text")
    with pytest.raises(FormatError, match=r"not a \.sqz file"):
        write_web_page(tmp_path / "text.sqz", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_file_without_class_names_gets_those_that_python_shows(tmp_path, squeezenet):
    container.write(tmp_path / "unnamed.sqz", replace(squeezenet, labels=()))
    written = container.read(page_of(tmp_path / "unnamed.sqz", tmp_path / "imagenet") / "model.sqz")
    assert written.labels == squeezenet.labels
    own = shared_squeezenet()
    container.write(tmp_path / "own.sqz", own)
    page_of(tmp_path / "own.sqz", tmp_path / "digits")
    assert (tmp_path / "digits" / "model.sqz").read_bytes() == (tmp_path / "own.sqz").read_bytes()


def test_a_class_name_of_arabic_and_latin_letters_starts_at_the_right(browser, squeezenet, tmp_path):
    names = tuple(f"\u0643\u0644\u0628 (beagle) {index}" for index in range(1000))
    container.write(tmp_path / "arabic.sqz", replace(squeezenet, labels=names))
    with served(page_of(tmp_path / "arabic.sqz", tmp_path / "page")) as address:
        browser.open(address)
        browser.wait_for(READY)
        browser.run("document.querySelector('#samples button').click()")
        browser.wait_for(SPOKEN)
    left_of_letter = """
    const text = document.querySelector("#classes .name").firstChild, range = new Range();
    return [...arguments].map(letter => {
      range.setStart(text, text.data.indexOf(letter));
      range.setEnd(text, text.data.indexOf(letter) + 1);
      return range.getBoundingClientRect().left;
    });
    """
    first, latin, *_ = browser.run(left_of_letter, "\u0643", "b")
    assert latin < first
