"""Pretrained models of images: pixels as transformers' own processors make them, trained in every part, delivered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from federated.config.run import RunConfig
from federated.datasets.image_files.processor import processor_of
from federated.evaluation.outputs import Outputs
from federated.foundation.errors import BadInput
from federated.models.pretrained.images import _Images
from federated.preprocessing.predictor import Predictor
from federated.preprocessing.raw_images import pixels_of
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from tasks.tracking.models.adapter import write_adapter
from tasks.tracking.models.folder import write_model
from tests.test_exported_adapters import outputs_of
from tests.test_pretrained_folders import bert, content_of, texts

needed = pytest.importorskip("transformers", reason="the extra `make finetune` is not installed")
pytestmark = pytest.mark.slow  # a class of transformers alone takes seconds to import

SIDE = 16

PROCESSORS: dict[str, Any] = {
    "ViT, warped": lambda: needed.ViTImageProcessorPil(size={"height": 20, "width": 24}),
    "DINO, cut from the middle": lambda: needed.BitImageProcessorPil(
        size={"shortest_edge": 40}, crop_size={"height": 33, "width": 32}
    ),
    "ConvNeXT and ResNet": lambda: needed.ConvNextImageProcessorPil(size={"shortest_edge": 50}),
    "ConvNeXT, large": lambda: needed.ConvNextImageProcessorPil(size={"shortest_edge": 384}),
    "DeiT": lambda: needed.DeiTImageProcessorPil(),
    "CLIP": lambda: needed.CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size=30),
    "not normalised": lambda: needed.ViTImageProcessorPil(
        size={"height": 20, "width": 24}, resample=3, do_normalize=False
    ),
    "from -1 to 1 by the factor": lambda: needed.ViTImageProcessorPil(
        size={"height": 9, "width": 9},
        resample=0,
        image_mean=[1.0] * 3,
        image_std=[1.0] * 3,
        rescale_factor=1 / 127.5,
    ),
}


def pictures() -> list[Image.Image]:
    """Real ones, wide, high and small."""
    china, flower = (Image.fromarray(each) for each in load_sample_images().images)
    return [china, flower.crop((200, 0, 390, 420)), china.crop((100, 80, 131, 120))]


def saved_processor(folder: Path, processor: Any) -> Path:
    processor.save_pretrained(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).exists():
            (folder / name).write_text("{}", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", PROCESSORS)
def test_pixels_are_those_of_the_processor(name: str, tmp_path: Path) -> None:
    theirs = PROCESSORS[name]()
    ours = processor_of(str(saved_processor(tmp_path, theirs)))
    model = _Images(ours)
    for picture in pictures():
        expected = theirs(picture, return_tensors="np")["pixel_values"][0]
        pixels = torch.tensor(pixels_of(picture, ours.values))
        found = model.pixels(pixels[None].float().div_(255))[0].numpy()
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        raw = torch.tensor(np.asarray(picture)).permute(2, 0, 1)[None].float().div_(255)
        if ours.values["resample"] == 0:
            continue  # for which torch has another rule
        levels = np.array(ours.deviation)[:, None, None] * 255
        away = abs(model.pixels(raw)[0].numpy() - expected) * levels
        assert away.mean() <= 0.5, away.max()  # pillow rounds to whole levels
        assert away.max() <= 10  # as torch itself resizes bytes, single pixels are up to 8 away


def vit(folder: Path) -> Path:
    """A vision transformer of two layers."""
    config = needed.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=SIDE,
        patch_size=8,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return _saved(
        folder, needed.ViTModel(config), needed.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})
    )


def resnet(folder: Path) -> Path:
    """A residual network of two stages, with batch normalisation."""
    config = needed.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    return _saved(
        folder, needed.ResNetModel(config), needed.ConvNextImageProcessorPil(size={"shortest_edge": SIDE})
    )


def _saved(folder: Path, model: Any, processor: Any) -> Path:
    needed.utils.logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for each in model.parameters():
            torch.nn.init.normal_(each, std=0.3)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces of the real pictures in a folder for each: a temple and a flower."""
    folder = tmp_path_factory.mktemp("photos")
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        (folder / name).mkdir()
        for at in range(12):
            top, left = 30 * at, 45 * at
            Image.fromarray(pixels[top : top + 40 + at, left : left + 70]).save(
                folder / name / f"{at:02}.png"
            )
    return folder


def content(photos: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "images", "path": str(photos), "inputs": "model"},
        "model": {"name": "huggingface", "path": str(folder), **changes.pop("model", {})},
        "clients": 2,
        "rounds": 1,
        "local": {"batch_size": 6, "learning_rate": 0.01},
        **changes,
    }


@pytest.mark.parametrize(
    ("make", "head", "kind"), [(vit, "own", "ViT"), (resnet, "own", "ResNet"), (vit, "linear", "ViT")]
)
def test_it_answers_as_transformers_does_and_its_raw_images_come_back(
    make: Any, head: str, kind: str, photos: Path, tmp_path: Path
) -> None:
    folder = make(tmp_path / "pretrained")
    setup = prepare(RunConfig.model_validate(content(photos, folder, model={"head": head}, trained="head")))
    state = train_rounds(initial_state(setup), setup, 1)
    found = Outputs(setup).of(state.parameters, np.arange(24))
    module = setup.whole_model.independent_module(state.parameters)
    files = sorted(photos.rglob("*.png"))
    processor = needed.AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor([Image.open(file) for file in files], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        if head == "own":
            plain = (
                getattr(needed, f"{kind}ForImageClassification").from_pretrained(folder, num_labels=2).eval()
            )
            weights = {name.removeprefix("trunk."): each for name, each in module.state_dict().items()}
            plain.load_state_dict(weights)
            expected = plain(pixel_values=pixels).logits
        else:
            plain = needed.AutoModel.from_pretrained(folder).eval()
            expected = module.head(plain(pixel_values=pixels).last_hidden_state.mean(1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    examples = setup.federation.examples
    saved = write_model(
        tmp_path / "m" / "model", (make, head), setup.whole_model, state.parameters, examples, setup.readout
    )
    assert saved.how == "pt2"
    predictor = Predictor(tmp_path / "m" / "model" / "artifacts" / "model")
    again = predictor.outputs([file.read_bytes() for file in files])
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-5)
    assert "transformers" not in (tmp_path / "m" / "model" / "requirements.txt").read_text()


TRAINED = ["full", "head", "last(1)", "bias", "lora(rank=2)", "lora(rank=2, targets=[convolution])"]


@pytest.mark.parametrize("trained", TRAINED)
def test_every_part_of_it_can_be_trained(trained: str, photos: Path, tmp_path: Path) -> None:
    make = resnet if "convolution" in trained or trained == "full" else vit
    setup = prepare(RunConfig.model_validate(content(photos, make(tmp_path / "pretrained"), trained=trained)))
    state = train_rounds(initial_state(setup), setup, 1)
    assert torch.isfinite(state.parameters).all()
    assert not torch.equal(state.parameters, setup.initial_parameters)
    whole = setup.whole_model
    assert (whole.num_frozen > whole.num_trainable) is (trained != "full")


@pytest.mark.parametrize(
    ("make", "head", "pooling", "targets"),
    [(vit, "linear", "cls", None), (vit, "own", "mean", None), (resnet, "linear", "mean", ["convolution"])],
)
def test_its_adapter_comes_back_as_peft_reads_it(
    make: Any, head: str, pooling: str, targets: list[str] | None, photos: Path, tmp_path: Path
) -> None:
    folder = make(tmp_path / "pretrained")
    trained = {"name": "lora", "rank": 2, "targets": targets}
    model = {"head": head, "pooling": pooling}
    config = RunConfig.model_validate(content(photos, folder, model=model, trained=trained))
    setup = prepare(config)
    start = initial_state(setup)
    moved = 0.3 * torch.randn(len(start.parameters), generator=torch.Generator().manual_seed(0))
    state = replace(start, parameters=start.parameters + moved)
    examples, stated = setup.federation.examples, config.model_dump(mode="json")
    write_adapter(tmp_path / "adapter", stated, setup.whole_model, state.parameters, examples, setup.readout)
    rows = [Image.open(file) for file in sorted(photos.rglob("*.png"))]
    found = outputs_of(tmp_path / "adapter", folder, rows)
    expected = Outputs(setup).of(state.parameters, np.arange(len(rows)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_images_of_other_data_sets_are_resized_within_it(tmp_path: Path) -> None:
    stated = content(tmp_path, vit(tmp_path / "pretrained"), dataset="digits", trained="head")
    setup = prepare(RunConfig.model_validate(stated), rehearsal=True)
    assert setup.whole_model.num_trainable == 16 * 10 + 10


def test_what_does_not_fit_is_one_line(photos: Path, tmp_path: Path) -> None:
    of_images, of_texts = vit(tmp_path / "vit"), bert(tmp_path / "bert")
    beit = vit(tmp_path / "beit")
    needed.BeitImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(beit)
    file = texts(tmp_path / "texts.csv")
    bare = vit(tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    both = vit(tmp_path / "clip")
    needed.CLIPConfig().save_pretrained(both)
    small = {"name": "images", "path": str(photos), "size": SIDE}
    cases = {
        "is a model of images (vit): its data set is images with inputs: model": content_of(file, of_images),
        "there is no preprocessor_config.json in": content(photos, bare),
        "BeitImageProcessor in": content(photos, beit),
        "is a model of texts (bert)": content(photos, of_texts),
        "needs tokens of texts [length], got inputs [1, 8, 8]": content(photos, of_texts, dataset="digits"),
        "reads images [3, height, width], got inputs [1]": content(photos, of_images, dataset="linear"),
        "is no model of texts or of images alone (clip)": content(photos, both),
        "knows only images as its own processor resizes and cuts them": content(
            photos, of_images, dataset=small
        ),
        "leave size, colour and resize out": content(photos, of_images, dataset={**small, "inputs": "model"}),
        "an image processor of its own, model: huggingface": content(photos, of_images) | {"model": "cnn"},
        "pooling: cls is for transformers": content(photos, resnet(tmp_path / "r"), model={"pooling": "cls"}),
    }
    for message, stated in cases.items():
        with pytest.raises((BadInput, ValueError)) as raised:
            prepare(RunConfig.model_validate(stated))
        assert message in str(raised.value)


def test_a_processor_for_a_model_of_ones_own(photos: Path, tmp_path: Path) -> None:
    folder = vit(tmp_path / "pretrained")
    stated = content(photos, folder) | {
        "model": "cnn",
        "dataset": {"name": "images", "path": str(photos), "processor": str(folder)},
    }
    setup = prepare(RunConfig.model_validate(stated))
    assert setup.federation.examples.inputs.shape == (24, 3, SIDE, SIDE)
    assert list(setup.weights_digests) == ["dataset.processor"]
    assert json.loads((folder / "preprocessor_config.json").read_text())["size"] == {
        "height": SIDE,
        "width": SIDE,
    }
