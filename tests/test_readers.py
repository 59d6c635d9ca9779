"""The readers against what notebooks cannot show in full.

Every format's round trip, every kind of bad file, and tens of thousands of damaged ones.
ADREC_NB_FUZZ=20000 tries so many; without it two thousand, in seconds."""

import gzip
import json
import os
import random
import sys
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adrec_nb.catalogue import read_items
from adrec_nb.common import DataError
from adrec_nb.data import build_sequences
from adrec_nb.readers import read_interactions

FUZZ = int(os.environ.get("ADREC_NB_FUZZ", "2000"))
START = 1_400_000_000
steady = settings(deadline=None, derandomize=True)


# ---- every format, written plainly ----


def events_of(sequences):
    "Events (user, item, rating, time) of the sequences, shuffled among users as a log would be."
    rest = [(f"u{user}", iter(seq)) for user, seq in enumerate(sequences)]
    rng, time, events = random.Random(0), START, []
    while rest:
        user, items = rest[rng.randrange(len(rest))]
        item = next(items, None)
        if item is None:
            rest = [one for one in rest if one[0] != user]
        else:
            time += rng.randrange(1, 1000)
            events.append((user, f"i{item}", 1 + time % 5, time))
    return events


def separated(sep, header=None):
    "A writer of tables."

    def write(events):
        lines = [*([header] if header else []), *(sep.join(map(str, event)) for event in events)]
        return ("\n".join(lines) + "\n").encode()

    return write


def objects(*names, date=False):
    "A writer of JSON lines, with a key too many."

    def write(events):
        lines = []
        for user, item, rating, time in events:
            stamp = str(pd.Timestamp(time, unit="s")) if date else time
            row = dict(zip(names, (user, item, float(rating), stamp), strict=True))
            lines.append(json.dumps(row | {"text": 'Good, "really".'}) + "\n")
        return "".join(lines).encode()

    return write


def sequence_lines(events):
    "One user a line, items in time order."
    lines = {}
    for user, item, _, _ in events:
        lines.setdefault(user, []).append(item)
    return "".join(" ".join([user, *items]) + "\n" for user, items in lines.items()).encode()


def parquet(events):
    "A parquet file, as bytes."
    return pd.DataFrame(events, columns=["user", "item", "rating", "timestamp"]).to_parquet()


WRITERS = {
    "events.csv": separated(",", "user,item,rating,timestamp"),
    "events.tsv": separated("\t", "user_id\titem_id\trating\ttimestamp"),
    "semicolons.txt": separated(";", "user;item;rating;time"),
    "spaces.txt": separated(" ", "user item rating time"),
    "u.data": separated("\t"),
    "ratings.dat": separated("::"),
    "ratings.csv": separated(",", "userId,movieId,rating,timestamp"),
    "ratings_Baby.csv": separated(","),
    "set.inter": separated("\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float"),
    "reviews_Baby_5.json": objects("reviewerID", "asin", "overall", "unixReviewTime"),
    "yelp_academic_dataset_review.json": objects(
        "user_id", "business_id", "stars", "date", date=True
    ),
    "Baby.txt": sequence_lines,
    "events.parquet": parquet,
}
TEXT = [  # what may be packed with gzip; parquet packs by itself
    name for name in WRITERS if not name.endswith(".parquet")
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A folder whose files may be overwritten."
    return tmp_path_factory.mktemp("files")


def write(place, name, data):
    (place / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return place / name


def read_back(path):
    "Sequences of source ids, by source user, however the file numbered them."
    log = read_interactions(path)
    ds = build_sequences(log, min_rating=None, k_core=None)
    users = log["user"].drop_duplicates().tolist()  # users are numbered by first appearance
    pairs = zip(users, ds.sequences, strict=True)
    return {user: [ds.item_ids[item] for item in seq] for user, seq in pairs}


@pytest.mark.parametrize(
    "name, packed", [*((name, False) for name in WRITERS), *((name, True) for name in TEXT)]
)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    sequences=st.lists(
        st.lists(st.integers(1, 30), min_size=1, max_size=12), min_size=1, max_size=8
    )
)
def test_sequences_survive_every_format(place, name, packed, sequences):
    events = events_of(sequences)
    data = WRITERS[name](events)
    path = write(place, name + ".gz" * packed, gzip.compress(data) if packed else data)
    expected = {f"u{user}": [f"i{item}" for item in seq] for user, seq in enumerate(sequences)}
    assert read_back(path) == expected


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "Baby.txt"])
def test_a_log_longer_than_a_block_is_the_same(place, name):
    events = [(f"u{n % 700}", f"i{n % 333}", 1 + n % 5, START + n // 3) for n in range(12_345)]
    log = read_interactions(write(place, name, WRITERS[name](events)))
    assert list(log.itertuples(index=False, name=None)) == events


def test_quoted_cells_and_line_ends(place):
    text = 'user,item,title,time\r\n"Doe, Jane","i 1","a\r\nb",5\r\n\r\n"x ""y""",i2,,6'
    log = read_interactions(write(place, "q.csv", text))
    assert log["user"].tolist() == ["Doe, Jane", 'x "y"'] and log["item"].tolist() == ["i 1", "i2"]
    with pytest.raises(DataError, match="line 5, column 'time'"):
        read_interactions(write(place, "q.csv", text.replace(",,6", ",,six")))


def test_a_bad_line_far_down_is_named(place):
    lines = ["user,item,time"] + [f"u{n},i{n},{n}" for n in range(12_000)]
    lines[9_999] = "u,i,never"
    with pytest.raises(DataError, match="line 10000, column 'time': 'never'"):
        read_interactions(write(place, "long.csv", "\n".join(lines)))
    lines[9_999] = "u,i"
    with pytest.raises(DataError, match="line 10000: 2 cells"):
        read_interactions(write(place, "long.csv", "\n".join(lines)))


# ---- bad files, one by one ----

HEAD = "user,item,rating,timestamp\nann,dune,5,1\n"
REVIEW = '{"user_id": "a", "business_id": "b", "stars": 4, "date": "2020-01-01 00:00:00"}\n'
BAD = {
    "missing file": ("none.csv", None, "none.csv: no such file. Check"),
    "empty file": ("x.csv", "", "x.csv: the file is empty. Give"),
    "empty gzip": ("x.csv.gz", gzip.compress(b""), "the file is empty"),
    "blank lines": ("x.txt", "\n \n", "the file is empty"),
    "only a header": ("x.csv", "user,item,rating,timestamp\n", "only a header, no events. Give"),
    "no user column": (
        "x.csv",
        "who,item,time\na,b,1\n",
        "line 1: no user column among 'who'.*Add a header.*user=",
    ),
    "no time column": ("x.csv", "user,item\na,b\n", "no timestamp column.*timestamp=False"),
    "no header": ("x.csv", "a,b,1\n", "no user column among 'a', 'b', '1'. Add a header line"),
    "two user columns": (
        "x.csv",
        "user,uid,item,time\na,b,c,1\n",
        "two columns could be the user: user, uid. Give user=",
    ),
    "a name twice": ("x.csv", "user,user,item,time\na,b,c,1\n", "two columns could be the user"),
    "rating no number": (
        "x.csv",
        HEAD + "a,b,good,1\n",
        "line 3, column 'rating': 'good' is not a finite number. Correct",
    ),
    "rating NaN": ("x.csv", HEAD + "a,b,NaN,1\n", "line 3, column 'rating'"),
    "rating infinite": ("x.csv", HEAD + "a,b,inf,1\n", "line 3, column 'rating'"),
    "time no number": ("x.csv", HEAD + "a,b,5,noon\n", "line 3, column 'timestamp': 'noon'"),
    "time NaN": ("x.csv", HEAD + "a,b,5,nan\n", "line 3, column 'timestamp'"),
    "time infinite": ("x.csv", HEAD + "a,b,5,-inf\n", "line 3, column 'timestamp'"),
    "time empty": ("x.csv", HEAD + "a,b,5,\n", "line 3, column 'timestamp'"),
    "time negative": (
        "x.csv",
        HEAD + "a,b,5,-7\n",
        "line 3, column 'timestamp': the time -7 is negative",
    ),
    "seconds and milliseconds": (
        "x.csv",
        HEAD + f"a,b,5,{START}\na,c,5,{START}000\n",
        "line 4.*like milliseconds.*like seconds",
    ),
    "cut gzip": (
        "x.csv.gz",
        gzip.compress((HEAD * 500).encode())[:-20],
        "damaged or cut off.*Fetch",
    ),
    "no gzip inside": ("x.csv.gz", b"\x1f\x8b but no more", "damaged or cut off"),
    "latin-1": (
        "x.csv",
        HEAD.encode() + "é,b,5,1\n".encode("latin-1"),
        "line 3: is not utf-8 text.*encoding=",
    ),
    "utf-16": ("x.csv", HEAD.encode("utf-16"), "line 1: is not utf-8 text"),
    "short row": (
        "x.csv",
        HEAD + "a,b,5\n",
        "line 3: 3 cells, where the first line has 4. Correct",
    ),
    "long row": ("x.csv", HEAD + "a,b,5,1,\n", "line 3: 5 cells"),
    "open quote": ("x.csv", HEAD + '"a,b,5,1\n', "line 3: is no proper csv.*Check the quotes"),
    "empty user": ("x.csv", HEAD + ",b,5,1\n", "line 3, column 'user': this cell is empty"),
    "ragged u.data": ("u.data", "1\t2\t3\t4\n1\t2\t3\n", "line 2: 3 cells"),
    "wrong ratings.dat": ("ratings.dat", "1::2::3::4::5\n", "line 1: 5 cells, not user"),
    "json cut off": (
        "x.json",
        REVIEW + REVIEW[:20],
        "line 2: is not valid JSON.*one object a line",
    ),
    "json list": ("x.json", "[1, 2]\n", "line 1: is no JSON object"),
    "json key missing": (
        "x.json",
        REVIEW + '{"user_id": "a"}\n',
        "line 2, column 'business_id': this line does not have it",
    ),
    "json bad date": (
        "x.json",
        REVIEW + REVIEW.replace("2020-01-01", "01/01/20"),
        "line 2, column 'date'.*is no date like",
    ),
    "json user is a list": (
        "x.json",
        REVIEW + REVIEW.replace('"a"', "[1]"),
        "line 2, column 'user_id': .1. is neither",
    ),
    "json NaN": ("x.json", REVIEW + REVIEW.replace("4", "NaN"), "line 2, column 'stars': nan"),
    "user without items": ("x.txt", "1 2 3\n4\n", "line 2: user '4' has no items"),
    "no parquet": ("x.parquet", "user,item\n", "is not a parquet file"),
    "a folder": (".", None, "cannot be read"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_told_in_one_line(tmp_path, what):
    name, data, words = BAD[what]
    path = tmp_path / name if data is None else write(tmp_path, name, data)
    with pytest.raises(DataError, match=words) as caught:
        read_interactions(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == ([] if data is None else [path]), "and leaves nothing behind"


def test_nothing_left_and_users_too_short(tmp_path):
    path = write(tmp_path, "one.csv", HEAD)
    with pytest.raises(DataError, match="one.csv: none of 1 events is left.*Lower them"):
        build_sequences(read_interactions(path))
    ds = build_sequences(read_interactions(path), k_core=None, name="one")
    assert ds.n_users == 1 and ds.counts()["too short to split"] == 1
    with pytest.raises(DataError, match="one: no user has 3 events"):
        ds.split("train")


def test_repeated_rows_are_kept_counted_and_reported(tmp_path, caplog):
    path = write(tmp_path, "twice.csv", HEAD + "ann,dune,5,1\nann,dune,5,2\n")
    log = read_interactions(path)
    assert len(log) == 3 and log.attrs["repeats"] == 1
    assert "1 of 3 rows repeat an earlier row; all are kept" in caplog.text
    assert build_sequences(log, k_core=None).sequences[0].tolist() == [1, 1, 1]


def test_labels_reach_the_items_of_a_sequence_file(tmp_path):
    log = read_interactions(write(tmp_path, "s.txt", "1 10 20 30\n2 20 10 40\n"))
    items = read_items(
        write(tmp_path, "item2attributes.json", '{"10": [1, 2], "20": [], "40": ["x"], "99": [3]}')
    )
    ds = build_sequences(log, min_rating=None, k_core=None, items=items)
    assert dict(zip(ds.item_names, ds.item_labels, strict=True)) == {
        "(padding)": (),
        "10": ("1", "2"),
        "20": (),
        "30": (),
        "40": ("x",),
    }


def test_without_pyarrow_the_other_formats_work(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        read_interactions(write(tmp_path, "x.parquet", b"PAR1"))
    assert len(read_interactions(write(tmp_path, "x.csv", HEAD))) == 1


# ---- tens of thousands of damaged files ----

ODD = [
    b"",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b'"',
    b",",
    b"\t",
    b"::",
    b";",
    b"-",
    b"nan",
    b"inf",
    b"1e400",
    b"9" * 40,
    b"-1",
    b"0x1F",
    b"1_000",
    b"\xef\xbb\xbf",
    "\u2028é𝟙".encode(),
    b"{}",
    b"[",
    b"null",
    b"true",
    b"[[1]]",
    b'{"a": ',
    b"\\ud800",
    b"1969-01-01",
    b"2020-13-45",
    b"9999-12-31T23:59:60Z",
    b"user",
    b"item,item",
    b"time",
    b"1531001351000",
    b" ",
    b"\x1f\x8b",
]


def damaged(data, rng):
    "The data with one to four changes: bytes, odd pieces put in, parts cut, doubled or swapped."
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        way = rng.randrange(7)
        if way == 0 and data:
            data[a % len(data)] = rng.randrange(256)
        elif way in (1, 2):
            data[a:a] = rng.choice(ODD)
        elif way == 3:
            data[a : a + rng.randrange(1, 9)] = rng.choice(ODD)
        elif way == 4:
            del data[a : min(b, a + rng.randrange(1, 60))]
        elif way == 5:
            data[b:b] = data[a:b][:200]
        elif rng.random() < 0.2:
            del data[a:]
    return bytes(data)


def seeds():
    "Small good files: name, content, reader."
    events = events_of([[1, 2, 3, 1], [2, 3], [4, 1, 2]])
    for name, writer in WRITERS.items():
        yield name, writer(events), read_interactions
        if name in TEXT:
            yield name + ".gz", gzip.compress(writer(events)), read_interactions
    flags = "|".join("01"[n % 2] for n in range(19))
    yield (
        "u.item",
        f"1|Dune (1984)|d||u|{flags}\n2|Café, The (1990)|d||u|{flags}\n".encode("latin-1"),
        read_items,
    )
    yield (
        "x.item",
        b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        b"1\tDune\t1984\tWar\n",
        read_items,
    )
    yield "movies.dat", b"1::Dune (1984)::War|Sci-Fi\n", read_items
    yield "movies.csv", b'movieId,title,genres\n1,"Dune, The",War|Sci-Fi\n', read_items
    yield "item2attributes.json", b'{"1": [1, 2], "2": ["a"]}', read_items


def outcome(path, reader):
    "What the reader makes of a file: 'good' or 'refused'. Any other error goes through."
    try:
        table = reader(path)
        if reader is read_interactions:
            build_sequences(table, None, None).split("train")
    except DataError as error:
        assert str(error) and "\n" not in str(error)
        return "refused"
    return "good"


def test_only_data_errors_come_out_of_damaged_files(place, caplog):
    rng, files, count = random.Random(7), list(seeds()), Counter()
    for name, data, reader in files:
        assert outcome(write(place, name, data), reader) == "good", name
    for n in range(FUZZ):
        name, data, reader = files[n % len(files)]
        bad = damaged(data, rng) if rng.random() < 0.95 else rng.randbytes(rng.randrange(200))
        if name.endswith(".gz") and rng.random() < 0.5:  # damaged text, packed well
            bad = gzip.compress(damaged(gzip.decompress(data), rng))
        try:
            count[outcome(write(place, name, bad), reader)] += 1
        except Exception as error:
            raise AssertionError(f"{name}: {bad!r} gave {error!r}") from error
        caplog.clear()
    assert sum(count.values()) == FUZZ and min(count["good"], count["refused"]) > FUZZ // 20, count


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.sampled_from(TEXT),
    st.lists(st.lists(st.text(max_size=8), max_size=5), max_size=6),
    st.sampled_from(",\t; "),
)
def test_only_data_errors_come_out_of_random_tables(place, name, rows, sep):
    text = "\n".join(sep.join(row) for row in rows).encode("utf-8", "surrogatepass")
    outcome(write(place, name, text), read_interactions)
    outcome(write(place, name, b"user,item,rating,timestamp\n" + text), read_interactions)
