"""Train the models in the order in which they build on one another."""

from collections.abc import Iterable
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel

from modelpool_training.autoencoder import train_autoencoder
from modelpool_training.export import export_image_to_video, export_text_to_image
from modelpool_training.image_to_video import train_image_to_video
from modelpool_training.pictures import encoded_set
from modelpool_training.plan import Plan
from modelpool_training.text_encoder import train_text_encoder
from modelpool_training.text_to_image import train_unet
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
    text_encoder = train_text_encoder(tokenizer, work, plan)

    def train_style(name: str, style: str, steps: int, start: UNet2DConditionModel | None) -> UNet2DConditionModel:
        latents, scenes = encoded_set(autoencoder, style, plan.drawings, seed=2, work=work)
        return train_unet(
            name, tokenizer, text_encoder, latents=latents, scenes=scenes, start=start, steps=steps, work=work
        )

    base = train_style("base", STYLES[0], plan.base_steps, None)
    primary = train_style(MODELS[0], STYLES[0], plan.primary_steps, base)
    for name, style in zip(MODELS, STYLES, strict=False):
        if name in wanted:
            unet = primary if name == MODELS[0] else train_style(name, style, plan.style_steps, primary)
            export_text_to_image(unet, autoencoder, tokenizer, text_encoder, out / name)
