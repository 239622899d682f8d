"""Tiny real pipelines, built once a run, and the warnings that third parties cannot help."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.pipelines import build_image_to_video, build_text_to_image

THIRD_PARTY = (
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning:diffusers.*",
    "ignore:`torch.jit.*` is deprecated:DeprecationWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder may meet them."""
    for item in items:
        if "worker" in item.path.parts:
            for warning in THIRD_PARTY:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def picture_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Stable Diffusion XL pipeline."""
    return build_text_to_image(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def video_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Stable Video Diffusion pipeline."""
    return build_image_to_video(tmp_path_factory.mktemp("videos"))
