"""The page as a person meets it: opened in headless Chromium, spoken to over its debugging pipe."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import combinations

import numpy as np
import pytest

from figures import closed_forms
from figures.panel import predict
from figures.provenance import sources
from figures.report import page
from figures.report_pictures import draw
from figures.report_theorems import check
from figures.runs import read_runs
from theory.claims import CLAIMS
from theory.records import Record, RecordWriter
from theory.theorems import THEOREMS

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
NONE = "no chromium on this machine: apt-get install chromium"
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and (not os.environ.get("CI") or "NAMEBLIND_WITHOUT_BROWSER" in os.environ), reason=NONE
)
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
LABS = ("synthetic/R2-2layer", "synthetic/R2-4layer")
CUT_CAPTIONS = """[...document.querySelectorAll('.scroll caption')].filter(one =>
    one.getBoundingClientRect().right > one.closest('.scroll').getBoundingClientRect().right).length"""


class Browser:
    """One tab. Messages are JSON with a zero byte after each, on descriptors 3 and 4."""

    def __init__(self, reading, writing):
        self.reading, self.writing, self.number, self.events, self.session = reading, writing, 0, [], None
        self.pieces = [b""]
        self.complaints = []  # of every page, from before the first one was opened

    def __call__(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.writing.write(json.dumps(message).encode() + b"\0")
        self.writing.flush()
        while True:
            found = self._next()
            if found.get("id") == self.number:
                assert "error" not in found, found
                return found["result"]
            self.events.append(found)

    def _next(self):
        while b"\0" not in self.pieces[-1]:
            self.pieces.append(os.read(self.reading.fileno(), 1 << 20))
            assert self.pieces[-1], "chromium has gone away"
        last, _, rest = self.pieces.pop().partition(b"\0")
        text = b"".join([*self.pieces, last])
        self.pieces = [rest]
        found = json.loads(text)
        if complains(found):
            self.complaints.append(found)
        return found

    def start(self):
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self(f"{domain}.enable")

    def open(self, address):
        self.events.clear()
        self("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script):
        found = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def size(self, width, height):
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def scheme(self, value):
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def picture(self):
        """The window as PNG."""
        return base64.b64decode(self("Page.captureScreenshot", format="png")["data"])


def complains(event):
    """Whether a message tells of an error or a warning that a person would find in the console."""
    method, said = event.get("method"), event.get("params", {})
    if method == "Runtime.consoleAPICalled":
        return said["type"] in ("error", "warning", "assert")
    return method in ("Runtime.exceptionThrown", "Log.entryAdded")


@contextmanager
def chromium(folder):
    assert CHROMIUM, f"{NONE}; where CI is set the page's tests are not skipped"
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    keep = "import os,sys; os.dup2(int(sys.argv[1]),3); os.dup2(int(sys.argv[2]),4); os.execv(sys.argv[3],sys.argv[3:])"
    # descriptors above 4, so that none of them is overwritten before it is copied
    ends = (
        [os.dup(end) for end in (to_read, from_write)]
        if min(to_read, from_write) < 5
        else [to_read, from_write]
    )
    command = [sys.executable, "-c", keep, *map(str, ends), CHROMIUM, *SWITCHES]
    command += [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
    with open(folder / "chromium.log", "wb") as log:
        process = subprocess.Popen(command, pass_fds=ends, stdout=log, stderr=log)
    for end in {to_read, from_write, *ends}:
        os.close(end)
    with os.fdopen(from_read, "rb") as reading, os.fdopen(to_write, "wb") as writing:
        browser = Browser(reading, writing)
        browser.start()
        try:
            yield browser
        finally:
            browser.session = None
            browser("Browser.close")
            process.wait(30)


def rows(lab, gap):
    for seed in (100, 101, 102, 103):
        sets = (("best", 0.6), ("lesser", 0.6 - gap), ("whole", 0.6), ("random", 0.55))
        for i, (on, value) in enumerate(sets):  # seeds that agree to the last digit would have no interval
            for step, share in ((1, 0.2), (5, 1.0), (10, 0.9)):
                for split in ("dev", "test"):
                    worth = share * value + 0.001 * (seed % 3) * (1 + i)
                    yield Record(
                        lab,
                        "salience",
                        "r1",
                        seed,
                        "all",
                        step,
                        on,
                        "zero",
                        split,
                        "all",
                        "accuracy",
                        worth,
                        99,
                    )


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with RecordWriter(folder / "records.jsonl") as out:
        out.write_many(row for lab, gap in zip(LABS, (0.3, -0.3), strict=True) for row in rows(lab, gap))
    path, runs = folder / "report.html", read_runs([folder])
    some = {name: closed_forms.PICTURES[name] for name in ("threshold", "calibration")}
    with pytest.MonkeyPatch.context() as patch:  # the others look no different to a browser
        patch.setattr("figures.closed_forms.PICTURES", some)
        pictures = draw(runs, [])
    assert {"forest", "trajectories", "threshold"} <= {one.kind for one in pictures}
    path.write_text(page(runs, sources([folder]), pictures, check(5)), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def tab(tmp_path_factory, address):
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        browser.open(address)
        yield browser
        assert browser.complaints == []  # whatever the tests below did


COUNT = "document.getElementById('count').textContent"
LINES = "[...document.querySelectorAll('#scoreboard-table tbody tr')].filter(r => r.checkVisibility()).length"
CARDS = (
    "[...document.querySelectorAll('article[data-claim]')].filter(a => a.checkVisibility()).map(a => a.id)"
)


def choose(tab, **values):
    """Set fields of the filter as typing does; returns the count that is read aloud."""
    for name, value in ({"search": "", "verdict": "", "paper": "", "lab": ""} | values).items():
        field = f"document.getElementById('{name}')"
        tab.run(
            f"{field}.value = {json.dumps(value)}; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
    return tab.run(COUNT)


def test_the_console_stays_silent_and_nothing_is_fetched(tab):
    choose(tab, search="attention", verdict="contradicted", lab=LABS[1], paper="Gekhman 2024")
    choose(tab)
    tab.run(f"({SET_AND_READ})([[0, 0.1, 0], [1, 6, 200], [0.5, 2, 100]])")
    tab.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert tab.complaints == []
    assert (
        tab.run("performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length")
        == 0
    )
    assert tab.run("typeof nameblind.predict") == "function"  # the policy lets the page's own script run
    assert tab.run("document.getElementById('filter').hidden") is False


def test_a_complaint_in_the_console_is_seen(tab):
    for script in (
        "console.error('no')",
        "setTimeout(() => { throw new Error('no') })",
        "new Image().src = 'http://x'",
    ):
        before = len(tab.complaints)
        tab.run(script)
        until(tab, lambda seen=before: len(tab.complaints) > seen)
    tab.complaints.clear()


def until(tab, done):
    """Waits, while messages are read, for at most ten seconds."""
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end, "it did not come about"
        tab.run("new Promise(go => setTimeout(go, 20))")


def test_every_picture_is_one_that_a_browser_can_draw(tab):
    sizes = tab.run(
        "Promise.all([...document.images].map(async one => { one.loading = 'eager'; await one.decode(); "
        "return [one.naturalWidth, one.naturalHeight] }))"
    )
    assert len(sizes) >= 5
    assert min(min(one) for one in sizes) > 100


def test_the_filter_shows_what_fits_and_says_how_many(tab):
    claims, theorems = len(CLAIMS), len(THEOREMS)
    assert choose(tab) == f"{claims} of {claims} claims, {theorems} of {theorems} theorems"
    assert tab.run(LINES) == claims
    assert choose(tab, search="a1  HURT").startswith(f"1 of {claims} claims, 0 of")
    assert tab.run(CARDS) == ["claim-A1"]
    contradicted = choose(tab, verdict="contradicted", lab=LABS[1])
    assert "claim-A1" in tab.run(CARDS)
    assert contradicted.startswith(f"{tab.run(LINES)} of {claims} claims")
    choose(tab, verdict="contradicted", lab=LABS[0])
    assert "claim-A1" not in tab.run(CARDS)
    choose(tab, paper="Gekhman 2024")
    assert {card[6] for card in tab.run(CARDS)} == {"C"}
    assert choose(tab, search="nobody says this").startswith("0 of")
    tab.run("document.getElementById('filter').reset()")
    until(tab, lambda: tab.run(LINES) == claims)


def test_a_laboratory_alone_has_one_column_and_its_own_parts(tab):
    choose(tab, lab=LABS[0])
    seen = tab.run(
        "[...document.querySelectorAll('[data-lab]')].filter(x => x.checkVisibility()).map(x => x.dataset.lab)"
    )
    assert set(seen) == {LABS[0]}
    choose(tab)


def test_a_link_to_something_hidden_brings_it_back(tab):
    choose(tab, search="a1 hurt")
    tab.run(
        "const a = document.createElement('a'); a.href = '#claim-B1'; document.body.append(a); a.click(); a.remove()"
    )
    assert "claim-B1" in tab.run(CARDS)


SET_AND_READ = """
(settings) => settings.map((setting) => {
  const fields = ["q", "salience", "steps"].map((id) => document.getElementById(id));
  fields.forEach((field, i) => { field.value = setting[i]; field.dispatchEvent(new Event("input")); });
  const out = (id) => Number(document.getElementById("out-" + id).dataset.value);
  return {
    at: [Number(fields[0].value), Number(fields[1].value), Number(fields[2].dataset.value)],
    found: ["u", "attention", "accuracy", "before", "critical"].map(out),
  };
})
"""


def test_the_panel_computes_what_python_does_at_fifty_settings(tab):
    rng = np.random.default_rng(7)
    settings = [
        (rng.integers(0, 201) / 200, 0.1 + rng.integers(0, 119) / 20, int(rng.integers(0, 201)))
        for _ in range(50)
    ]
    shown = tab.run(f"({SET_AND_READ})({json.dumps(settings)})")
    assert len(shown) == 50
    for (q, salience, notch), one in zip(settings, shown, strict=True):
        assert one["at"] == pytest.approx((q, salience, round(10 ** (notch / 50))))
        assert one["found"] == pytest.approx(predict(*one["at"]), rel=1e-9, abs=1e-9)


DOT = """
settings => settings.map(setting => {
  const fields = ["q", "salience"].map(id => document.getElementById(id));
  fields.forEach((field, i) => { field.value = setting[i]; field.dispatchEvent(new Event("input")); });
  const texts = [...document.querySelectorAll("#map svg text")];
  const ticks = texts.filter(t => /^(0|0.25|0.5|0.75|1)$/.test(t.textContent));
  const at = Object.fromEntries(ticks.filter(t => t.getAttribute("text-anchor") === "middle")
    .map(t => [t.textContent, Number(t.getAttribute("x"))]));
  const dot = document.querySelector("#map .dot"), line = document.querySelector("#map .critical");
  const [x, y] = ["cx", "cy"].map(name => Number(dot.getAttribute(name)));
  const ends = line.getAttribute("d").slice(1).split("L").map(point => point.split(" ").map(Number));
  return {
    at, x, said: document.getElementById("panel-said").textContent,
    line: ends.reduce((one, two) => Math.abs(one[1] - y) < Math.abs(two[1] - y) ? one : two)[0],
    tile: [...document.querySelectorAll("#map svg rect")].map(r => [r, Number(r.getAttribute("x"))])
      .filter(([r, left]) => left <= x && x <= left + Number(r.getAttribute("width"))).length,
  };
})
"""


def test_the_dot_of_the_panel_lies_where_the_axis_says_and_on_the_side_that_the_text_says(tab):
    critical = round(200 * predict(0.5, 2.0, 100).critical) / 200
    settings = [(q, 2.0) for q in (0, 0.25, 0.5, 0.75, 1, critical - 0.01, critical + 0.01)]
    for (q, _), one in zip(settings, tab.run(f"({DOT})({json.dumps(settings)})"), strict=True):
        left, right = one["at"]["0"], one["at"]["1"]
        assert one["x"] == pytest.approx(left + q * (right - left), abs=0.01)
        assert ("above the critical" in one["said"]) == (one["x"] > one["line"]), q
        assert one["tile"] > 0


def test_numbers_without_scripts_are_those_with_them(tab, address):
    with_scripts = "[...document.querySelectorAll('[id^=out-]')].map(x => x.textContent)"
    tab.open(address)
    computed = tab.run(with_scripts)
    tab("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(address)
        assert tab.run(with_scripts) == computed
        assert tab.run("document.getElementById('filter').checkVisibility()") is False
    finally:
        tab("Emulation.setScriptExecutionDisabled", value=False)
        tab.open(address)


def test_light_dark_and_narrow_look_different_and_nothing_hangs_over(tab, tmp_path):
    brightness = {}
    for name, scheme, width in (("light", "light", 1280), ("dark", "dark", 1280), ("narrow", "light", 390)):
        tab.scheme(scheme)
        tab.size(width, 900)
        picture = tab.picture()
        (tmp_path / f"{name}.png").write_bytes(picture)
        pixels = read_png(tmp_path / f"{name}.png")
        assert pixels.shape[:2] == (900, width)
        assert pixels.std() > 0.02  # not blank
        brightness[name] = pixels.mean()
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        assert tab.run(CUT_CAPTIONS) == 0, name
    assert brightness["dark"] < 0.3 < 0.8 < brightness["light"]
    for width in (640, 320):  # a window of 1280 at 200% and at 400%
        tab.size(width, 450)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth"), width
    tab.size(1280, 900)
    tab.run(
        "const t = document.getElementById('theme'); t.value = 'dark'; t.dispatchEvent(new Event('change'))"
    )
    (tmp_path / "switched.png").write_bytes(tab.picture())
    assert read_png(tmp_path / "switched.png").mean() < 0.3
    tab.run("const s = document.getElementById('theme'); s.value = ''; s.dispatchEvent(new Event('change'))")


MAP = """
(async () => {
  await new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)));
  const box = one => { const b = one.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom] };
  const shown = name => [...document.querySelectorAll("#map svg " + name)].filter(one => box(one)[2] > box(one)[0]);
  const map = document.getElementById("map"), texts = shown("text");
  return {
    slides: map.scrollWidth > map.clientWidth, map: box(map), drawn: shown("*").map(box),
    texts: texts.map(one => [one.textContent, ...box(one)]),
    height: Math.min(...texts.map(one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().d || 99)),
    dot: box(document.querySelector("#map .dot")),
  };
})()
"""


@pytest.mark.parametrize(("width", "letters"), [(1280, 12), (390, 9), (320, 7)])
def test_the_whole_map_is_seen_and_read_at_every_width(tab, width, letters):
    tab.size(width, 900)
    try:
        seen = tab.run(MAP)
    finally:
        tab.size(1280, 900)
    assert not seen["slides"]
    left, top, right, bottom = seen["map"]
    assert right <= width
    for one in seen["drawn"]:  # the dot, the colour key and the critical share as well
        assert left - 1 <= one[0]
        assert one[2] <= right + 1
        assert top - 1 <= one[1]
        assert one[3] <= bottom + 1
    texts = {said: box for said, *box in seen["texts"]}
    assert {"change", "(points)", "+40", "−40", "qc", "share of unknown facts, q"} <= set(texts)
    for (one, a), (two, b) in combinations(texts.items(), 2):
        over = [min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1)]
        assert min(over) < 3, (one, two)  # boxes of letters have room above and below what is inked
    assert seen["height"] >= letters
    assert seen["dot"][2] - seen["dot"][0] >= 8


def read_png(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def test_every_field_has_a_name_and_the_keyboard_reaches_the_content(tab):
    assert (
        tab.run(
            "[...document.querySelectorAll('input, select')].filter(x => !x.labels.length).map(x => x.id)"
        )
        == []
    )
    tab.open(tab.run("location.href.split('#')[0]"))
    press(tab, "Tab", 9)
    assert tab.run("document.activeElement.className") == "skip"
    assert tab.run("document.activeElement.getBoundingClientRect().left >= 0")
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def press(tab, key, code):
    for kind in ("keyDown", "keyUp"):
        tab("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


SEEN = """
(() => {
  const one = document.activeElement, box = one.getBoundingClientRect();
  return {
    outline: getComputedStyle(one).outlineStyle, inside: box.top < innerHeight && box.bottom > 0,
    name: one.id || one.getAttribute("aria-label") || one.textContent.trim(),
  };
})()
"""


def test_the_keyboard_shows_where_it_stands_and_moves_the_sliders(tab):
    still = {"name": "prefers-reduced-motion", "value": "reduce"}  # no gliding to what has the focus
    tab("Emulation.setEmulatedMedia", features=[still])
    tab.open(tab.run("location.href.split('#')[0]"))
    names = []
    for _ in range(16):
        press(tab, "Tab", 9)
        found = tab.run(SEEN)
        assert found["outline"] == "solid", found
        assert found["inside"], found
        names.append(found["name"])
    assert names[0] == "Skip to the content"
    assert all(names)
    assert {"theme", "search", "verdict", "paper", "lab", "Scoreboard"} <= set(names)
    tab.run("document.getElementById('q').focus()")
    for _ in range(10):
        press(tab, "ArrowLeft", 37)
    q = float(tab.run("document.getElementById('q').value"))
    assert q == pytest.approx(0.85)
    shown = tab.run("Number(document.getElementById('out-accuracy').dataset.value)")
    assert shown == pytest.approx(predict(q, 2.0, 100).accuracy)


TALL = """
(async () => {
  const one = document.querySelector(".paper img"), before = one.src;
  one.src = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='450pt' height='1800pt'/>";
  await one.decode();
  const height = one.getBoundingClientRect().height;
  one.src = before;
  await one.decode();
  return height;
})()
"""


def test_it_prints_everything_and_no_controls(tab):
    tab("Emulation.setEmulatedMedia", media="print")
    try:
        hidden = ("#filter", "#controls", "header.top")
        assert [tab.run(f"document.querySelector('{one}').checkVisibility()") for one in hidden] == [
            False
        ] * 3
        assert base64.b64decode(tab("Page.printToPDF")["data"])[:5] == b"%PDF-"
        styles = "[...document.querySelectorAll('table.parts')].map(one => getComputedStyle(one).breakInside)"
        assert set(tab.run(styles)) == {"avoid"}  # no head of a table stands alone at the end of a page
        sheet = 96 * (11 - 0.8)  # pixels of a page of letter paper within its margins
        assert 0.8 * sheet < tab.run(TALL) <= sheet  # a taller one would be cut
        assert tab.run("[...document.querySelectorAll('details')].every(one => one.open)")
    finally:
        tab("Emulation.setEmulatedMedia", media="")
