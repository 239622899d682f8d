"""The video model's autoencoder: 64×64 pixels to 16×16 latents of four channels, several frames decoded together."""

import re
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder
from torch import Tensor, nn

from modelpool_training.autoencoder import LATENT_CHANNELS, LATENT_NOISE, encode_mean, shape_loss
from modelpool_training.pictures import to_signal
from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage

_BATCH = 8  # frames
_CHANNELS = (64, 32, 64)
_DECODER_RESNET = re.compile(r"(^decoder\..*resnets\.\d+\.)")
_LATENT_NOISE = 0.1  # on scaled latents; more than in the pictures' one, as eight frames come out less exactly
_EDGE_WEIGHT = 4.0


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


def train_video_autoencoder(
    clips: Tensor, teacher: AutoencoderKL, work: Path, plan: Plan
) -> AutoencoderKLTemporalDecoder:
    """Train on the single frames of clips (count × frames × 3 × 64 × 64, 0 to 255).

    First to the latents of the pictures' autoencoder, which a narrow one finds sooner; then the decoder alone, on the
    latents that the encoder has come to make, with an eye on the edges of the shapes.
    """
    torch.manual_seed(3)
    autoencoder = new_frame_autoencoder()
    scale = teacher.config.scaling_factor
    autoencoder.register_to_config(scaling_factor=scale)
    frames = clips.flatten(0, 1)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        signal = to_signal(frames[torch.randint(len(frames), (_BATCH,), generator=generator)])
        latents = encode_mean(teacher, signal)
        noise = LATENT_NOISE * torch.randn(latents.shape, generator=generator)
        with quick_arithmetic():
            encoded = autoencoder.encode(signal).latent_dist.mode() * scale
            decoded = autoencoder.decode((latents + noise) / scale).sample
        return shape_loss(decoded.float(), signal) + nn.functional.mse_loss(encoded.float(), latents)

    run_stage(
        "video-autoencoder",
        autoencoder,
        loss_of_step,
        work=work,
        steps=plan.video_autoencoder_steps,
        learning_rate=2e-3,
    )
    autoencoder.requires_grad_(False)
    _train_decoder(autoencoder, clips, work, plan)
    return as_video_autoencoder(autoencoder).eval().requires_grad_(False)


def _train_decoder(autoencoder: AutoencoderKL, clips: Tensor, work: Path, plan: Plan) -> None:
    decoder = autoencoder.decoder.requires_grad_(True)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(clips), (_BATCH,), generator=generator)
        signal = to_signal(clips[chosen, torch.randint(clips.shape[1], (_BATCH,), generator=generator)])
        latents = encode_mean(autoencoder, signal)
        noise = _LATENT_NOISE * torch.randn(latents.shape, generator=generator)
        with quick_arithmetic():
            decoded = decoder((latents + noise) / autoencoder.config.scaling_factor)
        difference = decoded.float() - signal
        weight = edge_weight(signal, to_signal(clips[chosen, 0]), to_signal(clips[chosen, -1]))
        loss: Tensor = (weight * (difference.abs() + difference.square())).mean()
        return loss

    run_stage("video-decoder", decoder, loss_of_step, work=work, steps=plan.video_decoder_steps, learning_rate=5e-4)
    decoder.requires_grad_(False)


def quick_arithmetic() -> AbstractContextManager[object]:
    """Brain floats for products and sums where the processor has them: a third faster, and as good to train with."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(torch.cpu.get_capabilities().get("avx512_bf16")))


def edge_weight(signal: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """How much each pixel of some frames counts (count × 1 × 64 × 64), given the first and the last frame of their clips.

    Several times as much where the drift shows, along the edges of the shape; tiles and joints do not drift.
    """
    moved = torch.maximum((signal - first).abs(), (signal - last).abs()).amax(dim=1, keepdim=True) > 0.1
    return 1 + _EDGE_WEIGHT * moved
