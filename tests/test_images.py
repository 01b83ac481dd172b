"""Folders of image files: pixels as they are, labels of folders, patterns and tables, broken files by name."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from federated.choices.choice import Kind
from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput
from federated.preprocessing.raw_images import pixels_of
from federated.preprocessing.raw_rows import example_of, inputs_of

RED, GREEN = (255, 0, 0), (0, 255, 0)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def noise(number: int, size: int = 32) -> Image.Image:
    numbers = np.random.default_rng(number)
    return Image.fromarray(numbers.integers(0, 256, (size, size, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sites, two classes, the first of each PNG, the second JPEG; with files that are none of the images."""
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))
    photos = tmp_path / "photos"
    for at, (site, label) in enumerate([("a", "cat"), ("a", "dog"), ("b", "cat"), ("b", "dog")]):
        save(photos / site / label / "one.png", noise(at))
        save(photos / site / label / "two.JPG", noise(at + 10), quality=95)
    (photos / ".DS_Store").write_text("x")
    (photos / "__MACOSX").mkdir()
    (photos / "__MACOSX" / "one.png").write_text("x")
    return photos


def bound(folder: Path, **arguments: Any) -> Callable[[], Examples]:
    kind: Kind[Callable[[], Examples]] = Kind("dataset", DATASETS, given=())
    loader: Callable[[], Examples] = kind.bind({"name": "images", "path": str(folder)} | arguments).build()
    return loader


def test_pixels_and_labels_of_folders_are_those_of_the_files(folder: Path) -> None:
    examples = bound(folder, layout="client/target")()
    assert examples.inputs.shape == (8, 3, 32, 32)
    assert examples.inputs.dtype == np.uint8
    np.testing.assert_array_equal(examples.inputs[2].transpose(1, 2, 0), np.asarray(noise(1)))
    assert examples.classes == ("cat", "dog")
    assert examples.targets.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert examples.client_ids is not None
    assert examples.client_ids.tolist() == list("aaaabbbb")
    assert examples.reading.warnings == ()
    assert bound(folder, layout="*/target")().client_ids is None


def test_a_pattern_of_the_path_and_a_table_say_the_same(folder: Path) -> None:
    by_folder = bound(folder, layout="client/target")()
    by_pattern = bound(folder, pattern="^(?P<client>[^/]+)/(?P<target>[^/]+)/")()
    rows = ["photo,kind,site,part"]
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.glob("?/*/*")):
        site, kind, _ = name.split("/")
        rows.append(f"{name.removesuffix('.png')},{kind},{site},{'test' if 'two' in name else 'train'}")
    table = folder.parent / "labels.csv"
    table.write_text("\n".join(rows))
    stated = {"table": str(table), "file": "photo", "target": "kind", "client": "site", "test": "part"}
    by_table = bound(folder, **stated)()
    for other in (by_pattern, by_table):
        np.testing.assert_array_equal(other.inputs, by_folder.inputs)
        np.testing.assert_array_equal(other.targets, by_folder.targets)
        assert other.client_ids is not None
        assert by_folder.client_ids is not None
        assert other.client_ids.tolist() == by_folder.client_ids.tolist()
    assert by_table.test is not None
    assert by_table.test.tolist() == [False, True] * 4
    ages = [row.replace(",cat,", ",1.5,").replace(",dog,", ",9,") for row in rows[1:-1]]
    table.write_text("\n".join([rows[0].replace("kind", "age"), *ages]))
    some = bound(folder, **(stated | {"target": "age", "task": "regression"}))()
    assert some.targets.tolist() == pytest.approx([1.5, 1.5, 9, 9, 1.5, 1.5, 9])
    assert "1 image of the folder are in no row of labels.csv" in some.reading.warnings[0]


def test_folders_called_train_and_test_are_the_own_split(tmp_path: Path, folder: Path) -> None:
    (folder / "a").rename(folder / "train")
    (folder / "b").rename(folder / "Test")
    examples = bound(folder, layout="test/target")()
    assert examples.test is not None
    assert examples.test.tolist() == [True] * 4 + [False] * 4  # in the order of the paths
    (folder / "train").rename(folder / "val")
    with pytest.raises(BadInput, match="the test column 'test' is 'val' in row 5; it must be test or train"):
        bound(folder, layout="test/target")()


def flag(size: tuple[int, int] = (64, 32)) -> Image.Image:
    """Red on the left, green on the right."""
    image = Image.new("RGB", size, GREEN)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image


def corner_values(image: Image.Image | bytes, **changed: Any) -> np.ndarray:
    """The colours of the corners: top left, top right, bottom left, bottom right."""
    values = {"height": 8, "width": 8, "colour": "rgb", "resize": "stretch"} | changed
    found = pixels_of(image, values)
    return found[:, [0, 0, -1, -1], [0, -1, 0, -1]].T


@pytest.mark.parametrize(
    ("orientation", "colours"),
    [
        (1, [RED, GREEN, RED, GREEN]),
        (2, [GREEN, RED, GREEN, RED]),  # mirrored
        (3, [GREEN, RED, GREEN, RED]),  # upside down
        (6, [RED, RED, GREEN, GREEN]),  # to be turned to the right
        (8, [GREEN, GREEN, RED, RED]),
    ],
)
def test_an_image_is_turned_as_its_camera_was_held(
    orientation: int, colours: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "held.png", flag(), exif=exif)
    np.testing.assert_array_equal(corner_values(path.read_bytes()), colours)


@pytest.mark.parametrize(
    ("resize", "colours"),
    [
        ("stretch", [RED, GREEN, RED, GREEN]),
        ("crop", [RED, GREEN, RED, GREEN]),
        ("pad", [(0, 0, 0)] * 4),
    ],
)
def test_sizes_that_differ_are_cut_filled_or_stretched(resize: str, colours: list[tuple[int, ...]]) -> None:
    np.testing.assert_array_equal(corner_values(flag((96, 32)), resize=resize), colours)
    wide = Image.new("RGB", (96, 32), (0, 0, 255))
    wide.paste(flag((32, 32)), (32, 0))  # what is left of it when it is cut to a square
    expected = [(0, 0, 255)] * 4 if resize == "stretch" else colours
    found = corner_values(wide, resize=resize).astype(int)
    assert np.abs(found - expected).max() < 40  # at the cut, neighbours outside have a part in it


def of_mode(mode: str) -> Image.Image:
    if mode.startswith("I;16"):
        return Image.fromarray(np.full((4, 4), 200 * 256 + 7, np.uint16))
    if mode == "L":
        return Image.new("L", (4, 4), 200)
    return Image.new("RGB", (4, 4), (200, 200, 200)).convert(mode)


@pytest.mark.parametrize(
    ("mode", "ending", "options"),
    [
        ("L", "png", {}),
        ("RGB", "webp", {"lossless": True}),
        ("RGBA", "png", {}),
        ("LA", "png", {}),
        ("P", "gif", {}),
        ("I;16", "png", {}),
        ("I;16", "tiff", {}),
        ("CMYK", "tiff", {}),
        ("RGB", "bmp", {}),
        ("RGB", "ppm", {}),
        ("RGB", "tga", {}),
    ],
)
@pytest.mark.parametrize("colour", ["rgb", "grey"])
def test_every_mode_and_format_gives_the_same_grey(
    mode: str, ending: str, options: dict[str, Any], colour: str, tmp_path: Path
) -> None:
    path = save(tmp_path / f"grey.{ending}", of_mode(mode), **options)
    found = pixels_of(path, {"height": 4, "width": 4, "colour": colour, "resize": "crop"})
    assert found.shape == ((3 if colour == "rgb" else 1), 4, 4)
    assert np.abs(found.astype(int) - 200).max() <= (1 if ending != "gif" else 4)


def test_what_is_transparent_is_white_and_an_animation_its_first_picture(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (corner_values(clear) == 255).all()
    path = save(tmp_path / "a.gif", flag(), save_all=True, append_images=[Image.new("RGB", (64, 32))])
    found = corner_values(path.read_bytes())
    assert (found[0] > [250, -1, -1]).all()
    assert (found[1] > [-1, 250, -1]).all()


def test_broken_files_are_all_named_or_left_out(folder: Path) -> None:
    (folder / "a" / "cat" / "one.png").write_bytes((folder / "a" / "cat" / "one.png").read_bytes()[:200])
    (folder / "b" / "dog" / "two.JPG").write_text("no image")
    (folder / "b" / "dog" / "three.png").write_bytes(b"")
    said = r"3 of 9 files in .* cannot be read: a/cat/one\.png .*; b/dog/three\.png"
    with pytest.raises(BadInput, match=said) as caught:
        bound(folder, layout="client/target")()
    assert "b/dog/two.JPG (is no image" in str(caught.value)
    assert "state `broken: skip`" in str(caught.value)
    assert "\n" not in str(caught.value)
    examples = bound(folder, layout="client/target", broken="skip")()
    assert examples.targets.tolist() == [0, 1, 1, 0, 0, 1]
    np.testing.assert_array_equal(examples.inputs[1].transpose(1, 2, 0), np.asarray(noise(1)))
    assert "3 of 9 files in" in examples.reading.warnings[0]


def test_files_that_are_no_images_are_counted(folder: Path) -> None:
    (folder / "readme.txt").write_text("x")
    (folder / "a" / "photo.heic").write_text("x")
    warning = bound(folder, layout="client/target")().reading.warnings[0]
    assert "2 files (.heic: 1, .txt: 1) are left out" in warning
    only = bound(folder, layout="client/target", files="*.png")()
    assert len(only.targets) == 4
    assert only.reading.warnings == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be from 1 to 4,096"),
        ({"size": [32, 5000]}, "size must be from 1 to 4,096"),
        ({"layout": "site/target"}, "layout may hold target, client, test and \\*, got 'site'"),
        ({"layout": "client"}, "layout must say where the target is"),
        ({"layout": "target/target"}, "layout must name target once"),
        ({"pattern": "("}, "is not a regular expression"),
        (
            {"pattern": "(?P<site>a)(?P<target>b)"},
            "pattern may name groups target, client and test, got 'site'",
        ),
        ({"pattern": "(a)"}, "pattern must say where the target is"),
        ({"pattern": "(?P<target>a)", "layout": "client/target"}, "pattern cannot be stated beside layout"),
        (
            {"client": "site"},
            "client names a column of `table`, which is not stated; for folders state `layout",
        ),
        ({"table": "photos/x.csv"}, "is not a file"),
        ({"path": "photos/a/cat/one.png"}, "is a file; unpack it"),
        ({"path": "nowhere"}, "is not a folder"),
        ({"colour": "hsv"}, "colour"),
        ({"layout": "*/*/*/target"}, "8 files of 8 lie in fewer folders than layout"),
        ({"pattern": "(?P<target>one)"}, "finds no target in 4 files of 8, the first is 'a/cat/two.JPG'"),
        (
            {"files": "*.tiff"},
            r"no file in .* matches files '\*.tiff'; it holds 8 files \(.png: 4, .jpg: 4\)",
        ),
        ({"path": "photos/a/cat"}, "2 files of 2 lie in fewer folders"),
    ],
)
def test_what_cannot_be_is_said(
    arguments: dict[str, Any], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises((BadInput, ValueError), match=message):
        bound(**({"folder": folder} | arguments))() if "path" not in arguments else bound(
            folder, **arguments
        )()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,target\nnowhere.png,cat\n", "1 file of 1 in labels.csv are not in .*: 'nowhere.png'"),
        ("file,kind\na/cat/one.png,cat\n", "target"),
        ("file,target\na/cat/one.png,cat\na/cat/one.png,dog\n", "'a/cat/one.png' more than once"),
        ("file,target\na/cat/one.png,cat\na/cat/two.JPG,\n", "the column 'target' is missing in 1 of 2 rows"),
        ("file,target\na/cat/one.png,cat\na/cat/two.JPG,cat\n", "2 classes are needed"),
    ],
)
def test_a_table_that_does_not_fit_the_folder_is_said(table: str, message: str, folder: Path) -> None:
    (folder.parent / "labels.csv").write_text(table)
    with pytest.raises(BadInput, match=message):
        bound(folder, table=str(folder.parent / "labels.csv"))()


def test_images_are_read_once_and_anew_when_one_changes(folder: Path) -> None:
    first = bound(folder, layout="client/target")()
    kept = sorted(folder.parent.glob("home/datasets/read/images-*/pixels.npy"))
    assert len(kept) == 1
    assert bound(folder, layout="*/target")().inputs.shape == first.inputs.shape
    assert sorted(folder.parent.glob("home/datasets/read/images-*/pixels.npy")) == kept
    save(folder / "a" / "cat" / "one.png", noise(99))
    again = bound(folder, layout="client/target")()
    np.testing.assert_array_equal(again.inputs[0].transpose(1, 2, 0), np.asarray(noise(99)))
    np.testing.assert_array_equal(again.inputs[1:], first.inputs[1:])
    np.testing.assert_array_equal(
        first.inputs[0].transpose(1, 2, 0), np.asarray(noise(0))
    )  # of the run that goes on


@pytest.mark.parametrize("arguments", [{}, {"size": [5, 9], "colour": "grey", "resize": "pad"}])
def test_raw_images_get_the_same_bits_as_in_the_study(arguments: dict[str, Any], folder: Path) -> None:
    examples = bound(folder, layout="client/target", **arguments)()
    kept = examples.preprocessing
    assert kept is not None
    values = json.loads(json.dumps(kept.values))
    paths = sorted(folder.glob("?/*/*"))
    for rows in (paths, [path.read_bytes() for path in paths]):
        np.testing.assert_array_equal(inputs_of(kept.name, values, kept.arrays, rows), examples.inputs)
    example = example_of(kept.name, values, kept.arrays)
    black, white = inputs_of(kept.name, values, kept.arrays, example)
    assert black.max() == 0
    assert white.min() == 255
    with pytest.raises(ValueError, match="the image of row 2: is no image"):
        inputs_of(kept.name, values, kept.arrays, [paths[0], b"no image"])


def test_a_picture_of_any_stated_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federated.preprocessing.raw_images.MOST_PIXELS", 100)
    file = io.BytesIO()
    Image.new("L", (11, 10)).save(file, "PNG")
    with pytest.raises(ValueError, match="11 x 10 pixels are more than 100"):
        pixels_of(file.getvalue(), {"height": 4, "width": 4, "colour": "rgb", "resize": "crop"})


def test_weights_are_a_column_of_the_table_of_labels(folder: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("?/*/*"))
    table = folder.parent / "labels.csv"
    rows = [f"{name},{name.split('/')[1]},{at / 4}" for at, name in enumerate(names)]
    table.write_text("\n".join(["file,target,count", *rows]))
    (folder / names[2]).write_bytes(b"broken")
    examples = bound(folder, table=str(table), weights="count", broken="skip")()
    assert examples.weights is not None
    assert examples.weights.tolist() == [at / 4 for at in range(8) if at != 2]
    with pytest.raises(ValueError, match=r"weights names a column of `table`, which is not stated$"):
        bound(folder, weights="count")
