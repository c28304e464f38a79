"""The page at /: chat and status in a real browser (headless Chromium) on a real server."""
import json
import shutil
import time

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from conftest import MODELS, Server

FRANCE = "What is the capital of France?"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--hide-scrollbars", "--window-size=1200,800",
                 f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except WebDriverException as error:
        pytest.skip(f"Chromium cannot run here: {error.msg}")
    yield made
    made.quit()


class Page:
    """The page of one server, freshly opened and with nothing remembered."""

    def __init__(self, browser, url):
        self.browser, self.url = browser, url
        browser.get(url)
        browser.execute_script("localStorage.clear(); sessionStorage.clear()")
        self.look(1200, 800)
        browser.get(url)

    def look(self, width, height, scheme="light"):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                     {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                     {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, condition, seconds=30):
        return WebDriverWait(self.browser, seconds, 0.02).until(lambda _: condition())

    def text(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map(n => n.innerText)", selector)

    def set(self, **fields):
        self.find("#open-settings").click()
        for name, value in fields.items():
            field = self.find("#" + name.replace("_", "-"))
            field.clear()
            field.send_keys(value)
        self.find("#settings .strong").click()

    def say(self, text):
        self.find("#input").send_keys(text, Keys.ENTER)

    def answer(self):
        self.wait(lambda: self.all(".its") and not self.all(".busy"), 120)
        return self.text(".its .said")[-1]

    def errors(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.fixture
def page(browser, smol):
    browser.get_log("browser")
    made = Page(browser, smol.url)
    yield made
    assert made.errors() == []


def test_an_answer_streams_in(page):
    page.wait(lambda: page.text("#model")[0].strip() == "smollm2")
    page.set(temperature="0", max_tokens="40")
    page.run("""window.sizes = new Set();
        new MutationObserver(() => { const said = document.querySelector('.its .said'); if (said) sizes.add(said.textContent.length); })
            .observe(document.getElementById('log'), {childList: true, subtree: true, characterData: true})""")
    page.say(FRANCE)
    assert page.answer() == "The capital of France is Paris."
    assert page.run("return sizes.size") >= 3
    assert page.text(".mine .said") == [FRANCE]
    assert page.text(".its .note")[0].startswith("8 tokens")
    assert page.find("#announce").get_attribute("textContent") == "Answer: The capital of France is Paris."
    page.say("And of Italy?")  # the history goes along
    page.wait(lambda: len(page.all(".its")) == 2)
    assert page.answer()


def test_shift_enter_makes_a_line_and_settings_are_sent(page):
    page.run("""window.bodies = []; const real = fetch;
        window.fetch = (url, options) => { if (options?.body) bodies.push(JSON.parse(options.body)); return real(url, options); }""")
    page.set(system="Be brief.", temperature="0.5", max_tokens="3")
    page.find("#open-settings").click()
    page.find("#thinking option[value=off]").click()
    page.find("#settings .strong").click()
    page.find("#input").send_keys("one", Keys.SHIFT, Keys.ENTER, Keys.NULL, "two")
    page.find("#input").send_keys(Keys.ENTER)
    page.answer()
    body = page.run("return bodies[0]")
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one\ntwo"}]
    assert body["temperature"] == 0.5 and body["max_tokens"] == 3 and body["model"] == "smollm2"
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    page.browser.refresh()
    assert page.find("#system").get_attribute("value") == "Be brief."


@pytest.mark.parametrize("how", ["escape", "button"])
def test_an_answer_can_be_stopped(page, smol, how):
    page.set(temperature="0")
    page.say("Write a very long story about the sea.")
    page.wait(lambda: len("".join(page.text(".its .said"))) > 20)
    if how == "escape":
        page.find("#input").send_keys(Keys.ESCAPE)
    else:
        page.find("#stop").click()
    page.wait(lambda: page.text(".its .note") == ["stopped"])
    assert smol.wait_until_idle()
    before = page.text(".its .said")
    time.sleep(0.3)
    assert page.text(".its .said") == before
    assert page.find("#send").is_displayed() and not page.all(".busy")
    page.find("#fresh").click()
    assert page.find("#welcome").is_displayed() and not page.all(".message")


def test_the_status_is_alive(page):
    page.say("Write a long story about a fox.")
    rate = lambda: dict(zip(page.text(".tile dt"), page.text(".tile dd")))
    page.wait(lambda: rate().get("Running") == "1")
    page.wait(lambda: float(rate()["Tokens a second"]) > 1)
    assert page.find("#state").get_attribute("data-is") == "busy"
    tiles = rate()
    assert tiles["Waiting"] == "0" and tiles["KV cache"].endswith("%") and float(tiles["KV cache"][:-1]) > 0
    page.find("#input").send_keys(Keys.ESCAPE)
    page.wait(lambda: rate()["Running"] == "0")
    page.wait(lambda: page.find("#state").get_attribute("data-is") == "ready")
    assert len(page.run("return document.querySelector('.tile polyline').getAttribute('points')").split()) > 2


def test_the_status_pauses_while_nobody_looks(page):
    fetched = lambda: page.run("return performance.getEntriesByType('resource').filter(e => e.name.endsWith('/metrics')).length")
    hide = """Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
              document.dispatchEvent(new Event('visibilitychange'))"""
    page.wait(lambda: fetched() >= 2)
    page.run(hide, True)
    time.sleep(0.3)
    count = fetched()
    time.sleep(2)
    assert fetched() == count
    page.run(hide, False)
    page.wait(lambda: fetched() >= count + 2)


def test_text_is_never_markup(page):
    page.run("""const place = document.createElement('div'); place.id = 'shown'; place.className = 'said'; document.body.append(place);
        showText(place, arguments[0])""",
             "# Title\n\n<img src=x onerror=alert(1)> **bold** `<b>` [x](javascript:alert(1))\n\n- a\n- b\n\n"
             "```html\n<script>alert(1)</script>\n```\n\n~~~\nopen")
    assert page.run("return [...document.querySelectorAll('#shown *')].map(n => n.localName).filter(n => "
                    "!['p', 'strong', 'code', 'figure', 'figcaption', 'span', 'button', 'pre'].includes(n))") == []
    assert page.text("#shown pre") == ["<script>alert(1)</script>", "open"]
    assert page.text("#shown strong") == ["bold"] and page.text("#shown .title") == ["Title"]
    assert "<img src=x onerror=alert(1)>" in page.text("#shown p")[1] and page.text("#shown p")[2] == "\u2022 a\n\u2022 b"


REASONED = [{"role": "assistant", "content": ""}, {"reasoning": "Let me ", "reasoning_content": "Let me "}, {"reasoning_content": "think."},
            {"content": "Yes"}, {"content": "."},
            {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "look_up", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"q":'}}]}, {"tool_calls": [{"index": 0, "function": {"arguments": '1}'}}]}]

FAKE = """const events = arguments[0], real = window.real = fetch;
    window.fetch = (url, options) => {
      if (!String(url).endsWith('completions')) return real(url, options);
      return Promise.resolve(new Response(new Blob(events), {headers: {'Content-Type': 'text/event-stream'}}));
    }"""


def test_thoughts_fold_and_calls_are_shown(page):
    events = [": ping\n\n"] + [f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n" for delta in REASONED]
    page.run(FAKE, events + ["data: [DONE]\n\n"])
    page.say("Think.")
    assert page.answer() == "Yes."
    assert page.find(".thought").get_attribute("open") is None
    assert page.text(".thought summary")[0].startswith("Thought for ")
    page.find(".thought summary").click()
    assert page.text(".thought div") == ["Let me think."]
    assert page.text(".tool figcaption") == ["Calls look_up"] and page.text(".tool pre") == ['{"q":1}']


def test_what_went_wrong_is_said(page):
    page.run(FAKE, ['data: {"choices":[{"index":0,"delta":{"content":"Ye"}}]}\n\n', 'data: {"error":{"message":"the engine failed"}}\n\n'])
    page.say("Hello")
    page.wait(lambda: page.text(".failed") == ["the engine failed"])
    assert page.find(".failed").get_attribute("role") == "alert"
    page.browser.refresh()
    page.set(temperature="0", max_tokens="5")
    page.run(FAKE, ['data: {"choices":[{"index":0,"delta":{"content":"Ye"}}]}\n\n'])
    page.say("Hello")
    page.wait(lambda: page.text(".failed") == ["The answer was cut off."])
    page.run("window.fetch = window.real")
    page.run("document.querySelector('.its button').click()")
    assert page.answer() and not page.all(".failed")


def luminance(page, selector, what):
    color = page.run("return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]", selector, what)
    red, green, blue = [int(word.strip(" rgba()")) / 255 for word in color.split(",")[:3]]
    linear = lambda c: c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(page, scheme):
    page.look(1200, 800, scheme)
    ground = luminance(page, "body", "backgroundColor")
    assert (ground < 0.1) == (scheme == "dark")
    for selector in ("body", ".quiet", "#model", "#status h2", "#welcome"):
        ink = luminance(page, selector, "color")
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, selector
    button, label = luminance(page, "#send", "backgroundColor"), luminance(page, "#send", "color")
    assert (max(button, label) + 0.05) / (min(button, label) + 0.05) >= 4.5


def test_it_fits_a_narrow_screen(page):
    page.look(360, 640)
    page.set(temperature="0", max_tokens="60")
    page.say("Show a short Python function with a very_long_name_that_does_not_break_anywhere_at_all_in_any_case_whatsoever.")
    page.answer()
    assert page.run("return document.scrollingElement.scrollWidth") <= 360
    for selector in ("#open-settings", "#fresh", "#input", "#send"):
        box = page.find(selector).rect
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["y"] + box["height"] <= 640, selector
    page.find("#open-settings").click()
    assert page.run("return document.querySelector('#settings').scrollWidth") <= 360
    page.find("#settings .strong").click()


def test_everything_is_reached_by_keyboard_and_named(page):
    page.wait(lambda: len(page.all(".tile")) > 0)
    reached = set()
    for _ in range(12):
        reached.add(page.run("return document.activeElement.id"))
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
    assert {"input", "model", "fresh", "open-settings", "log", "status"} <= reached
    assert page.run("""return [...document.querySelectorAll('input, select, textarea')]
        .filter(n => !n.labels.length && !n.ariaLabel).map(n => n.id)""") == []
    page.run("document.getElementById('fresh').focus()")
    page.browser.switch_to.active_element.send_keys(Keys.TAB)
    assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_key_is_asked_for_when_one_is_needed(browser, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("sesame\n")
    server = Server(MODELS / "nemotron_h", "--served-model-name", "hybrid", "--memory", "256MiB", "--api-key-file", str(keys))
    try:
        page = Page(browser, server.url)
        page.wait(lambda: page.find("#ask-key").is_displayed())
        page.find("#asked-key").send_keys("sesame", Keys.ENTER)
        page.wait(lambda: page.text("#model")[0].strip() == "hybrid")
        assert page.run("return sessionStorage.getItem('braid.key')") == "sesame"
        assert page.run("return localStorage.getItem('braid.settings') || ''").find("sesame") < 0
    finally:
        server.stop()
        browser.get("about:blank")


def test_without_the_page_there_is_none():
    server = Server(MODELS / "nemotron_h", "--memory", "256MiB", "--page", "off")
    try:
        assert server.get("/")[0] == 404
    finally:
        server.stop()
