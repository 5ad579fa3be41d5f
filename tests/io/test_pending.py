"""HDF5 files whose changes reach the disk only when they are committed."""

import os
import random

import h5py
import numpy as np
import pytest

from diffmd.errors import OutputError
from diffmd.io.growing import GrowingTable, add_growing
from diffmd.io.pending import PendingH5, _PendingFile


def test_nothing_reaches_the_disk_before_commit(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(10_000)
    before = path.read_bytes()
    with PendingH5(path) as store:
        store.file["y"] = np.arange(50_000)
        store.file["x"][5] = -1
        store.file.flush()
        assert path.read_bytes() == before
        store.commit()
        with h5py.File(path) as file:
            assert file["x"][5] == -1
            assert np.array_equal(file["y"], np.arange(50_000))
        store.file["z"] = 1
    with h5py.File(path) as file:
        assert set(file) == {"x", "y"}


def test_it_behaves_as_a_file_does(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    rng = random.Random(3)
    start = rng.randbytes(10_000)
    ours.write_bytes(start)
    theirs.write_bytes(start)
    pending = _PendingFile(ours)
    with theirs.open("r+b") as plain:
        for _ in range(400):
            at, size = rng.randrange(30_000), rng.randrange(12_000)
            pending.seek(at)
            plain.seek(at)
            match rng.randrange(5):
                case 0 | 1:
                    data = rng.randbytes(size)
                    assert pending.write(data) == plain.write(data)
                case 2 | 3:
                    assert pending.read(size) == plain.read(size)
                case 4:
                    pending.commit()
                    plain.flush()
                    assert ours.read_bytes() == theirs.read_bytes()
            assert pending.seek(0, 2) == plain.seek(0, 2)
        pending.commit()
    pending.close()
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(OutputError, match="no such file"):
        PendingH5(tmp_path / "no.h5")
    (tmp_path / "bad.h5").write_bytes(b"bad")
    with pytest.raises(OutputError, match=r"cannot open .*bad\.h5"):
        PendingH5(tmp_path / "bad.h5")


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (400, 3), (100_000,)])
def test_tables_grow_and_shrink(tmp_path, shape):
    path = tmp_path / "t.h5"
    with h5py.File(path, "w") as file:
        add_growing(file, "key", (), "i8")
        add_growing(file, "x", shape, "f4")
    values = np.random.default_rng(0).normal(size=(7, *shape)).astype("f4")
    with PendingH5(path) as store:
        table = GrowingTable(store, "key", ("x",))
        assert table.last is None
        table.append(np.arange(4), {"x": values[:4]})
        table.append(np.arange(4, 7), {"x": values[4:]})
        assert (len(table), table.last) == (7, 6)
        table.truncate(4)
        assert len(table) == 5
        table.truncate(100)
        with pytest.raises(ValueError, match="shape"):
            table.append(np.arange(2), {"x": values[:3]})
        with pytest.raises(ValueError, match="expected"):
            table.append(np.arange(2), {"y": values[:2]})
    with h5py.File(path) as file:
        assert np.array_equal(file["x"], values[:5])
        assert np.array_equal(file["key"], np.arange(5))


@pytest.mark.parametrize("seed", range(3))
def test_whole_rows_at_every_moment_of_a_kill(tmp_path, monkeypatch, seed):
    """After each page that goes to the disk, the file is what a kill there would leave."""
    path = tmp_path / "t.h5"
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for name in rng.permutation(["key", "x", "y"]):
            add_growing(file, name, {"key": (), "x": (50, 3), "y": (3000,)}[name], "i8" if name == "key" else "f8")
            # The header of one dataset may lie on the page of another's rows.
            file.create_dataset(f"between-{name}", data=np.zeros(rng.integers(1, 700)))
    moments = []

    def pwrite(descriptor, data, at, write=os.pwrite):
        for start in range(0, len(data), 4096):
            write(descriptor, data[start : start + 4096], at + start)
            with h5py.File(path) as file:
                count = np.arange(len(file["key"]))
                assert np.array_equal(file["key"], count)
                assert np.array_equal(file["x"][: len(count), 0, 0], count)
                assert np.array_equal(file["y"][: len(count), 0], count)
                moments.append(len(count))
        return len(data)

    monkeypatch.setattr("diffmd.io.pending.os.pwrite", pwrite)
    # 64 chunks, of two rows of y, fill a node of HDF5's index: enough for it to split.
    for last in (150, 110, 170):
        with PendingH5(path) as store:
            table = GrowingTable(store, "key", ("x", "y"))
            table.truncate(last)
        with PendingH5(path) as store:
            table = GrowingTable(store, "key", ("x", "y"))
            while len(table) <= last:
                new = np.arange(len(table), len(table) + rng.integers(1, 12))
                rows = {"x": np.zeros((len(new), 50, 3)) + new[:, None, None], "y": np.zeros((len(new), 3000))}
                table.append(new, rows | {"y": rows["y"] + new[:, None]})
    assert len(moments) > 500
