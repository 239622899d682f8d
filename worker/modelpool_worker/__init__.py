"""One worker of a pool: holds models on one device, claims batches for them, and delivers pictures and videos.

Importing this package makes the process refuse remote code and the network, and keeps libraries from logging warnings,
because diffusers quotes prompts in some. They read these switches when they are imported, so they are set before.
"""

import os

os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["DIFFUSERS_VERBOSITY"] = "error"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
