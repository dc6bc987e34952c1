"""An image is built again exactly when something it is made of changed."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.tool import images
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.images import Recipe
from tests.cluster.tool.paths import Paths


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two images, `app` standing on `floor`."""
    for file in ("floor/packages", "app/code/main.py", "app/notes"):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file)
    unmade = partial(pytest.fail, "no image is made by asking for its key")
    monkeypatch.setattr(images, "REPO", tmp_path)
    recipes = {
        "floor": Recipe(inputs=("floor",), make=unmade),
        "app": Recipe(inputs=("app/code",), make=unmade, on=("floor",)),
    }
    monkeypatch.setattr(images, "RECIPES", recipes)
    return tmp_path


def keys(paths: Paths) -> Mapping[str, str]:
    return {name: images.describe(paths, name).key for name in images.RECIPES}


@pytest.mark.parametrize(
    ("touched", "changed"),
    [
        ("app/code/main.py", {"app"}),
        ("app/code/new.py", {"app"}),
        ("floor/packages", {"app", "floor"}),
        ("app/notes", set()),
        ("app/code/__pycache__/main.pyc", set()),
    ],
)
def test_a_change_reaches_what_is_made_of_it(repository: Path, touched: str, changed: set[str]) -> None:
    paths = Paths(repository)
    before = keys(paths)
    (repository / touched).parent.mkdir(exist_ok=True)
    (repository / touched).write_text("changed")

    after = keys(paths)

    assert {name for name in after if after[name] != before[name]} == changed


def test_an_unknown_image_is_refused_with_those_there_are(repository: Path) -> None:
    with pytest.raises(ToolError, match=r"no image is called hat; there are floor, app"):
        images.ensure(Paths(repository), ["app", "hat"])


def test_every_input_of_our_images_is_there() -> None:
    assert all((images.REPO / name).exists() for recipe in images.RECIPES.values() for name in recipe.inputs)
