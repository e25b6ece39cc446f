"""The smallest backbone that can be trained."""

from r2rec.config import TinySpec

SMALLEST = TinySpec(
    hidden=16,
    layers=1,
    heads=1,
    feed_forward=32,
    batch_tokens=512,
    prompts_per_world=8,
)
