"""The four text-to-image models: one trained from nothing, three fine-tuned from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from modelpool_training.autoencoder import LATENT_CHANNELS
from modelpool_training.pictures import encoded_set
from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage
from modelpool_training.tokenizer import MAX_TOKENS
from modelpool_training.vocabulary import loose_sentence

_BATCH = 64
_TEXT_WIDTH = 128
_SIZE_EMBEDDING = 16
_EMPTY_SHARE = 0.1  # prompts emptied in training, so that guidance has something to lead away from


@dataclass(frozen=True, slots=True)
class TextToImage:
    """The trained parts of one model."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModelWithProjection


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


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """An untrained text encoder for the tokenizer's vocabulary."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_TEXT_WIDTH,
        intermediate_size=2 * _TEXT_WIDTH,
        projection_dim=_TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_act="gelu",
    )
    return CLIPTextModelWithProjection(config)


def new_unet() -> UNet2DConditionModel:
    """An untrained UNet that takes the pooled text and the picture's size beside the time step, as SDXL's does."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 64, 80),
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=4,  # heads, whatever its name says
        cross_attention_dim=_TEXT_WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=_SIZE_EMBEDDING,
        projection_class_embeddings_input_dim=6 * _SIZE_EMBEDDING + _TEXT_WIDTH,
    )


def train_text_to_image(
    style: str,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    *,
    start: TextToImage | None,
    work: Path,
    plan: Plan,
) -> TextToImage:
    """Train one style; from `start` only the UNet learns on, and the text encoder stays as it is."""
    torch.manual_seed(2)
    unet, text_encoder = new_unet(), new_text_encoder(tokenizer)
    trained: nn.Module = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
    if start is not None:
        unet.load_state_dict(start.unet.state_dict())
        text_encoder.load_state_dict(start.text_encoder.state_dict())
        text_encoder.requires_grad_(False)
        trained = unet
    latents, scenes = encoded_set(autoencoder, style, plan.drawings, seed=2, work=work)
    scheduler = new_scheduler()
    sizes = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]]).expand(_BATCH, -1)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(latents), (_BATCH,), generator=generator)
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        texts = ["" if rng.random() < _EMPTY_SHARE else loose_sentence(scenes[int(index)], rng) for index in chosen]
        tokens = tokenizer(
            texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
        ).input_ids
        text = text_encoder(tokens, output_hidden_states=True)
        clean = latents[chosen]
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.randint(scheduler.config.num_train_timesteps, (_BATCH,), generator=generator)
        noisy = scheduler.add_noise(clean, noise, times)
        predicted = unet(
            noisy,
            times,
            encoder_hidden_states=text.hidden_states[-2],  # the pipeline takes the last layer but one
            added_cond_kwargs={"text_embeds": text.text_embeds, "time_ids": sizes},
        ).sample
        return nn.functional.mse_loss(predicted, scheduler.get_velocity(clean, noise, times))

    run_stage(
        f"shapes-{style}",
        trained,
        loss_of_step,
        work=work,
        steps=plan.primary_steps if start is None else plan.style_steps,
        learning_rate=2e-3 if start is None else 8e-4,
    )
    return TextToImage(unet.requires_grad_(False), text_encoder.eval().requires_grad_(False))
