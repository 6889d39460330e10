"""A headless Chromium that remembers what its pages ask for, for tests of the web demo."""

import base64
import io
import itertools
import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from support.patience import PATIENCE

REQUIRED = 'MMCM_REQUIRE_BROWSER'  # if it is set, a missing browser fails the tests
SCREENSHOTS = 'MMCM_TEST_SCREENSHOTS'  # names a folder where pictures of the page are kept
WITHIN = ('about', 'blob', 'chrome', 'data')  # schemes of addresses that no server is asked for
ANSWER = 300  # seconds in which a browser or a page answers, unless it hangs
FILTERED = 20  # seconds in which a list shows what fits a text, unless it was drawn anew
FEWER_FRAMES = """
const ask = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = draw => setTimeout(() => ask(draw), 100);
"""  # the canvas is drawn again in each frame, which takes a processor's core for itself where there is no GPU
READ_SHOWN = """
const done = arguments[arguments.length - 1];
fetch(arguments[0]).then(answer => answer.blob()).then(blob => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(',')[1]);
    reader.readAsDataURL(blob);
});
"""


def found(*names):
    """Return the path of the first of these programs that is installed; skips the test, or fails, if none is."""
    paths = [path for path in map(shutil.which, names) if path]
    if not paths:
        (pytest.fail if os.environ.get(REQUIRED) else pytest.skip)(f'no {names[0]} is installed')
    return paths[0]


def hosts(addresses):
    """Return the hosts that addresses name, but for what lies within the browser."""
    return {urlsplit(address).hostname for address in addresses if urlsplit(address).scheme not in WITHIN}


@contextmanager
def chromium(folder):
    """Yield a driver of Chromium, whose profile lies in `folder`, as `Page` takes it."""
    webdriver = pytest.importorskip('selenium.webdriver')
    options = webdriver.ChromeOptions()
    options.binary_location = found('chromium', 'chromium-browser', 'google-chrome')
    service = webdriver.ChromeService(found('chromedriver'))  # named, so that Selenium looks for none, nor asks for one
    for argument in (
        '--headless=new',
        '--window-size=1300,1600',
        '--disable-dev-shm-usage',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--enable-unsafe-swiftshader',
        f'--user-data-dir={folder}',
        *(['--no-sandbox'] if os.geteuid() == 0 else []),
    ):  # which root cannot have
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', dict(performance='ALL', browser='ALL'))
    driver = webdriver.Chrome(options, service)
    try:
        driver.set_script_timeout(PATIENCE)
        driver.command_executor.client_config.timeout = ANSWER
        driver.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', dict(source=FEWER_FRAMES))
        yield driver
    finally:
        try:
            driver.quit()
        finally:  # one that hangs does not quit
            subprocess.run(['pkill', '-KILL', '-f', f'user-data-dir={folder}'], check=False)


class Page:
    """A page of the web demo in a browser.

    Args:
        driver (WebDriver): See `chromium`.
        folder (Path): Where screenshots go; also to the one that `SCREENSHOTS` names.
    """

    def __init__(self, driver, folder):
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.wait import WebDriverWait

        self.driver = driver
        self.folders = [Path(place) for place in (folder, os.environ.get(SCREENSHOTS)) if place]
        self.css = By.CSS_SELECTOR
        self.waiting = WebDriverWait(driver, ANSWER, 0.1)

    def all(self, selector):
        """Return the visible elements that `selector` finds."""
        return [element for element in self.driver.find_elements(self.css, selector) if element.is_displayed()]

    def one(self, selector):
        """Return the first visible element that `selector` finds, as soon as there is one."""
        return self.waiting.until(lambda driver: self.all(selector), f'nothing like {selector}')[0]

    def tab(self, name):
        """Go to a tab."""
        self.waiting.until(lambda driver: [tab for tab in self.all('button[role=tab]') if tab.text == name])[0].click()

    def enter(self, selector, text):
        """Write `text` into an input, in place of what is in it."""
        from selenium.webdriver.common.keys import Keys

        self.one(selector).click()
        self.one(selector).send_keys(Keys.CONTROL, 'a')
        self.one(selector).send_keys(text, Keys.TAB)

    def choose(self, selector, text):
        """Choose the option `text` of a list, of which one can write the beginning."""
        from selenium.webdriver.common.keys import Keys

        option = f'li[role=option][aria-label="{text}"]'

        def written(driver):
            self.one(selector).send_keys(Keys.ESCAPE)
            self.one(selector).click()
            self.one(selector).send_keys(Keys.CONTROL, 'a')
            self.one(selector).send_keys(text)
            deadline = time.monotonic() + FILTERED
            while not self.all(option) and time.monotonic() < deadline:
                time.sleep(0.1)
            return self.all(option)

        # What comes from the server meanwhile draws the list anew, as it was before.
        self.waiting.until(written, f'{selector} shows no {text}')[0].click()

    def opened(self, words):
        """Wait until what a tab opens with is there: the elements `words` tell how long the drawing took."""
        self.waiting.until(
            lambda driver: 'network evaluation' in ''.join(element.text for element in self.all(words)),
            f'{words} opens with nothing',
        )

    def press(self, selector, words):
        """Press a button, wait until the elements `words` tell how long the drawing took, and return what they tell."""
        before = ''.join(element.text for element in self.all(words))
        self.one(selector).click()

        def told(driver):
            text = ''.join(element.text for element in self.all(words))
            return text if text != before and 'network evaluation' in text else None

        return self.waiting.until(told, f'{words} tells nothing after {selector}')

    def pictures(self, selector, count=1):
        """Return the pictures that the page shows there, (H, W, 3), uint8, from the bytes that it got."""
        images = self.waiting.until(
            lambda driver: len(self.all(f'{selector} img')) >= count and self.all(f'{selector} img'),
            f'{selector} shows no {count} pictures',
        )
        shown = [self.driver.execute_async_script(READ_SHOWN, image.get_attribute('src')) for image in images]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert('RGB')) for content in shown]

    def drag(self, selector, *offsets):
        """Draw a line: from the first point to the others, all in pixels from the middle of the element."""
        from selenium.webdriver.common.action_chains import ActionChains

        element = self.one(selector)
        actions = ActionChains(self.driver).move_to_element_with_offset(element, *offsets[0]).click_and_hold()
        for (x, y), (next_x, next_y) in itertools.pairwise(offsets):
            actions.move_by_offset(next_x - x, next_y - y)
        actions.release().perform()

    def screenshot(self, name):
        """Write what the browser shows to a file."""
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(folder / f'{name}.png'))

    def links(self):
        """Return the hosts that elements of the page refer to, be they asked for or not."""
        addresses = self.driver.execute_script(
            'return [...document.querySelectorAll("[href], [src]")].map(e => String(e.href || e.src))'
        )
        return hosts(addresses)

    def asked(self):
        """Return the hosts that the browser asked for something since the last call."""
        messages = [json.loads(entry['message'])['message'] for entry in self.driver.get_log('performance')]
        addresses = [
            message['params']['request']['url']
            for message in messages
            if message['method'] == 'Network.requestWillBeSent'
        ]
        addresses += [
            message['params']['url'] for message in messages if message['method'] == 'Network.webSocketCreated'
        ]
        return hosts(addresses)

    def errors(self):
        """Return the severe messages on the browser's console since the last call."""
        return [entry['message'] for entry in self.driver.get_log('browser') if entry['level'] == 'SEVERE']
