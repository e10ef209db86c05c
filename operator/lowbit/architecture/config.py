"""Reads a config.json through transformers: nesting, aliases and defaults come with it. No model code is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowbit.api.problem import Problem, Refused
from lowbit.architecture import library


@dataclass(frozen=True)
class ModelConfig:
    """The configuration of a decoder-only language model, or of the text part of a model with several."""

    architecture: str
    """The class in config.json: Gemma3ForConditionalGeneration."""
    whole: Any
    """transformers' configuration of the whole model."""
    text: Any
    """That of its text part: the same object where there is only text."""

    @property
    def model_type(self) -> str:
        """Type of the text part."""
        return str(self.text.model_type)

    @property
    def other_parts(self) -> list[str]:
        """Parts beside the text: vision, audio."""
        if self.text is self.whole:
            return []
        return sorted(name.removesuffix("_config") for name in self.whole.sub_configs if name != "text_config")

    def get(self, *names: str, default: Any = None) -> Any:
        """The first of these members that the text part has and that is not None."""
        return next((value for name in names if (value := self._member(name)) is not None), default)

    def _member(self, name: str) -> Any:
        try:
            return getattr(self.text, name, None)
        except RuntimeError:  # it differs from layer to layer (Gemma 4): the value that most have
            return self.text.to_dict().get(name)


def read_config(config: Mapping[str, Any], what: str) -> ModelConfig:
    """The configuration in a parsed config.json. Raises Refused if it is no decoder-only language model's.

    what: the model or the file, for messages.
    """
    known = library.configurations()
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise unsupported(what, "config.json has no model_type")
    if model_type not in known:
        raise unknown(what, model_type, "auto_map" in config)
    try:
        whole = known[model_type].from_dict(numbers(dict(config)))
        found = whole.get_text_config(decoder=True)
        text = found if hasattr(found, "model_type") else whole  # a part that the type does not know stays a dict
    except Exception as error:  # each type's own checks raise errors of many classes
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise unsupported(what, f"transformers cannot read its config.json ({words})") from error
    read = ModelConfig(_architecture(config, what), whole, text)
    check_is_decoder(read, what)
    check_numbers(read, what)
    return read


def numbers(value: Any) -> Any:
    """A value of a config.json with the numbers that JSON lacks: transformers writes {"__float__": "Infinity"}."""
    if isinstance(value, Mapping):
        if set(value) == {"__float__"}:
            return float(str(value["__float__"]))
        return {name: numbers(each) for name, each in value.items()}
    return [numbers(each) for each in value] if isinstance(value, list) else value


def check_is_decoder(config: ModelConfig, what: str) -> None:
    """Refuse encoders, encoder-decoders, classifiers, embedding and reward models."""
    if getattr(config.whole, "is_encoder_decoder", False):
        raise unsupported(what, f"{config.architecture} is an encoder-decoder")
    if not generates(config):
        raise unsupported(
            what,
            f"transformers knows no language model that generates by the name {config.architecture} (an encoder, a "
            "classifier, an embedding or a reward model is none)",
        )


def generates(config: ModelConfig) -> bool:
    """Whether the class generates text: transformers lists it, or it names itself so and its type has such a class."""
    named = config.architecture.endswith(("ForCausalLM", "ForConditionalGeneration", "LMHeadModel"))
    return config.architecture in library.generating() or (
        named and str(config.whole.model_type) in library.generating_by_type()
    )


NUMBERS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def check_numbers(config: ModelConfig, what: str) -> None:
    """Refuse a configuration without the numbers that everything else follows from."""
    for name in NUMBERS:
        value = getattr(config.text, name, None)
        if name == "num_attention_heads" and value is None:
            raise unsupported(what, f"a {config.model_type} has no attention layers")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise unsupported(what, f"config.json gives no number of {name} ({value!r}) for {config.model_type}")


def _architecture(config: Mapping[str, Any], what: str) -> str:
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1 or not isinstance(architectures[0], str):
        raise unsupported(what, f"config.json names no single architecture ({architectures!r})")
    return architectures[0]


def unsupported(what: str, why: str) -> Refused:
    """Not a model that Lowbit can handle."""
    return Refused(
        [
            Problem(
                "spec.source",
                "UnsupportedModel",
                f"{what}: {why}; Lowbit handles decoder-only language models",
                "use a language model such as Llama, Qwen or Mistral, with the config.json that it was published with",
            )
        ]
    )


def unknown(what: str, model_type: str, has_code: bool) -> Refused:
    """A type that transformers does not know. Code that the repository brings for it is never run."""
    known = f"transformers {library.version()} has no model type {model_type}"
    if has_code:
        message = f"{what}: {known}, and config.json has auto_map, which loads code from the model's repository"
        action = "use a model whose type transformers knows, or a conversion of this one without auto_map"
        return Refused([Problem("spec.source", "RemoteCode", message, action)])
    return unsupported(what, known)
