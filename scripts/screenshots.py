"""Takes pictures of the pages of a running site, at two widths, in light and dark.

    python -m scripts.screenshots --base http://127.0.0.1:8000 --user root --password …

It drives Debian's chromium (or $CHROMIUM); it reads pages only and changes nothing.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, BrowserContext, sync_playwright

WIDTHS = (390, 1440)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--metrics-recording-only",
    "--mute-audio",
)


class NoBrowser(Exception):
    """There is no chromium on this machine: `apt-get install -y chromium`, or set $CHROMIUM."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One page to take: a file name and an address below the site's root."""

    name: str
    path: str


def chromium_path() -> str:
    """Return the browser's program.

    Raises:
        NoBrowser: none is installed.
    """
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(found).exists():
        raise NoBrowser(NoBrowser.__doc__)
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the browser for the length of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=list(ARGUMENTS), headless=True
        )
        try:
            yield browser
        finally:
            browser.close()


def new_context(
    browser: Browser, *, width: int, scheme: Literal["light", "dark"]
) -> BrowserContext:
    """Return a window of one width and colour scheme; narrow ones count as phones."""
    return browser.new_context(
        viewport={"width": width, "height": 900 if width > 600 else 844},
        color_scheme=scheme,
        device_scale_factor=2 if width < 600 else 1,
        reduced_motion="reduce",
    )


def log_in(context: BrowserContext, *, base: str, user: str, password: str) -> None:
    """Log in through the login page, as a person would."""
    page = context.new_page()
    page.goto(f"{base}/admin/login/?next=/")
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    page.click("[type=submit]")
    page.wait_for_url(f"{base}/")
    page.close()


def take_pictures(
    pictures: Sequence[Picture], *, base: str, user: str, password: str, directory: Path
) -> list[Path]:
    """Store every picture at every width and scheme; return the files, in that order."""
    directory.mkdir(parents=True, exist_ok=True)
    made = []
    with open_browser() as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                context = new_context(browser, width=width, scheme=scheme)
                log_in(context, base=base, user=user, password=password)
                page = context.new_page()
                for picture in pictures:
                    page.goto(base + picture.path, wait_until="load")
                    target = directory / f"{picture.name}-{width}-{scheme}.png"
                    page.screenshot(path=target, full_page=True)
                    made.append(target)
                context.close()
    return made


def pictures_of(paths: Sequence[str]) -> list[Picture]:
    """Return pictures named after their addresses."""
    return [
        Picture(path.strip("/").split("?")[0].replace("/", "-") or "overview", path)
        for path in paths
    ]


def main(arguments: Sequence[str]) -> int:
    """Take pictures of the given addresses and print the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--dir", type=Path, default=Path("screenshots"))
    parser.add_argument("paths", nargs="*", default=["/"])
    options = parser.parse_args(arguments)
    made = take_pictures(
        pictures_of(options.paths),
        base=options.base.rstrip("/"),
        user=options.user,
        password=options.password,
        directory=options.dir,
    )
    for path in made:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
