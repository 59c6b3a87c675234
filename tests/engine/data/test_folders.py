"""Image folders as they lie on people's disks: what is read of them, and what is said about it."""

import numpy as np
import pytest
from data_kit import Heard, fill, picture
from PIL import Image

from darts_engine.data import dataset as datasets
from darts_engine.data.decoding import white_of
from darts_engine.data.streaming import StreamedPart
from darts_engine.run.errors import DataError
from darts_engine.run.settings.config import DataSection


def read(root, **settings):
    heard = Heard()
    return datasets.read(DataSection(dataset=f"folder:{root}", **settings), heard), heard


def sizes(found):
    return {name: len(part) for name, part in found.parts.items()}


@pytest.mark.parametrize("stream_above", [0, 2000], ids=["streamed", "in memory"])
@pytest.mark.parametrize(
    ("names", "parts", "words"),
    [
        (("Train", "Test"), {"train": 8, "test": 4},
         "8 training images from Train/, 4 test images from Test/"),
        (("training", "testing"), {"train": 8, "test": 4},
         "8 training images from training/, 4 test images from testing/"),
        (("TRAINING-SET", "test set"), {"train": 8, "test": 4},
         "8 training images from TRAINING-SET/, 4 test images from test set/"),
        (("train", "valid"), {"train": 8, "valid": 4}, "8 training, 4 validation images"),
        (("train", "validation"), {"train": 8, "valid": 4},
         "8 training, 4 validation images from validation/"),
        (("train", "val"), {"train": 8, "valid": 4}, "8 training, 4 validation images from val/"),
        (("train", "val", "test"), {"train": 8, "valid": 4, "test": 4},
         "8 training, 4 validation images from val/, 4 test images"),
        (("train",), {"train": 8, "test": 0},
         "8 training, 0 test images split off the training part"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_parts_in_any_case_and_by_their_usual_names(tmp_path, names, parts, words, stream_above):
    for place, name in enumerate(names):
        fill(tmp_path / name, 2 if place else 4, first=1000 * place)
    found, _ = read(tmp_path, stream_above=stream_above)
    assert isinstance(found.train, StreamedPart) == (stream_above == 0)
    assert (found.classes, sizes(found)) == (["cat", "dog"], parts)
    assert found.found() == f"2 classes (cat, dog), {words}"


def test_every_part_has_its_own_images(tmp_path):
    for place, name in enumerate(("Train", "Validation", "TEST")):
        fill(tmp_path / name, 2, first=1000 * place)
    found, _ = read(tmp_path)
    for place, part in enumerate((found.train, found.valid, found.test)):
        assert np.array_equal(part.images[0], np.asarray(picture(1000 * place)))
        assert part.labels.tolist() == [0, 0, 1, 1]


def test_a_class_may_be_called_as_a_part(tmp_path):
    fill(tmp_path, 5, ("car", "plane", "train"))
    assert read(tmp_path)[0].classes == ["car", "plane", "train"]


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["train/cat", "Train/cat", "train/dog", "Train/dog"], "Train/ and train/ are both for"),
        (["train/cat", "train/dog", "val/cat", "valid/cat"], "val/ and valid/ are both for valid"),
        (["test/cat", "test/dog"], "no training part beside test/"),
        (["cat", "dog", "val/cat"], "no training part beside val/"),
        (["train", "val"], "(train|val)/ has no class folders"),
        (["train/cat", "train/dog", "test/Cat"], "class 'Cat' is in test/ but not in train/"),
    ],
)
def test_what_may_mean_two_things_is_refused(tmp_path, folders, words):
    for folder in folders:
        fill(tmp_path / folder, 3, [""])
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path)
    assert len(str(caught.value).splitlines()) == 3


def test_copies_and_leavings_are_skipped_at_every_depth_and_counted_in_one_line(tmp_path):
    fill(tmp_path / "train", 5)
    fill(tmp_path / "train/cat", 8, [".ipynb_checkpoints"])
    fill(tmp_path / "train/cat/young", 2, [".thumbs", "deep"])
    fill(tmp_path / "__MACOSX/train", 1, ["cat"])
    for name in ("train/__pycache__", "train/.git", ".cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "train/cat/._0.png").write_bytes(b"\0\5\x16\7" + bytes(60))
    (tmp_path / "train/cat/.DS_Store").write_bytes(b"x")
    (tmp_path / "train/dog/notes.txt").write_text("x")
    found, heard = read(tmp_path)
    assert sizes(found) == {"train": 10, "test": 2}
    assert found.classes == ["cat", "dog"]
    assert heard.notes == [
        ("info", f"{tmp_path.name}: skipped 12 hidden images and 6 hidden folders, as .cache"),
        ("info", f"{tmp_path.name}: skipped 1 file that is no image by the ending (.txt)"),
    ]


def test_what_is_left_out_of_a_folder_of_classes_is_named(tmp_path):
    fill(tmp_path / "photos", 5)
    fill(tmp_path / "photos", 1, [".cache"])
    fill(tmp_path / "more", 5)
    (tmp_path / "photos/cat/more").symlink_to(tmp_path / "more")
    picture(1).save(tmp_path / "photos/stray.png")
    found, heard = read(tmp_path / "photos")
    assert sizes(found) == {"train": 8, "test": 2}
    assert heard.notes == [
        ("info", "photos: skipped 1 hidden image and 1 hidden folder, as .cache"),
        ("warning", "photos: not read, a link inside a class, which is not followed: cat/more"),
        ("warning", "photos: not read, in no class folder: stray.png"),
    ]


def test_an_archive_unpacked_one_folder_deeper_is_hinted_at(tmp_path):
    fill(tmp_path / "photos/train", 5)
    with pytest.raises(DataError, match=r"one folder deeper, in photos/\n.*\n.*folder:.*/photos"):
        read(tmp_path)


def test_classes_that_differ_in_upper_case_only_are_named(tmp_path):
    fill(tmp_path, 5, ["cat", "Cat", "dog"])
    _, heard = read(tmp_path)
    assert heard.text == f"{tmp_path.name}: the classes Cat and cat differ in upper case only"


def test_a_folder_beside_the_parts_is_named(tmp_path):
    for name in ("train", "test", "extra"):
        fill(tmp_path / name, 2)
    _, heard = read(tmp_path)
    assert heard.notes == [("warning", f"{tmp_path.name}: extra/ beside the parts is not read")]


def test_a_test_part_without_labels_is_left_out(tmp_path):
    fill(tmp_path / "train", 5)
    fill(tmp_path, 3, ["test"])
    found, heard = read(tmp_path)
    assert sizes(found) == {"train": 8, "test": 2}
    assert heard.notes == [
        ("warning", f"{tmp_path.name}: test/ has no class folders, so no labels, and is not read")
    ]


def test_a_class_that_is_not_validated_is_named(tmp_path):
    fill(tmp_path / "train", 40, ["cat"])
    fill(tmp_path / "train", 1, ["dog"])
    found, _ = read(tmp_path)
    assert found.thin_classes() == "class dog has 1 training image and none to validate on"
    fill(tmp_path / "val", 1, ["cat"])
    fill(tmp_path / "train", 3, ["eel"])
    found, _ = read(tmp_path)
    assert found.thin_classes() == (
        "class dog has 1 training image and none to validate on, and 1 other class has none either"
    )


def deep(root, highest, dtype=np.uint16):
    ramp = np.linspace(0, highest, 36).astype(dtype).reshape(6, 6)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for k in range(5):
            Image.fromarray(ramp).save(
                root / name / f"{k}.{'tif' if dtype != np.uint16 else 'png'}"
            )
    return ramp


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("stream_above", [0, 2000], ids=["streamed", "in memory"])
def test_the_range_of_sixteen_bits_is_that_of_the_set(tmp_path, bits, stream_above):
    # The sensor's brightest level is rarely seen.
    ramp = deep(tmp_path, 0.8 * (1 << bits))
    found, heard = read(tmp_path, stream_above=stream_above)
    assert found.white == (1 << bits) - 1
    eight = (ramp >> (bits - 8)).astype(np.uint8)
    if stream_above:
        assert np.array_equal(found.train.images[0, ..., 0], eight)
    else:
        assert found.train.white == found.white
    assert f"their highest level is {ramp.max():,}, so {(1 << bits) - 1:,} is white" in heard.text


def test_a_declared_white_is_taken_and_more_is_clipped(tmp_path):
    ramp = deep(tmp_path, 4000)
    found, heard = read(tmp_path, max_level=1023)
    assert np.array_equal(found.train.images[0, ..., 0], (ramp >> 2).clip(0, 255).astype(np.uint8))
    assert heard.notes == []


def test_images_of_32_bits_need_their_white(tmp_path):
    ramp = deep(tmp_path, 1.0, np.float32)
    with pytest.raises(DataError, match=r"32 bits have no known range; .* --max-level"):
        read(tmp_path)
    found, _ = read(tmp_path, max_level=1)
    assert np.array_equal(found.train.images[0, ..., 0], np.rint(255 * ramp))


def test_more_than_16_bits_have_no_white():
    with pytest.raises(ValueError, match="more than 16 bits"):
        white_of(1 << 16)


# A table of labels --------------------------------------------------------------------------------


def flat(root, count=8):
    root.mkdir(exist_ok=True)
    for k in range(count):
        picture(k).save(root / f"{k}.png")


def table(tmp_path, text, count=8):
    flat(tmp_path / "images", count)
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return read(tmp_path / "images", labels=str(tmp_path / "labels.csv"))


HALF = ["cat", "cat", "cat", "cat", "dog", "dog", "dog", "dog"]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("file,label", "{k}.png,{label}"),
        ("\ufeffimage_id;breed", "{k};{label}"),
        ("label\tfilename", "{label}\t./{k}.png"),
        ("who,image,age,target", 'me,"{k}.png",7,{label}'),
        ("a,b", "{k},{label}"),
    ],
)
def test_a_table_of_labels_beside_a_flat_folder(tmp_path, header, row):
    lines = [row.format(k=k, label=label) for k, label in enumerate(HALF)]
    found, heard = table(tmp_path, "\r\n".join([header, *lines]) + "\r\n\r\n")
    assert (found.classes, sizes(found), heard.notes) == (
        ["cat", "dog"],
        {"train": 8, "test": 0},
        [],
    )
    assert found.train.labels.tolist() == [0] * 4 + [1] * 4
    assert np.array_equal(found.train.images[3], np.asarray(picture(3)))


def test_a_table_may_name_parts(tmp_path):
    parts = ["train", "Training", "val", "test", "train", "train", "validation", "testing"]
    rows = [f"{k},{label},{parts[k]}" for k, label in enumerate(HALF)]
    found, _ = table(tmp_path, "\n".join(["id,class,split", *rows]))
    assert sizes(found) == {"train": 4, "valid": 2, "test": 2}
    assert "2 validation images by labels.csv" in found.found()


def test_images_without_a_label_are_counted(tmp_path):
    rows = [f"{k},{label}" for k, label in enumerate(HALF)]
    _, heard = table(tmp_path, "\n".join(["id,class", *rows]), count=10)
    assert heard.notes == [("warning", "images: 2 images have no label and are not read, as 8.png")]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["file,label", "0,cat", "99,dog"], "1 of 2 images are not there, as '99' in line 3"),
        (["file,label", "0,cat", "0.png,dog"], "0.png has two labels: 'cat', and 'dog' in line 3"),
        (["file,label", "0,cat", "1"], "line 3 has 1 columns, the first 2"),
        (["file,label", "0,"], "line 2 has no label"),
        (["a,b,c", "0,1,2"], "the columns of files and labels are not plain: a, b, c"),
        (["file,label,split", "0,cat,third"], "line 2 has the part 'third'"),
        (["file,label,split", "0,cat,test"], "names no training image"),
        (["file,label,split", "0,cat,train", "1,dog,test"], "class 'dog' is in the test part but"),
        (["file,label", "../labels.csv,cat"], "1 of 1 images are not there"),
        ([], "the columns of files and labels are not plain"),
    ],
)
def test_a_wrong_table_is_refused_by_its_line(tmp_path, lines, words):
    with pytest.raises(DataError, match=words):
        table(tmp_path, "\n".join(lines))
