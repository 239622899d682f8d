"""Everything heavy that workers share, imported once in a fork server; its children share the memory.

Importing is all that may happen here: no torch operation, no thread and no CUDA call, or forked children break.
Collecting what imports left behind and freezing the rest keeps the garbage collector from touching shared pages.
"""

from __future__ import annotations

import gc
import importlib
import os

# OpenBLAS starts its threads when numpy is imported; torch has its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

MODULES = (
    "torch",
    "transformers.models.clip.modeling_clip",
    "transformers.models.clip.tokenization_clip",
    "transformers.models.clip.image_processing_clip",
    "diffusers.pipelines.auto_pipeline",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl",
    "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img",
    "diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion",
    "av",
    "modelpool_worker.engines.diffusers",
    "modelpool_worker.main",
)


def _import_all() -> None:
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


_import_all()
