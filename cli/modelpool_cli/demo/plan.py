"""Which jobs the demonstration sends. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = ("red", "yellow", "green", "white", "purple", "pink", "blue")
PLACES = ("on the left", "on the right", "at the top", "at the bottom", "in the center")
BACKGROUNDS = ("blue", "black", "gray", "white", "purple", "green", "yellow")

PICTURES = {"shapes-flat": 8, "shapes-outline": 5, "shapes-neon": 5, "shapes-mosaic": 5}
"""Pictures by model. The last three have two slots between them, so the operator has to swap."""
VIDEO_MODEL = "shapes-motion"


@dataclass(frozen=True, slots=True)
class DemoJob:
    """One job. ``repeats`` names the job whose request this is again, ``moves`` the one whose picture it brings to life."""

    name: str
    model: str
    prompt: str
    seed: int
    paid: bool
    repeats: str | None = None
    moves: str | None = None

    @property
    def comes_second(self) -> bool:
        """Whether another job has to be done first."""
        return self.repeats is not None or self.moves is not None

    @property
    def extension(self) -> str:
        """Of its file."""
        return ".mp4" if self.moves else ".png"


def plan() -> list[DemoJob]:
    """Pictures with every model, every third one paid; one request again from the other lane; two videos."""
    jobs: list[DemoJob] = []
    for model, count in PICTURES.items():
        for number in range(1, count + 1):
            index = len(jobs)
            jobs.append(
                DemoJob(
                    name=f"{model.removeprefix('shapes-')}-{number}",
                    model=model,
                    prompt=prompt(index),
                    seed=1000 + index,
                    paid=index % 3 == 2,
                )
            )
    first = jobs[0]
    jobs.append(DemoJob("flat-1-again", first.model, first.prompt, first.seed, not first.paid, repeats=first.name))
    for number, source in enumerate(("flat-2", "flat-3"), start=1):
        jobs.append(DemoJob(f"motion-{number}", VIDEO_MODEL, "", 2000 + number, number == 1, moves=source))
    return jobs


def prompt(index: int) -> str:
    """A sentence that the demonstration models understand; another one for every index in a demonstration."""
    shape, colour, place = SHAPES[index % 5], COLOURS[index % 7], PLACES[(index + index // 5) % 5]
    others = [background for background in BACKGROUNDS if background != colour]
    return f"a {colour} {shape} {place} on a {others[(index + index // 7) % len(others)]} background"
