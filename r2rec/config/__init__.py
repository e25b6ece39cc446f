"""Schemas of the configuration: types, defaults, bounds, units. The choices are YAML, in `conf/`.

A part that users swap (a reader, a sampler, a teacher, a reward, a baseline) is named by
`_target_`, the dotted path of a plain function. Its own options are `params`, checked against its
signature.
"""

from r2rec.config.data import ChainSampler, Dataset, Diagnostic, Download, Evaluation, Noise, Words
from r2rec.config.models import Endpoint, Generation, Lora, Model, Prompt, Teacher, TinySpec
from r2rec.config.run import Config, Forecast, Hardware, Logger, register
from r2rec.config.training import (
    Adapt,
    Baseline,
    Fit,
    Probe,
    Reward,
    RewardPart,
    Rl,
    Sft,
    Witness,
)

__all__ = [
    "Adapt",
    "Baseline",
    "ChainSampler",
    "Config",
    "Dataset",
    "Diagnostic",
    "Download",
    "Endpoint",
    "Evaluation",
    "Fit",
    "Forecast",
    "Generation",
    "Hardware",
    "Logger",
    "Lora",
    "Model",
    "Noise",
    "Probe",
    "Prompt",
    "Reward",
    "RewardPart",
    "Rl",
    "Sft",
    "Teacher",
    "TinySpec",
    "Witness",
    "Words",
    "register",
]
