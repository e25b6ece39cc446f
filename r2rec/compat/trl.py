"""Where training leans on private parts of TRL, accelerate, PEFT and transformers' Trainer.

These libraries may change what is used here in any release: methods whose names begin with an
underscore, attributes that are not documented, the order in which a trainer does things. All of it
is in this file, and nothing else of r2rec.train uses any. Importing this file changes nothing: a
hook acts on the trainer or the model that it is given.

Each hook says what it leans on. tests/compat checks that against the installed release, so an
upgrade that breaks a hook fails there first, with the name of what moved.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from r2rec.base.errors import R2RecError

GRPO_PARTS = {
    "_generate": "generation",
    "_calculate_rewards": "rewards",
    "_get_per_token_logps_and_entropies": "log_probabilities",
}
"""Methods of GRPOTrainer that do the work of a step -> what the log calls them, in their order."""

GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
"""Settings of transformers' generate without sampling."""

LAUNCHER_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
LAUNCHER_PREFIXES = ("ACCELERATE_", "FSDP_")
"""Variables of the environment by which accelerate learns how many processes there are, and how
they share a model."""

Method = Callable[..., Any]


class RolloutWriter(Protocol):
    """Writes the completions of a batch in the place of `model.generate`."""

    def __call__(
        self, model: Any, usual: Method, input_ids: Any, attention_mask: Any, **options: Any
    ) -> Any:
        """Token ids [rows, prompt + completion].

        Args:
            usual: The model's own `generate`, which takes the same inputs and options.
            input_ids: [rows, prompt], padded on the left, as is `attention_mask`.
        """


class CompletionReader(Protocol):
    """Reads completions in the place of GRPOTrainer; None leaves a batch to GRPOTrainer."""

    def __call__(
        self, model: Any, input_ids: Any, attention_mask: Any, completion_length: int, rows: int
    ) -> tuple[Any, Any] | None:
        """Log-probabilities and entropies of the completions, each [n, completion_length].

        Args:
            input_ids: [n, prompt + completion], as is `attention_mask`.
            rows: At most so many rows may be read at once.
        """


def trl_version() -> str:
    """The installed release of TRL."""
    from importlib.metadata import version as installed

    return installed("trl")


def replace_rollouts(trainer: Any, rollouts: RolloutWriter) -> None:
    """Have `rollouts` write the completions of a GRPOTrainer, unless vLLM writes them.

    Leans on: `GRPOTrainer._generate_single_turn` calls `generate` of the unwrapped model, looked up
    on the instance, with input_ids, attention_mask and the trainer's `generation_config`. FSDP puts
    a `generate` of its own on the instance, which gathers the weights: `rollouts` gets that one,
    and afterwards it is there again.

    Raises:
        R2RecError: GRPOTrainer has no such method any more.
    """
    usual_turn = private_method(trainer, "_generate_single_turn")

    def single_turn(*arguments: Any, **options: Any) -> Any:
        if trainer.use_vllm:
            return usual_turn(*arguments, **options)
        trainer.generation_config.update(**GREEDY)  # drawing is for `rollouts` to do
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        with _generating(model, rollouts):
            return usual_turn(*arguments, **options)

    trainer._generate_single_turn = single_turn


def replace_prompt_tokens(trainer: Any, encode: Callable[[Any], list[int]]) -> None:
    """Have `encode` make the token ids of a GRPOTrainer's prompts.

    Leans on: `GRPOTrainer._tokenize_prompts` takes prompts and returns (token ids, images or None,
    further inputs of the model).

    Raises:
        R2RecError: GRPOTrainer has no such method any more.
    """
    private_method(trainer, "_tokenize_prompts")

    def tokenize_prompts(prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return [encode(prompt) for prompt in prompts], None, {}

    trainer._tokenize_prompts = tokenize_prompts


@contextmanager
def _generating(model: Any, rollouts: RolloutWriter) -> Iterator[None]:
    """Within the block, `model.generate(...)` is `rollouts(model, <the usual one>, ...)`."""
    on_instance = model.__dict__.get("generate")
    usual = model.generate

    def generate(input_ids: Any, attention_mask: Any, **options: Any) -> Any:
        return rollouts(model, usual, input_ids, attention_mask, **options)

    model.generate = generate
    try:
        yield
    finally:
        del model.generate  # the class's is visible again
        if on_instance is not None:
            model.generate = on_instance


def replace_log_probabilities(trainer: Any, read: CompletionReader) -> None:
    """Have `read` score the completions of a GRPOTrainer; batches it returns None for go TRL's way.

    Leans on: `GRPOTrainer._get_per_token_logps_and_entropies` takes (model, input_ids,
    attention_mask, logits_to_keep, batch_size, compute_entropy) and further options that are None
    or False for a text model, and returns (log-probabilities, entropies or None, auxiliary loss of
    a mixture of experts or None).

    Raises:
        R2RecError: GRPOTrainer has no such method any more.
    """
    name = "_get_per_token_logps_and_entropies"
    usual = private_method(trainer, name)

    def log_probabilities(
        model: Any,
        input_ids: Any,
        attention_mask: Any,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **others: Any,
    ) -> tuple[Any, Any, Any]:
        scores = None
        if not any(_is_given(option) for option in others.values()):
            rows = batch_size or len(input_ids)
            scores = read(model, input_ids, attention_mask, logits_to_keep, rows)
        if scores is None:
            result: tuple[Any, Any, Any] = usual(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                **others,
            )
            return result
        logps, entropies = scores
        if not compute_entropy:
            entropies = None
        return logps, entropies, None

    setattr(trainer, name, log_probabilities)


def _is_given(option: Any) -> bool:
    """Whether TRL was asked for more than a text: images, or the loss of a mixture of experts."""
    return option is not None and option is not False


def has_whole_weights(trainer: Any) -> bool:
    """Whether this process holds all weights of a trainer's model, so that it can write alone.

    Leans on: `is_fsdp_enabled` and `is_deepspeed_enabled`, which transformers' Trainer sets.
    """
    return not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)


def fused_log_probabilities(model: Any, labels: Any, **inputs: Any) -> tuple[Any, Any]:
    """Log-probabilities and entropies [rows, tokens] of the labels that are not -100.

    Leans on: GRPOTrainer gives its models a fused head when it is made (`add_fused_lm_head`), which
    answers `fused_lm_head=True` with an output that has `log_probs` and `entropy`.
    """
    output = model(**inputs, labels=labels, fused_lm_head=True)
    return output.log_probs, output.entropy


def calls_once(trainer: Any) -> bool:
    """Whether a forward pass of this training must read all in one call of its model.

    A wrapped model (DDP, FSDP, ZeRO) may be called once for one backward, and a model that drops
    its activations to save memory drops its cache as well. It holds for the whole training, not
    for one call: policy and reference have to be read alike, or rounding alone makes a KL of them.

    Leans on: `trainer.model_wrapped` is the model itself where nothing wraps it. TRL reads the
    reference on the model inside, and with checkpointing switched off.
    """
    inside = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    return inside is not trainer.model_wrapped or bool(trainer.args.activation_checkpointing)


def private_method(trainer: Any, name: str) -> Method:
    """A private method of a trainer.

    Raises:
        R2RecError: The installed release does not have it.
    """
    method: Method | None = getattr(trainer, name, None)
    if method is None:
        raise R2RecError(
            f"TRL {trl_version()} has no {type(trainer).__name__}.{name}, which r2rec replaces; "
            "install the release in requirements.lock"
        )
    return method


def time_methods(trainer: Any, timed: Callable[[str, Method], Method]) -> list[str]:
    """Replace the methods that do a trainer's work by `timed(part, method)`.

    The parts are `GRPO_PARTS`, and "backward" of every trainer.

    Leans on: GRPOTrainer calls those methods on the instance; transformers' Trainer calls
    `accelerator.backward` once per micro-batch.

    Returns:
        Parts that this release has no method for, so they cannot be timed.
    """
    missing = []
    for name, part in timed_parts(trainer).items():
        method = getattr(trainer, name, None)
        if method is None:
            missing.append(part)
        else:
            setattr(trainer, name, timed(part, method))
    accelerator = trainer.accelerator
    accelerator.backward = timed("backward", accelerator.backward)
    return missing


def timed_parts(trainer: Any) -> Mapping[str, str]:
    """`GRPO_PARTS` for a GRPOTrainer; nothing for other trainers, which have no such methods."""
    class_names = {kind.__name__ for kind in type(trainer).__mro__}
    if "GRPOTrainer" in class_names:
        return GRPO_PARTS
    return {}


def trainer_callback(listener: object) -> Any:
    """A TrainerCallback that passes each event on to the method of that name, if `listener` has it.

    Leans on: transformers calls `on_step_end(args, state, control, **others)` and so on, passes one
    `control` to all callbacks, and acts on what they set in it.

    Raises:
        TypeError: The listener waits for an event that transformers does not have.
    """
    from transformers import TrainerCallback

    methods = {}
    for name in dir(listener):
        if name.startswith("on_"):
            if not hasattr(TrainerCallback, name):
                raise TypeError(f"transformers has no event {name}")
            methods[name] = staticmethod(getattr(listener, name))
    kind: Any = type(type(listener).__name__, (TrainerCallback,), methods)
    return kind()


def extend_log(state: Any, columns: Mapping[str, float]) -> None:
    """Add columns to the row of the log that an `on_log` event is about.

    Leans on: Trainer appends the row to `state.log_history` before it calls `on_log`.
    """
    state.log_history[-1].update(columns)


def is_summary(row: Mapping[str, Any]) -> bool:
    """Whether a row of the log sums up a training that has ended: it is not about a step.

    Leans on: Trainer's last row has `train_runtime`.
    """
    return "train_runtime" in row


def checkpoint_path(output_dir: str, step: int) -> Path:
    """Where Trainer writes the checkpoint of a step. Leans on: its name is checkpoint-STEP."""
    return Path(output_dir) / f"checkpoint-{step}"


def whole_weights(trainer: Any) -> dict[str, Any]:
    """The trained weights by name. All processes must ask: each may hold a part of them.

    Leans on: `accelerator.get_state_dict` gathers what FSDP and ZeRO-3 hold in parts, if it gets
    the wrapped model.
    """
    weights: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return weights


def save_trained_adapter(model: Any, folder: Path, weights: Any) -> None:
    """Write the trained adapter of a PEFT model, in PEFT's layout.

    Leans on: the trained adapter is called "default", TRL's frozen reference beside it "ref", and
    PEFT leaves a README.md of its own, which is removed here. Of itself it would write embeddings
    and head too, gigabytes of them, where the vocabulary is not that of the backbone by its name.

    Args:
        weights: As `whole_weights` gives them; None: the model's own.
    """
    model.save_pretrained(
        folder, selected_adapters=["default"], state_dict=weights, save_embedding_layers=False
    )
    (folder / "README.md").unlink(missing_ok=True)


def completion_collator(pad_token_id: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """TRL's collator for SFT: pads input_ids and labels on the right and adds an attention mask.

    Leans on: where the class is, which TRL does not export.
    """
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    collator: Callable[[list[dict[str, Any]]], dict[str, Any]] = DataCollatorForLanguageModeling(
        pad_token_id=pad_token_id
    )
    return collator


def forget_trainer() -> None:
    """Drop what accelerate and transformers keep of a trainer for the whole process.

    Leans on: `AcceleratorState._reset_state`, and that `unset_hf_deepspeed_config` is all that
    transformers keeps. With ZeRO-3 settings left behind it would load a later model in parts.
    """
    from accelerate.state import AcceleratorState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    AcceleratorState._reset_state()


@contextmanager
def single_process() -> Iterator[None]:
    """Within the block, a trainer runs in this process alone, however many the run has.

    Other processes would have to take the same steps, and those of this run wait meanwhile.

    Leans on: accelerate learns of other processes from `LAUNCHER_VARIABLES`, and keeps what it has
    learned in `PartialState._shared_state`; transformers' arguments read it anew.
    """
    from accelerate.state import PartialState

    hidden = {}
    for name in list(os.environ):
        if name in LAUNCHER_VARIABLES or name.startswith(LAUNCHER_PREFIXES):
            hidden[name] = os.environ.pop(name)
    known = dict(PartialState._shared_state)
    PartialState._shared_state.clear()
    try:
        yield
    finally:
        forget_trainer()
        PartialState._shared_state.clear()
        PartialState._shared_state.update(known)
        os.environ.update(hidden)


def use_one_gpu(args: Any) -> None:
    """Have a trainer use this process's first GPU alone.

    Leans on: transformers' arguments count all GPUs in `_n_gpu` where no launcher has started the
    process; with more than one TRL refuses to train.
    """
    args._n_gpu = min(args.n_gpu, 1)
