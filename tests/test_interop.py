"What the notebooks on interop cannot show: hostile files by the hundred, and published ones."

import copyreg
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adrec_nb.common import DataError
from adrec_nb.data import sequences_sha256
from adrec_nb.interop import (
    load_published_dataset,
    load_published_model,
    load_published_table,
    published_views,
)
from adrec_nb.models import ADRec, ADRecConfig

# The authors' files are not part of the project; a folder beside the clone may hold them.
PUBLISHED = Path(__file__).resolve().parents[2] / "shared/data"
steady = settings(deadline=None, derandomize=True)


def error_of(function, path, **more):
    "The one line that a bad file gives."
    with pytest.raises(DataError) as caught:
        function(path, **more)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# ---- the published files ----

FINGERPRINTS = {
    "ml-100k": "cfea9a443ebe8520a3ebd47c81de6fdd74664f0364e09c62ca40108cdd85149e",
    "baby": "d69a3e5e50f7be113cba97015661bc618057c332eb1bafe962d2d28f8a50f446",
    "beauty": "58f7eb6a8699f1120515712efc638de05f20e7889fc73d187cd54cf549a06158",
    "toys": "3520ecf08cc1f317452b0d40ff686d31ba7cc4a407a0810a98b96185f963d2ff",
    "sports": "d6d35507e4133a3a3f7638e768f36e711a9f352722de0fafb0aa0a371fefd3ea",
}
COUNTS = {
    "ml-100k": (938, 1008, 54413),
    "baby": (11761, 4731, 92823),
    "beauty": (10553, 6086, 94148),
    "toys": (11268, 7309, 95420),
    "sports": (22686, 12301, 185718),
}


def published(place):
    "The file, or a skipped test."
    if not (PUBLISHED / place).is_file():
        pytest.skip(f"{place} is not beside this clone")
    return PUBLISHED / place


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_published_sequences(name):
    ds = load_published_dataset(published(f"adrec/{name}.pkl"))
    assert (ds.n_users, ds.n_items, ds.n_interactions) == COUNTS[name]
    assert ds.fingerprint == FINGERPRINTS[name] and ds.name == name


def test_published_model_gives_the_released_vectors():
    model = load_published_model(published("golden/ml-100k.pth"))
    released = np.load(published("golden/ml-100k.npz"))
    histories = [history[history > 0] for history in released["histories"]]
    vectors = model.user_vectors(histories, steps=32, generator="zero").numpy()
    assert vectors.shape == (256, 128)
    np.testing.assert_allclose(vectors, released["vectors"], rtol=0, atol=1e-5)
    # plain masking is another computation: the check above would notice it
    masked = load_published_model(published("golden/ml-100k.pth"), padding="mask")
    assert (
        np.abs(masked.user_vectors(histories, generator="zero").numpy() - released["vectors"]).max()
        > 1e-2
    )


# ---- what is right comes through ----

users = st.lists(st.lists(st.integers(1, 40), min_size=3, max_size=12), min_size=1, max_size=8)


def parts_of(sequences, keys):
    "train, val and test in DiffuRec's form, users under these keys."
    cuts = {"train": slice(None, -2), "val": slice(-2, -1), "test": slice(-1, None)}
    by_key = dict(zip(keys, sequences, strict=True))
    return {name: {key: seq[cut] for key, seq in by_key.items()} for name, cut in cuts.items()}


@steady
@given(users, st.integers(0, 5), st.randoms(use_true_random=False))
def test_sequences_come_back(tmp_path_factory, sequences, protocol, random):
    path = tmp_path_factory.mktemp("published") / "x.pkl"
    parts = parts_of(sequences, range(len(sequences)))
    path.write_bytes(
        pickle.dumps({key: list(part.values()) for key, part in parts.items()}, protocol)
    )
    assert load_published_dataset(path).fingerprint == sequences_sha256(sequences)
    # the same under users' numbers in any order, items with ids of their own
    keys = random.sample(range(1000), len(sequences))
    smap = {f"id {i}": i for i in random.sample(range(1, 41), 40)}
    path.write_bytes(
        pickle.dumps({**parts_of(sequences, keys), "umap": {}, "smap": smap}, protocol)
    )
    ds = load_published_dataset(path, name="mine")
    assert ds.fingerprint == sequences_sha256([sequences[i] for i in np.argsort(keys)])
    assert ds.name == "mine" and ds.item_ids[1:] == [f"id {i}" for i in range(1, 41)]


# ---- files that try to run code ----


class Calls:
    "Pickled as a call of a function."

    def __init__(self, function, *args, state=None):
        self.function, self.args, self.state = function, args, state

    def __reduce__(self):
        return (
            (self.function, self.args)
            if self.state is None
            else (self.function, self.args, self.state)
        )


WRAPPINGS = {
    "alone": lambda x: x,
    "as train": lambda x: {"train": x, "val": [[1]], "test": [[1]]},
    "as a user": lambda x: {"train": [[1], x], "val": [[1], [1]], "test": [[1], [1]]},
    "as an item": lambda x: {"train": [[1, x]], "val": [[1]], "test": [[1]]},
    "as an unused value": lambda x: {"train": [[1]], "val": [[1]], "test": [[1]], "more": [[[x]]]},
    "as a key": lambda x: {"train": [[1]], "val": [[1]], "test": [[1]], "smap": {x: 1}},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("protocol", range(6))
def test_pickled_calls_are_refused(tmp_path, wrapping, protocol):
    marker, path = tmp_path / "ran", tmp_path / "x.pkl"
    path.write_bytes(
        pickle.dumps(WRAPPINGS[wrapping](Calls(os.system, f"touch {marker}")), protocol)
    )
    assert "refused" in error_of(load_published_dataset, path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()  # the code was live


def by_hand(marker):
    "Pickles written by hand, each of which makes the marker when it is loaded plainly."
    command = f"touch {marker}".encode()
    text = b"X" + struct.pack("<I", len(command)) + command
    return {
        "GLOBAL REDUCE": b"cos\nsystem\n(" + text + b"tR.",
        "INST": b"(" + text + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + text + b"o.",
        "STACK_GLOBAL": b"\x80\x04\x8c\x02os\x8c\x06system\x93(" + text + b"tR.",
        "names from the memo": b"\x80\x04\x8c\x02os\x940\x8c\x06system\x940h\x00h\x01\x93("
        + text
        + b"tR.",
        "behind a good value": b"\x80\x02}q\x00X\x05\x00\x00\x00train]s0cos\nsystem\n("
        + text
        + b"tR.",
        "in a frame": b"\x80\x04\x95"
        + struct.pack("<Q", len(text) + 15)
        + b"cos\nsystem\n("
        + text
        + b"tR.",
        "builtins": b"cbuiltins\nexec\n(V"
        + f"import os; os.system({command.decode()!r})".encode()
        + b"\ntR.",
    }


@pytest.mark.parametrize("way", by_hand("x"))
def test_handmade_calls_are_refused(tmp_path, way):
    marker, path = tmp_path / "ran", tmp_path / "x.pkl"
    path.write_bytes(by_hand(marker)[way])
    assert "refused" in error_of(load_published_dataset, path)
    assert not marker.exists()
    pickle.loads(path.read_bytes())
    assert marker.exists()


def test_functions_by_number_are_refused(tmp_path):
    "Once a number was used in a process, an unpickler's find_class is not asked about it any more."
    marker, path = tmp_path / "ran", tmp_path / "x.pkl"
    copyreg.add_extension("posix", "system", 0xF0)
    try:
        path.write_bytes(pickle.dumps(Calls(os.system, f"touch {marker}"), 2))
        for _ in range(2):  # the first plain load fills the cache
            assert "EXT1" in error_of(load_published_dataset, path)
            assert not marker.exists()
            pickle.loads(path.read_bytes())
            marker.unlink()
    finally:
        copyreg.remove_extension("posix", "system", 0xF0)


@pytest.mark.parametrize("persistent", [b"P1\n.", b"\x80\x02K\x01Q."])
def test_asking_the_reader_is_refused(tmp_path, persistent):
    (tmp_path / "x.pkl").write_bytes(persistent)
    assert "PERSID" in error_of(load_published_dataset, tmp_path / "x.pkl")


BOMBS = {
    "a slot far away": b"\x80\x04]r\xff\xff\xff\x7f.",
    "a slot far away, in text": b"]p99999999999\n.",
    "a tuple 200,000 deep as a key": b"\x80\x04})" + b"\x85" * 200_000 + b"K\x01s.",
    "a number of a million bits": b"\x80\x02\x8b"
    + struct.pack("<i", 125_000)
    + b"\x7f" * 125_000
    + b".",
    "a number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "a list as a key": b"\x80\x02}]K\x01s.",
    "an item for nothing": b"\x80\x02K\x01K\x02a.",
    "nothing on the stack": b".",
    "another protocol": b"\x80\x63].",
    "lists 100,000 deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_one_line(tmp_path, bomb):
    (tmp_path / "x.pkl").write_bytes(BOMBS[bomb])
    error_of(load_published_dataset, tmp_path / "x.pkl")


# ---- damaged files ----


def damaged(content, rng):
    "The same bytes with a few changed, cut out, doubled or cut off."
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place, way = rng.integers(len(content)), rng.integers(5)
        if way <= 1:
            content[place] = rng.integers(256)
        elif way == 2:
            del content[place : place + rng.integers(1, 9)]
        elif way == 3:
            content[place:place] = content[place : place + rng.integers(1, 20)]
        elif rng.random() < 0.2:
            del content[place:]
        if not content:
            return b""
    return bytes(content)


def count_refused(function, path, content, times, seed):
    "How many damaged copies are refused; the others are read. Any other error comes out."
    rng, refused = np.random.default_rng(seed), 0
    for _ in range(times):
        path.write_bytes(damaged(content, rng))
        try:
            function(path)
        except DataError as error:
            assert "\n" not in str(error)
            refused += 1
    return refused


@pytest.mark.parametrize("protocol", range(6))
def test_damaged_datasets(tmp_path, protocol):
    parts = parts_of([[1, 2, 3, 4], [2, 300, 5], [70000, 2, 1]], (1, 2, 3))
    smap = {"umap": {"ä": 1}, "smap": {f"B{i}": i for i in range(1, 6)}}
    for content in ({key: list(part.values()) for key, part in parts.items()}, {**parts, **smap}):
        # some changes hurt nobody: another item, another id
        assert (
            count_refused(
                load_published_dataset,
                tmp_path / "x.pkl",
                pickle.dumps(content, protocol),
                1000,
                protocol,
            )
            > 250
        )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    "A small checkpoint under the authors' names, and the model it is of."
    torch.manual_seed(0)
    model = ADRec(ADRecConfig(n_items=5, dim=8, heads=2, padding="sink")).eval()
    path = tmp_path_factory.mktemp("checkpoint") / "x.pth"
    torch.save({name: view.clone() for name, view in published_views(model).items()}, path)
    return path, model


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_checkpoints(tmp_path, checkpoint, zipped):
    state = torch.load(checkpoint[0], weights_only=True)
    torch.save(state, tmp_path / "y.pth", _use_new_zipfile_serialization=zipped)
    assert load_published_table(tmp_path / "y.pth").shape == (6, 8)
    content = (tmp_path / "y.pth").read_bytes()
    assert (
        count_refused(
            lambda path: load_published_model(path, heads=2), tmp_path / "x.pth", content, 150, 0
        )
        > 30
    )


@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_with_code_are_refused(tmp_path, checkpoint, zipped):
    marker, path = tmp_path / "ran", tmp_path / "x.pth"
    state = torch.load(checkpoint[0], weights_only=True)
    for bad in (
        {**state, "more": Calls(os.system, f"touch {marker}")},
        Calls(os.system, f"touch {marker}"),
        checkpoint[1],
    ):
        torch.save(bad, path, _use_new_zipfile_serialization=zipped)
        for function in (load_published_model, load_published_table):
            assert "refused: it asks for" in error_of(function, path)
            assert not marker.exists()


def test_plain_pickle_is_no_checkpoint(tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "x.pth"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {marker}")))
    error_of(load_published_model, path)
    assert not marker.exists()


def test_a_checkpoint_that_unpacks_to_less(tmp_path, checkpoint):
    "An archive whose tensor files are shorter than its description says."
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(checkpoint[0]) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name)[:16] if "/data/" in name else good.read(name))
    error_of(load_published_model, path, heads=2)


def test_a_checkpoint_of_another_shape(tmp_path, checkpoint):
    path = tmp_path / "x.pth"
    state = torch.load(checkpoint[0], weights_only=True)
    torch.save({**state, "hist_norm.bias": torch.ones(9)}, path)
    assert "'hist_norm.bias' has shape (9,), not (8,)" in error_of(
        load_published_model, path, heads=2
    )
    torch.save({**state, "item_embedding.weight": torch.ones(6, 16)}, path)
    assert "hist_norm.weight" in error_of(load_published_model, path, heads=2)
    more = {f"diffu.ag_encoder.transformer_blocks.{10**9}.x": torch.ones(1)}
    torch.save({**state, **more}, path)
    error_of(load_published_model, path, heads=2)
    torch.save({name: tensor for name, tensor in state.items() if "net.decoder" not in name}, path)
    assert "no tensor 'diffu.net.decoder" in error_of(load_published_model, path, heads=2)


def test_missing_files_and_folders(tmp_path):
    for function in (load_published_dataset, load_published_model, load_published_table):
        assert "Check the path" in error_of(function, tmp_path / "none.pkl")
        error_of(function, tmp_path)
