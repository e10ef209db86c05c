"""The page in a headless Chromium, Debian's: nothing is fetched, nothing complains, and the first screen says it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from lowbit.report import html
from lowbit.worker.report import plots
from lowbit.worker.report.modules import module_plots
from lowbit.worker.report.speed import size_plot, speed_plots
from tests.unit import report_inputs as inputs

CHROMIUM = "/usr/bin/chromium"
PHONE: ViewportSize = {"width": 390, "height": 844}
LAPTOP: ViewportSize = {"width": 1280, "height": 800}
SCREENS = pytest.mark.parametrize("screen", [PHONE, LAPTOP], ids=["phone", "laptop"])


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every plot, and with what a hostile model may have answered."""
    report = inputs.report()
    drawn = [*module_plots(report.modules), size_plot(report.sizes), *speed_plots(report.speed)]
    section = report.sections[0].model_copy(update={"svg": plots.histogram([0.001, 0.01, 0.3], 1e-6, "nats", 0.1)})
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html.render(report.model_copy(update={"plots": drawn, "sections": [section]})))
    return path


@pytest.fixture
def evil_file(page_file: Path, tmp_path: Path) -> Path:
    """Who writes to the store may write a plot that is none."""
    script = "<svg><script>document.title = 'ran'</script></svg><img src=x onerror=\"document.title = 'ran'\">"
    path = tmp_path / "evil.html"
    path.write_text(page_file.read_text().replace("<figure>", f"<figure>{script}", 1))
    return path


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        await running.close()


class Seen:
    """A page, everything that it asked for, and everything that the browser had to say."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))


async def opened(browser: Browser, path: Path, screen: ViewportSize = LAPTOP, *, dark: bool = False) -> Seen:
    page = await browser.new_page(viewport=screen, color_scheme="dark" if dark else "light")
    seen = Seen(page)
    await page.goto(path.as_uri())
    return seen


@SCREENS
async def test_the_first_screen_says_verdict_why_grades_and_what_next(
    browser: Browser, page_file: Path, screen: ViewportSize
) -> None:
    seen = await opened(browser, page_file, screen)
    for selector, words in (("#verdict strong", "Failed"), ("#verdict p", "Specificity of class fraud"),
                            ("#verdict .remedy", "Next: 8 bits"), ("#grades", "needs work")):  # fmt: skip
        found = seen.page.locator(selector)
        assert words in await found.inner_text()
        box = await found.bounding_box()
        assert box is not None
        assert box["y"] >= 0 and box["y"] + box["height"] <= screen["height"], selector
    assert await seen.page.locator("#grades > div").count() == 5


@SCREENS
async def test_nothing_is_fetched_nothing_complains_and_nothing_is_wider_than_the_screen(
    browser: Browser, page_file: Path, screen: ViewportSize
) -> None:
    seen = await opened(browser, page_file, screen)
    await seen.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert seen.requests == [page_file.as_uri()]
    assert seen.complaints == []
    assert await seen.page.evaluate("document.documentElement.scrollWidth") == screen["width"]


async def test_even_a_report_that_holds_a_script_runs_none(browser: Browser, evil_file: Path) -> None:
    seen = await opened(browser, evil_file)
    assert await seen.page.title() != "ran"
    assert seen.complaints, "the page's policy has refused it"


async def test_dark_mode_has_other_colours_and_so_have_its_plots(browser: Browser, page_file: Path) -> None:
    colours = []
    for dark in (False, True):
        page = (await opened(browser, page_file, dark=dark)).page
        script = "selector => getComputedStyle(document.querySelector(selector)).{}"
        ground = await page.evaluate(script.format("backgroundColor"), "body")
        ink = await page.evaluate(script.format("color"), "body")
        fill = await page.evaluate(script.format("fill"), "figure svg text")
        colours.append((ground, ink, fill))
    assert all(light != dark for light, dark in zip(*colours, strict=True))


async def test_samples_are_found_by_their_words(browser: Browser, page_file: Path) -> None:
    page = (await opened(browser, page_file)).page
    shown = page.locator("article.sample:visible")
    assert await shown.count() == 8, "the first ones only"
    await page.get_by_label("show all").check()
    assert await shown.count() == 19
    await page.get_by_label("Search").fill("SKY blue")
    assert await shown.count() == 6
    assert "6 shown of 6 found" in await page.locator("#found").inner_text()
    await page.get_by_label("flipped only").check()
    assert await shown.count() == 0
    await page.get_by_label("Search").fill("order 7:")
    assert await shown.count() == 1


async def test_a_printed_report_has_every_sample_and_no_search_box(browser: Browser, page_file: Path) -> None:
    page = (await opened(browser, page_file, dark=True)).page
    await page.emulate_media(media="print")
    await page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert await page.locator("article.sample:visible").count() == 19
    assert not await page.locator("#tools").is_visible()
    assert await page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


async def test_the_log_is_in_the_page_itself(browser: Browser, page_file: Path) -> None:
    page = (await opened(browser, page_file)).page
    async with page.expect_download() as starting:
        await page.get_by_text("quant_log.csv").click()
    download = await starting.value
    assert download.suggested_filename == "quant_log.csv"
    lines = (await download.path()).read_text().splitlines()
    assert lines[0].startswith("layer,module,kind,loss")
    assert len(lines) == 1 + len(inputs.modules())
