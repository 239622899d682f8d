"""Train the models in the order in which they build on one another."""

from collections.abc import Iterable
from pathlib import Path

from diffusers import AutoencoderKL

from modelpool_training.autoencoder import train_autoencoder
from modelpool_training.export import export_image_to_video, export_text_to_image
from modelpool_training.image_to_video import train_image_to_video
from modelpool_training.plan import Plan
from modelpool_training.text_to_image import TextToImage, train_text_to_image
from modelpool_training.tokenizer import load_tokenizer, write_tokenizer
from modelpool_training.vocabulary import MODELS, STYLES


def train(names: Iterable[str], work: Path, out: Path, plan: Plan) -> None:
    """Train the named models, and what they start from, and write each as a folder into `out`.

    Whatever `work` holds of an earlier run with the same plan is continued or reused.
    """
    wanted = set(names)
    work.mkdir(parents=True, exist_ok=True)
    autoencoder = train_autoencoder(work, plan)
    if wanted & set(MODELS[:-1]):
        _train_pictures(wanted, autoencoder, work, out, plan)
    if MODELS[-1] in wanted:
        export_image_to_video(train_image_to_video(autoencoder, work, plan), out / MODELS[-1])


def _train_pictures(wanted: set[str], autoencoder: AutoencoderKL, work: Path, out: Path, plan: Plan) -> None:
    write_tokenizer(work / "tokenizer")
    tokenizer = load_tokenizer(work / "tokenizer")
    primary: TextToImage | None = None
    for style in STYLES:
        name = f"shapes-{style}"
        if primary is not None and name not in wanted:
            continue
        model = train_text_to_image(style, autoencoder, tokenizer, start=primary, work=work, plan=plan)
        primary = primary or model
        if name in wanted:
            export_text_to_image(model, autoencoder, tokenizer, out / name)
