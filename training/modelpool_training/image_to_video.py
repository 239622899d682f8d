"""The image-to-video model: its own autoencoder (it decodes frames together), vision tower and UNet."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from modelpool_training.autoencoder import LATENT_CHANNELS, LATENT_NOISE, encode_mean, shape_loss
from modelpool_training.motion import FRAMES, FRAMES_PER_SECOND, draw_clip
from modelpool_training.pictures import to_signal
from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage
from modelpool_training.text_to_image import shape_weight
from modelpool_training.vocabulary import STYLES, training_scenes

VISION_SIZE = 224  # pixels on each side of the picture that the pipeline hands to the vision tower
VISION_MEAN = (0.5, 0.5, 0.5)
VISION_STD = (0.5, 0.5, 0.5)

_FRAME_BATCH = 8
_BATCH = 4  # clips
_CHANNELS = (64, 32, 64)
_DECODER_RESNET = re.compile(r"(^decoder\..*resnets\.\d+\.)")
_VISION_WIDTH = 64
_NUMBER_EMBEDDING = 32
_EMPTY_SHARE = 0.1
_SLOWEST, _FASTEST = 40.0, 200.0  # motion buckets seen in training
_MOST_NOISE_ON_PICTURE = 0.1


@dataclass(frozen=True, slots=True)
class Clips:
    """Clips (count × 8 × 3 × 64 × 64, 0 to 255) and the motion bucket of each."""

    pixels: Tensor
    motions: Tensor


@dataclass(frozen=True, slots=True)
class ImageToVideo:
    """The trained parts of the model."""

    autoencoder: AutoencoderKLTemporalDecoder
    image_encoder: CLIPVisionModelWithProjection
    unet: UNetSpatioTemporalConditionModel


def new_video_scheduler() -> EulerDiscreteScheduler:
    """Stable Video Diffusion's scheduler; for latents this small, noise of 80 already hides everything."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="leading",
        timestep_type="continuous",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=80.0,
    )


def new_frame_autoencoder() -> AutoencoderKL:
    """The untrained autoencoder of single frames whose weights become the video's.

    The video class fixes 32 groups for its norms. With 32 channels at the picture's resolution each group would be
    one channel, and norming it would wipe out the colour of plain backgrounds; hence 64.
    """
    frames = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(_CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(_CHANNELS),
        block_out_channels=_CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=32,
        sample_size=64,
        use_post_quant_conv=False,
    )
    # With one layer a block, the video decoder's middle is one residual block and no attention.
    frames.decoder.mid_block.resnets = frames.decoder.mid_block.resnets[:1]
    frames.decoder.mid_block.attentions = nn.ModuleList()
    return frames


def as_video_autoencoder(frames: AutoencoderKL) -> AutoencoderKLTemporalDecoder:
    """The same autoencoder as the class that decodes frames together.

    Its layers across time pass through what they get: blurring in time is nothing these clean drawings need, and
    training those layers would cost four times as much.
    """
    video = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * len(_CHANNELS),
        block_out_channels=_CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        sample_size=64,
        scaling_factor=frames.config.scaling_factor,
        force_upcast=False,
    )
    weights = video.state_dict()
    for name, value in frames.state_dict().items():
        weights[_DECODER_RESNET.sub(r"\1spatial_res_block.", name)].copy_(value)
    for name, value in weights.items():
        if ".temporal_res_block.conv2." in name:
            value.zero_()
    middle_tap = torch.zeros_like(weights["decoder.time_conv_out.weight"])
    middle_tap[:, :, 1, 0, 0] = torch.eye(len(middle_tap))
    weights["decoder.time_conv_out.weight"].copy_(middle_tap)
    weights["decoder.time_conv_out.bias"].zero_()
    video.load_state_dict(weights)
    return video


def new_vision_tower() -> CLIPVisionModelWithProjection:
    """An untrained tower that sums a picture up in one vector."""
    config = CLIPVisionConfig(
        hidden_size=_VISION_WIDTH,
        intermediate_size=2 * _VISION_WIDTH,
        projection_dim=_VISION_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=VISION_SIZE,
        patch_size=32,
        hidden_act="gelu",
    )
    return CLIPVisionModelWithProjection(config)


def new_video_unet() -> UNetSpatioTemporalConditionModel:
    """An untrained UNet over noisy frames beside the picture's latents."""
    return UNetSpatioTemporalConditionModel(
        sample_size=16,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"),
        up_block_types=("CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        block_out_channels=(64, 64),
        layers_per_block=1,
        num_attention_heads=(4, 4),
        cross_attention_dim=_VISION_WIDTH,
        addition_time_embed_dim=_NUMBER_EMBEDDING,
        projection_class_embeddings_input_dim=3 * _NUMBER_EMBEDDING,
        num_frames=FRAMES,
    )


def draw_clips(count: int, seed: int) -> Clips:
    """Clips of training scenes, the styles in turn."""
    rng = np.random.default_rng([seed, len(STYLES)])
    scenes = training_scenes()
    motions = rng.uniform(_SLOWEST, _FASTEST, count)
    clips = [
        np.stack(draw_clip(scenes[int(rng.integers(len(scenes)))], STYLES[number % len(STYLES)], motion, rng))
        for number, motion in enumerate(motions)
    ]
    pixels = torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).contiguous()
    return Clips(pixels, torch.from_numpy(motions).float())


def train_image_to_video(teacher: AutoencoderKL, work: Path, plan: Plan) -> ImageToVideo:
    """Train UNet and vision tower together on the latents of the pictures' autoencoder, then one that decodes clips."""
    clips = draw_clips(plan.clips, seed=3)
    image_encoder, unet = _train_unet(clips, teacher, work, plan)
    return ImageToVideo(_train_autoencoder(clips, teacher, work, plan), image_encoder, unet)


def _train_autoencoder(clips: Clips, teacher: AutoencoderKL, work: Path, plan: Plan) -> AutoencoderKLTemporalDecoder:
    """Train another autoencoder to the same latents: the video class cannot take the pictures' one, see above."""
    torch.manual_seed(3)
    autoencoder = new_frame_autoencoder()
    scale = teacher.config.scaling_factor
    autoencoder.register_to_config(scaling_factor=scale)
    frames = clips.pixels.flatten(0, 1)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        signal = to_signal(frames[torch.randint(len(frames), (_FRAME_BATCH,), generator=generator)])
        latents = encode_mean(teacher, signal)
        encoded = autoencoder.encode(signal).latent_dist.mode() * scale
        noise = LATENT_NOISE * torch.randn(latents.shape, generator=generator)
        decoded = autoencoder.decode((latents + noise) / scale).sample
        return shape_loss(decoded, signal) + nn.functional.mse_loss(encoded, latents)

    run_stage(
        "video-autoencoder",
        autoencoder,
        loss_of_step,
        work=work,
        steps=plan.video_autoencoder_steps,
        learning_rate=2e-3,
    )
    return as_video_autoencoder(autoencoder).eval().requires_grad_(False)


def _train_unet(
    clips: Clips, autoencoder: AutoencoderKL, work: Path, plan: Plan
) -> tuple[CLIPVisionModelWithProjection, UNetSpatioTemporalConditionModel]:
    torch.manual_seed(4)
    image_encoder, unet = new_vision_tower(), new_video_unet()
    trained = nn.ModuleDict({"image_encoder": image_encoder, "unet": unet})
    latents = torch.stack([encode_mean(autoencoder, to_signal(clip)) for clip in clips.pixels])

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(latents), (_BATCH,), generator=generator)
        clean, picture = latents[chosen], to_signal(clips.pixels[chosen, 0])
        strength = _MOST_NOISE_ON_PICTURE * torch.rand(_BATCH, generator=generator)
        noisy_picture = picture + strength.view(-1, 1, 1, 1) * torch.randn(picture.shape, generator=generator)
        condition = encode_mean(autoencoder, noisy_picture)
        condition = condition + LATENT_NOISE * torch.randn(condition.shape, generator=generator)
        condition = condition / autoencoder.config.scaling_factor  # unscaled, as the pipeline has it
        large = nn.functional.interpolate(picture, size=(VISION_SIZE, VISION_SIZE), mode="bicubic")
        embedding = image_encoder(large).image_embeds.unsqueeze(1)
        kept = (torch.rand(_BATCH, generator=generator) >= _EMPTY_SHARE).float()
        numbers = torch.stack(
            [torch.full((_BATCH,), FRAMES_PER_SECOND - 1.0), clips.motions[chosen].round(), strength], dim=1
        )
        sigma = (1.4 * torch.randn(_BATCH, generator=generator)).exp()
        level = sigma.view(-1, 1, 1, 1, 1)
        noisy = clean + level * torch.randn(clean.shape, generator=generator)
        seen = torch.cat(
            [
                noisy / (level.square() + 1).sqrt(),
                (condition * kept.view(-1, 1, 1, 1)).unsqueeze(1).expand(-1, FRAMES, -1, -1, -1),
            ],
            dim=2,
        )
        predicted = unet(seen, 0.25 * sigma.log(), embedding * kept.view(-1, 1, 1), added_time_ids=numbers).sample
        # The scheduler reads the output so: clean = noisy / (σ² + 1) - output × σ / √(σ² + 1).
        wanted = (noisy / (level.square() + 1) - clean) * (level.square() + 1).sqrt() / level
        weight = shape_weight(clean.flatten(0, 1)).unflatten(0, clean.shape[:2])
        loss: Tensor = (weight * (predicted - wanted).square()).mean()
        return loss

    run_stage("shapes-motion", trained, loss_of_step, work=work, steps=plan.video_steps, learning_rate=1.5e-3)
    return image_encoder.requires_grad_(False), unet.requires_grad_(False)
