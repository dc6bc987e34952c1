"""One Prometheus with the story in it, and one browser, for all tests of dashboards."""

from collections.abc import Iterator

import pytest

from tests.dashboards.browser import Browser, browser
from tests.dashboards.prometheus import running, write_blocks


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    write_blocks(folder)
    with running(folder) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened
