"""The four text-to-image models: one trained from nothing, three fine-tuned from it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from modelpool_training.autoencoder import LATENT_CHANNELS
from modelpool_training.pictures import LATENT_SIZE, Encoded
from modelpool_training.stages import run_stage
from modelpool_training.text_encoder import TEXT_WIDTH, tokens_of
from modelpool_training.vocabulary import loose_sentence

_BATCH = 32
_SIZE_EMBEDDING = 16
_LATE = 0.4  # below one, noisier steps come more often: place and shape are settled there, by the prompt alone
_SHAPE_WEIGHT = 4.0
_EMPTY_SHARE = 0.1  # prompts emptied in training, so that guidance has something to lead away from


def new_scheduler() -> DDIMScheduler:
    """v-prediction down to pure noise: brightness and hue of the whole picture come from the prompt, not the noise.

    Clipping is on by default and would ruin latents, which reach beyond one.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def new_unet() -> UNet2DConditionModel:
    """An untrained UNet that takes the pooled text and the picture's size beside the time step, as SDXL's does."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 64, 80),
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=4,  # heads, whatever its name says
        cross_attention_dim=TEXT_WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_SIZE_EMBEDDING,
        projection_class_embeddings_input_dim=6 * _SIZE_EMBEDDING + TEXT_WIDTH,
    )


def train_unet(
    name: str,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModelWithProjection,
    *,
    encoded: Callable[[], Encoded],
    start: UNet2DConditionModel | None,
    steps: int,
    work: Path,
) -> UNet2DConditionModel:
    """Train a UNet on encoded drawings, from nothing or on from `start`; `name` is the stage's.

    `encoded` is asked for them only if there is something left to train.
    """
    torch.manual_seed(2)
    unet = new_unet()
    if start is not None:
        unet.load_state_dict(start.state_dict())
    scheduler = new_scheduler()
    sizes = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).expand(_BATCH, -1)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(encoded().latents), (_BATCH,), generator=generator)
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        texts = [
            "" if rng.random() < _EMPTY_SHARE else loose_sentence(encoded().scenes[int(index)], rng) for index in chosen
        ]
        with torch.no_grad():
            text = text_encoder(tokens_of(tokenizer, texts), output_hidden_states=True)
        clean = encoded().latents[chosen]
        noise = torch.randn(clean.shape, generator=generator)
        times = (torch.rand(_BATCH, generator=generator) ** _LATE * scheduler.config.num_train_timesteps).long()
        noisy = scheduler.add_noise(clean, noise, times)
        predicted = unet(
            noisy,
            times,
            encoder_hidden_states=text.hidden_states[-2],  # the pipeline takes the last layer but one
            added_cond_kwargs={"text_embeds": text.text_embeds, "time_ids": sizes},
        ).sample
        missed = (predicted - scheduler.get_velocity(clean, noise, times)).square()
        loss: Tensor = (missed * shape_weight(encoded().covers[chosen])).mean()
        return loss

    run_stage(
        name,
        unet,
        loss_of_step,
        work=work,
        steps=steps,
        learning_rate=1e-3 if start is None else 8e-4,
    )
    return unet.requires_grad_(False)


def shape_weight(covers: Tensor) -> Tensor:
    """How much each latent counts: more where the shape is, whose corners are few and matter."""
    return 1 + _SHAPE_WEIGHT * covers.float()
