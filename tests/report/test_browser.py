"""The page in a browser: no errors, no requests, images behind the cells, by mouse and keyboard, on a phone.

Wants Chromium and its driver (Debian: apt-get install chromium chromium-driver) and selenium (pip install
'.[browser]').
"""

import json
import shutil
from pathlib import Path

import pytest
from run_folders import CLASSES, write_run

from cnnjax import report

pytestmark = pytest.mark.browser
FASHION = Path(__file__).parents[3] / "shared/data/fashion_mnist"
NAMES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that tells what it logs and what it asks of the network."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("there is no Chromium with a chromedriver")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for word in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "window-size=1200,900",
        "force-prefers-reduced-motion",
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    window = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    yield window
    window.quit()


def visit(browser, path):
    """Opens a file and returns what it logged, and the addresses that it asked for beside itself."""
    browser.get("about:blank")
    browser.get_log("performance"), browser.get_log("browser")
    browser.get(path.as_uri())
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    outside = [address for address in asked if not address.startswith(("data:", path.as_uri()))]
    return [entry["message"] for entry in browser.get_log("browser")], outside


def found(browser, selector):
    return browser.find_elements("css selector", selector)


@pytest.fixture
def page(browser, reported):
    assert visit(browser, reported / "report.html") == ([], [])
    return browser


def shown(page):
    """The headings of the pairs that are visible."""
    script = (
        "return [...document.querySelectorAll('.pair h3')].map(head => head.checkVisibility() ? head.innerText : '')"
    )
    return [text for text in page.execute_script(script) if text]


def widths(page):
    """The true widths of the visible images of pairs."""
    visible = "[...document.querySelectorAll('.pair img')].filter(image => image.checkVisibility())"
    return page.execute_script(f"return {visible}.map(image => image.naturalWidth)")


def test_names_do_nothing(page):
    assert page.title == "run | cnnjax"
    heads = [head.text for head in found(page, "table.matrix tbody th")]
    assert heads == CLASSES


def test_click_on_a_cell_shows_its_images(page):
    assert len(shown(page)) == 1  # the most confused pair
    for link in found(page, ".confusion table a")[:6]:
        link.click()
        count, _, what = link.get_attribute("aria-label").partition(" images: ")
        assert shown(page) == [what]
        assert widths(page) == [12] * min(int(count), 24)
        assert [cell.text for cell in found(page, "[aria-current]")] == [count]
    page.back()
    assert len(shown(page)) == 1


def test_keyboard_reaches_the_cells(page):
    from selenium.webdriver.common.keys import Keys

    link = found(page, ".confusion table a")[1]
    page.execute_script("arguments[0].focus({focusVisible: true})", link)
    assert page.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    link.send_keys(Keys.ENTER)
    assert shown(page) == [link.get_attribute("aria-label").partition(" images: ")[2]]
    found(page, "nav a")[0].send_keys(Keys.TAB)
    assert page.execute_script("return document.activeElement.getAttribute('href')") == "#curves"


def test_table_sorts(page):
    def column(number):
        return [row.text for row in found(page, f"table.sortable tbody tr > :nth-child({number})")]

    before = column(5)
    found(page, "table.sortable th:nth-child(5) button")[0].click()
    assert column(5) == sorted(before, reverse=True)
    found(page, "table.sortable th:nth-child(5) button")[0].click()
    assert column(5) == sorted(before)
    assert found(page, "table.sortable th:nth-child(5)")[0].get_attribute("aria-sort") == "ascending"
    told = []
    for _ in range(3):
        found(page, "table.sortable th:first-child button")[0].click()
        told.append(found(page, "table.sortable th:first-child")[0].get_attribute("aria-sort"))
    assert told == ["ascending", "descending", "ascending"]


def test_phone_does_not_scroll_sideways(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert page.execute_script("return document.documentElement.scrollWidth") == 360
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_and_light(page):
    colors = []
    for scheme in ("light", "dark"):
        scheme = {"name": "prefers-color-scheme", "value": scheme}
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        script = "return [getComputedStyle(document.body), getComputedStyle(document.querySelector('svg text'))]"
        colors.append(page.execute_script(f"{script}.map(style => style.backgroundColor + style.fill)"))
    assert colors[0][0] != colors[1][0]
    assert colors[0][1] != colors[1][1]


def test_comparison(browser, tmp_path):
    roots = [tmp_path / "one", tmp_path / "two"]
    for seed, root in enumerate(roots):
        write_run(root, seed=seed)
    path = report.write_comparison(roots, tmp_path / "comparison.html", networks=[None, None])
    assert visit(browser, path) == ([], [])


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="needs the Fashion-MNIST files in shared/data")
def test_fashion_mnist(browser, tmp_path):
    from cnnjax import recipes
    from cnnjax.run import train

    changes = {"data.source": f"idx:{FASHION}", "data.class_names": NAMES, "train.epochs": "1"}
    config = recipes.load(str(Path(__file__).parents[2] / "configs/mlp_fashion_mnist.py"), changes).config
    train(config, tmp_path / "mlp", data_dir=tmp_path / "data")
    path = tmp_path / "mlp/report.html"
    assert path.stat().st_size < 6e6
    assert visit(browser, path) == ([], [])
    for true, taken in ((6, 0), (0, 6), (6, 4), (4, 6)):
        (link,) = found(browser, f"a[href='#pair-{true}-{taken}']")
        assert int(link.text) > 10
        link.click()
        names = NAMES.split(",")
        assert shown(browser) == [f"{names[true]}, taken for {names[taken]}"]
        assert widths(browser) == [28] * min(int(link.text), 24)
