"""The text encoder: it learns to tell from a sentence what the picture shows, before any picture is made."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage
from modelpool_training.tokenizer import MAX_TOKENS
from modelpool_training.vocabulary import BACKGROUNDS, COLOURS, PLACES, SHAPES, Scene, loose_sentence, training_scenes

TEXT_WIDTH = 128

_BATCH = 64
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("shape", SHAPES),
    ("colour", COLOURS),
    ("place", PLACES),
    ("background", BACKGROUNDS),
)


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModelWithProjection:
    """An untrained text encoder for the tokenizer's vocabulary."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        hidden_act="gelu",
    )
    return CLIPTextModelWithProjection(config)


def tokens_of(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token numbers (count × 32), padded and cut as the pipeline does it."""
    encoded = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt")
    numbers: Tensor = encoded.input_ids
    return numbers


def train_text_encoder(tokenizer: CLIPTokenizer, work: Path, plan: Plan) -> CLIPTextModelWithProjection:
    """Train it to name the parts of the scene from the pooled text; what the sentence leaves out it cannot know.

    CLIP learns from pictures what sentences mean; here we know, and it takes a minute. A UNet that is given a text
    which already tells its parts apart obeys it after far fewer steps than one that trains the two together.
    """
    torch.manual_seed(2)
    encoder = new_text_encoder(tokenizer)
    heads = nn.ModuleDict({part: nn.Linear(TEXT_WIDTH, len(names)) for part, names in _PARTS})
    scenes = training_scenes()

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        chosen = [scenes[int(index)] for index in rng.integers(len(scenes), size=_BATCH)]
        tokens = tokens_of(tokenizer, [loose_sentence(scene, rng) for scene in chosen])
        pooled = encoder(tokens).text_embeds
        pooled = pooled + 0.3 * torch.randn(pooled.shape, generator=generator)  # spreads the parts apart
        losses = [
            nn.functional.cross_entropy(heads[part](pooled), _numbers(chosen, part, names)) for part, names in _PARTS
        ]
        return torch.stack(losses).mean()

    trained = nn.ModuleDict({"encoder": encoder, "heads": heads})
    run_stage("text-encoder", trained, loss_of_step, work=work, steps=plan.text_steps, learning_rate=1e-3)
    encoder.requires_grad_(False)
    _set_spread(encoder, tokenizer)
    return encoder


@torch.no_grad()
def _set_spread(encoder: CLIPTextModelWithProjection, tokenizer: CLIPTokenizer) -> None:
    """Scale the projection so that the pooled texts of different scenes spread by about one: what a UNet takes well."""
    rng = np.random.default_rng(2)
    texts = [loose_sentence(scene, rng) for scene in training_scenes()[::5]]
    spread = encoder(tokens_of(tokenizer, texts)).text_embeds.std(dim=0).mean()
    encoder.text_projection.weight.div_(spread)


def _numbers(scenes: list[Scene], part: str, names: tuple[str, ...]) -> Tensor:
    return torch.tensor([names.index(getattr(scene, part)) for scene in scenes])
