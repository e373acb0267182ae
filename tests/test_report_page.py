"""The report in a real browser: it renders, answers to the mouse, asks nobody, fits a phone; its explorers say what Python says."""

import re
import shutil

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import FitError
from scalefit.plotting.report import make_report
from scalefit.studies.cost import find_gpu, full_flops, gpu_hours
from scalefit.studies.reuse import effective_data
from tests.conftest import BROWSERS, PAPER, ROOT, RUNS

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("report"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; CI installs it"),
]
CLOSE = 1e-9


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


def write(folder, name, *args, **more):
    path = folder / name
    path.write_text(make_report(*args, **more))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), "report.html", sf.read_runs(RUNS), source=RUNS)


def open_page(browser, path, width=1100, scheme="light"):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-drawn]")
    return page, said


def test_it_draws_every_picture_and_asks_nobody(browser, made):
    page, said = open_page(browser, made)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-chart]')].every((box) => box.querySelector('svg.chart'))"
    )
    drawn = page.evaluate(
        "[...document.querySelectorAll('svg.chart')].map((svg) => svg.querySelectorAll('[clip-path] > *').length)"
    )
    assert len(drawn) == made.read_text().count("data-chart=") + 2
    assert all(count > 0 for count in drawn)
    bad = page.evaluate(
        "[...document.querySelectorAll('svg.chart [d]')].filter((one) => /NaN|Infinity/.test(one.getAttribute('d'))).length"
    )
    assert bad == 0
    assert said == []


def test_hover_tells_the_point(browser, made):
    page, _ = open_page(browser, made)
    chart = page.locator("svg.chart").first
    chart.scroll_into_view_if_needed()
    box = page.locator("svg.chart circle").nth(40).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".tip", timeout=5000)
    assert re.search(r"loss 0\.\d+", page.locator(".tip").first.text_content())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_only_down_and_the_theme_is_the_readers(browser, made, scheme):
    page, _ = open_page(browser, made, width=390, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.documentElement.lang") == "en"
    # The three bands of the first screen are seen without moving anything aside.
    ends = page.evaluate(
        "[...document.querySelectorAll('table.stack td')].map((cell) => cell.getBoundingClientRect().right)"
    )
    assert len(ends) == 14
    assert max(ends) <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 23, 29)"}[scheme]
    labels = page.evaluate("[...document.querySelectorAll('svg.chart')].map((svg) => svg.getAttribute('aria-label'))")
    assert all(len(one) > 30 for one in labels)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length || !one.labels[0].textContent.trim()).length"
    )
    assert unnamed == 0


def test_it_prints_its_folds_and_leaves_no_heading_behind(browser, made, tmp_path):
    page, _ = open_page(browser, made)
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    page.emulate_media(media="print")
    kept = page.evaluate(
        "[...document.querySelectorAll('h2, h3, summary')].every((one) => getComputedStyle(one).breakAfter === 'avoid')"
    )
    assert kept
    assert page.evaluate("getComputedStyle(document.querySelector('.explorer')).display") == "none"
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details[open]').length") == 0


def budget(page, text):
    page.fill("[data-explorer=plan] [name=amount]", text)
    page.locator("[data-explorer=plan] [name=amount]").dispatch_event("change")


def rows(page):
    """What the explorer shows, every bit of it."""
    return page.evaluate(
        """[...document.querySelectorAll('[data-explorer=plan] tbody tr')].map((row) => ({...row.dataset,
           ...Object.fromEntries([...row.querySelectorAll('[data-key]')].map((cell) => [cell.dataset.key, cell.dataset.value]))}))"""
    )


@pytest.mark.parametrize("series", ["base", "instruct"])
def test_the_budget_explorer_says_what_plan_says(browser, made, series):
    page, said = open_page(browser, made)
    page.select_option("[data-explorer=plan] [name=series]", label=series)
    budget(page, "2e19")
    sizes = [float(row["params"]) for row in rows(page)]
    assert sizes[-3:] == [1e11, 1.4e11, 2.2e11]
    compared = 0
    for flops in ("2e19", "1e18", "7.3e20", "3.3e21", "4e17"):
        budget(page, flops)
        plan = sf.plan(RUNS, flops=float(flops), sizes=sizes, where={"series": series})[0]
        known = sf.plan(RUNS, flops=float(flops), where={"series": series})[0]
        shown = rows(page)
        assert len(shown) == len(plan.sizes)
        for row, want in zip(shown, plan.sizes, strict=True):
            assert float(row["outside"]) == pytest.approx(float(want["outside"] or row["outside"]), rel=CLOSE)
            assert ("loss" in row) == (want["loss"] is not None)
            for key in (
                ("loss", "low", "high", "run_low", "run_high", "samples", "probability_best") if "loss" in row else ()
            ):
                assert float(row[key]) == pytest.approx(want[key], rel=CLOSE, abs=CLOSE), (flops, key, want["params"])
                compared += 1
        for row, want in zip(shown, known.sizes, strict=False):
            if "loss" in row:
                assert float(row["among_measured"]) == pytest.approx(want["probability_best"], abs=CLOSE)
    assert compared > 200
    assert said == []


def test_it_refuses_where_plan_refuses(browser, made):
    page, _ = open_page(browser, made)
    for flops, refused in (("2e19", False), ("1e26", True), ("2e19", False), ("1e13", True)):
        budget(page, flops)
        assert page.get_attribute("[data-explorer=plan]", "data-refused") == ("yes" if refused else "no")
        assert bool(rows(page)) != refused
        if refused:
            assert "Nothing supports an answer there" in page.text_content("[data-explorer=plan] output")
            with pytest.raises(FitError, match="Nothing supports an answer"):
                sf.plan(RUNS, flops=float(flops), where={"series": "base"})
    # It draws the line where plan draws it.
    budget(page, "2e19")
    sizes = [float(row["params"]) for row in rows(page)]
    measured = page.evaluate(
        "JSON.parse(document.getElementById(document.querySelector('[data-explorer=plan]').dataset.numbers).textContent).series[0].measured"
    )
    low, high = min(one for one, _ in measured), max(one for _, one in measured)
    for flops, refused in ((high * 29.9, False), (high * 30.1, True), (low / 29.9, False), (low / 30.1, True)):
        budget(page, repr(flops))
        assert page.get_attribute("[data-explorer=plan]", "data-refused") == ("yes" if refused else "no")
        if refused:
            with pytest.raises(FitError, match="Nothing supports an answer"):
                sf.plan(RUNS, flops=flops, sizes=sizes, where={"series": "base"})
        else:
            assert sf.plan(RUNS, flops=flops, sizes=sizes, where={"series": "base"})
    # So do the ends of the slider.
    for place, want in (("0", "yes"), ("1000", "yes"), ("500", "no")):
        page.evaluate(
            "(place) => { const one = document.querySelector('[data-explorer=plan] [name=budget]'); one.value = place; one.dispatchEvent(new Event('input')); }",
            place,
        )
        assert page.get_attribute("[data-explorer=plan]", "data-refused") == want


def test_hours_and_price_are_those_of_plan(browser, made):
    page, _ = open_page(browser, made)
    page.fill("[data-explorer=plan] [name=mfu]", "0.4")
    page.locator("[data-explorer=plan] [name=mfu]").dispatch_event("change")
    page.select_option("[data-explorer=plan] [name=gpu]", "a100")
    page.fill("[data-explorer=plan] [name=price]", "3")
    page.locator("[data-explorer=plan] [name=price]").dispatch_event("change")
    page.select_option("[data-explorer=plan] [name=unit]", "hours")
    budget(page, "100")
    told = {
        name: float(page.get_attribute("[data-explorer=plan]", f"data-{name}")) for name in ("flops", "hours", "price")
    }
    assert told["hours"] == pytest.approx(100, rel=CLOSE)
    assert told["price"] == pytest.approx(300, rel=CLOSE)
    assert gpu_hours(full_flops(told["flops"]), find_gpu("a100"), 0.4) == pytest.approx(100, rel=CLOSE)
    plan = sf.plan(RUNS, hours=100, gpu="a100", mfu=0.4, where={"series": "base"})[0]
    assert float(rows(page)[6]["loss"]) == pytest.approx(plan.sizes[6]["loss"], rel=CLOSE)
    page.select_option("[data-explorer=plan] [name=unit]", "price")
    budget(page, "600")
    assert float(page.get_attribute("[data-explorer=plan]", "data-hours")) == pytest.approx(200, rel=CLOSE)


def test_the_reuse_explorer_says_what_python_says(browser, tmp_path):
    path = write(tmp_path, "reuse.html", PAPER / "reuse.parquet")
    page, said = open_page(browser, path)
    star = sf.study_reuse(PAPER / "reuse.parquet")[0].r_star
    box = page.locator("[data-explorer=reuse]").first
    for unique, place in (("1000", 0), ("50k", 1700), ("2048", 2345)):
        box.locator("[name=unique]").fill(unique)
        box.locator("[name=unique]").dispatch_event("change")
        box.locator("[name=tau]").evaluate(
            "(one, place) => { one.value = place; one.dispatchEvent(new Event('input')); }", place
        )
        U = float(unique.replace("k", "e3"))
        for end in ("value", "low", "high"):
            want = effective_data(np.array(U * 10 ** (place / 1000)), U, star[end])
            assert float(box.get_attribute(f"data-{end}")) == pytest.approx(float(want), rel=CLOSE)
    box.locator("[name=tau]").evaluate("(one) => { one.value = one.max; one.dispatchEvent(new Event('input')); }")
    assert box.get_attribute("data-refused") == "yes"
    assert said == []


def test_the_rollout_explorer_says_what_python_says(browser, tmp_path):
    table = ROOT / "data" / "study" / "e03.parquet"
    page, said = open_page(browser, write(tmp_path, "rollouts.html", table))
    found = sf.study_rollouts(table)[0]
    box = page.locator("[data-explorer=rollouts]").first
    for resource, budgets in found.frontier.items():
        box.locator("[name=resource]").select_option(resource)
        for b, row in enumerate(budgets):
            for g, arm in enumerate(row["arms"]):
                for name, place in (("budget", b), ("group", g)):
                    box.locator(f"[name={name}]").evaluate(
                        "(one, place) => { one.value = place; one.dispatchEvent(new Event('input')); }", place
                    )
                for key, name in (("loss", "loss"), ("low", "low"), ("high", "high"), ("group_size", "group")):
                    assert float(box.get_attribute(f"data-{name}")) == pytest.approx(arm[key], rel=CLOSE)
    assert said == []


@pytest.mark.parametrize("name", ["e02.parquet", "e06.parquet", "e07_pilots.parquet"])
def test_tables_of_other_kinds_draw_without_a_word_of_complaint(browser, tmp_path, name):
    page, said = open_page(browser, write(tmp_path, "other.html", ROOT / "data" / "study" / name), width=390)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert said == []
