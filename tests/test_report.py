"""The report in a real browser: it renders, answers to the mouse, asks the network for nothing, and fits a phone."""

import itertools
import re
import shutil

import pandas as pd
import pytest

from tests.conftest import BROWSERS, PAPER, RUNS, scalefit

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
browser_test = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; CI installs it")
pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    found = scalefit("report", RUNS, "--out", "report.html", cwd=folder)
    assert found.returncode == 0, found.stderr
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


def open_page(browser, path, width=1100):
    page = browser.new_page(viewport={"width": width, "height": 900})
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.plotly-graph-div .main-svg').length > 0")
    return page, said


@pytest.mark.slow
@browser_test
def test_it_renders_and_asks_nobody(browser, made):
    page, said = open_page(browser, made)
    graphs = page.locator(".plotly-graph-div")
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plotly-graph-div')].map(g => g.querySelectorAll('.trace').length)"
    )
    assert graphs.count() == 12
    assert all(count > 0 for count in drawn)
    assert said == []


@pytest.mark.slow
@browser_test
def test_hover_tells_the_point(browser, made):
    page, _ = open_page(browser, made)
    graph = page.locator(".plotly-graph-div").first
    graph.scroll_into_view_if_needed()
    box = page.locator(".plotly-graph-div .point").nth(40).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .hovertext", timeout=5000)
    assert re.search(r"loss 0\.\d+", page.locator(".hoverlayer").first.text_content())


@pytest.mark.slow
@browser_test
def test_pictures_have_names_and_a_phone_scrolls_only_down(browser, made):
    page, _ = open_page(browser, made, width=390)
    names = page.evaluate(
        "[...document.querySelectorAll('[role=img]')].map(i => document.getElementById(i.getAttribute('aria-labelledby')).textContent)"
    )
    assert len(names) == 12
    assert all(len(name) > 20 for name in names)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.documentElement.lang") == "en"
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.slow
@browser_test
def test_it_prints(browser, made, tmp_path):
    page, _ = open_page(browser, made)
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_it_holds_the_checklist_and_the_numbers(made, runs):
    """What the (Mis)Fitting checklist asks for, and the estimates that the fit itself gives."""
    import scalefit as sf

    text = made.read_text()
    for word in (
        "Hypothesis",
        "Data points",
        "Selection",
        "Loss of the fit",
        "Optimiser",
        "Seeds",
        "Versions",
        "SHA-256",
    ):
        assert word in text
    k = sf.fit(runs, x="samples", where={"series": "base"}).params["k_max"]
    assert f"{k.value:.4g}" in text
    assert "http://" not in re.sub(r"<script>.*?</script>", "", text, flags=re.S)


def test_few_sizes_and_other_tables_are_told(tmp_path, runs):
    small = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 4e9)]
    small.to_csv(tmp_path / "small.csv", index=False)
    found = scalefit("report", "small.csv", "--out", "small.html", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "none can be held out" in (tmp_path / "small.html").read_text()
    assert scalefit("report", RUNS, "--out", "report.txt", cwd=tmp_path).returncode == 2


def test_one_size_is_reported_as_far_as_it_goes(tmp_path, runs):
    """The study of reuse: each series has one size, whose own line is fitted, and reuse is answered."""
    one = scalefit("report", PAPER / "reuse.parquet", "--out", "reuse.html", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    page = (tmp_path / "reuse.html").read_text()
    assert "one size, so nothing is said of others" in page
    assert all(str(tau) in page for tau in ("tau 25", "tau 50"))
    assert "The slope k(N)" not in page
    lone = runs.frame[(runs.frame["series"] == "instruct") & (runs.frame["params"] < 1e9)]
    mixed = pd.concat([runs.frame[runs.frame["series"] == "base"], lone.assign(loss=0.9)])
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    assert scalefit("report", "mixed.csv", "--out", "mixed.html", cwd=tmp_path).returncode == 0
    assert "instruct on holdout is left out:" in (tmp_path / "mixed.html").read_text()
