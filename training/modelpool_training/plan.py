"""How long each stage trains."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of steps and of drawings (per style). The defaults are meant to take about 90 minutes on two cores."""

    drawings: int = 8000
    clips: int = 1600
    autoencoder_steps: int = 3600
    text_steps: int = 500
    primary_steps: int = 3000
    style_steps: int = 800
    video_steps: int = 2500


FAST = Plan(
    drawings=64,
    clips=8,
    autoencoder_steps=2,
    text_steps=2,
    primary_steps=2,
    style_steps=2,
    video_steps=2,
)
"""Enough to see every stage run and every folder load, in seconds; the pictures are noise."""
