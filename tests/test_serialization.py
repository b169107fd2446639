"""Saving and loading: what goes in comes out, damaged files are refused with a reason, and no file can run
code.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest

import retrograd as torch
from retrograd import nn, optim
from retrograd.serialization import CheckpointError, safetensors

DTYPES = [
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "bool",
]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_every_dtype_comes_back(name, ending, tmp_path):
    kind = getattr(torch, name)
    tensors = {
        "a": torch.arange(6).to(kind).view(2, 3),
        "scalar": torch.ones((), dtype=kind),
        "none": torch.ones(0, 3, dtype=kind),
    }
    tensors["turned"] = tensors["a"].t()
    torch.save(tensors, tmp_path / f"x.{ending}")
    found = torch.load(tmp_path / f"x.{ending}")
    assert set(found) == set(tensors)
    for key, tensor in tensors.items():
        assert found[key].dtype is kind
        assert found[key].shape == tensor.shape
        assert torch.equal(found[key], tensor)


def test_a_checkpoint_comes_back(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = optim.Adam(net.parameters(), amsgrad=True)
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    plain = {
        1: (2, 3.0),
        "list": [None, True, -5, "text", b"bytes", 2j, 2**70],
        "inf": float("-inf"),
        (1, 2): torch.float32,
    }
    torch.save(
        {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "plain": plain}, tmp_path / "c.pt"
    )
    found = torch.load(tmp_path / "c.pt")
    assert found["plain"] == plain
    assert type(found["net"]) is collections.OrderedDict
    assert found["net"]._metadata["1"] == {"version": 2}
    fresh = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    other = optim.Adam(fresh.parameters())
    fresh.load_state_dict(found["net"])
    other.load_state_dict(found["optimizer"])
    for stepped, owner in ((optimizer, net), (other, fresh)):
        for p in owner.parameters():
            p.grad = torch.ones_like(p)
        stepped.step()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), fresh.parameters(), strict=True))


def test_nan_parameters_and_shared_tensors(tmp_path):
    shared = nn.Parameter(torch.ones(2))
    torch.save([shared, shared, float("nan"), torch.ones(1, requires_grad=True)], tmp_path / "x")
    first, second, nan, leaf = torch.load(tmp_path / "x")
    assert first is second
    assert isinstance(first, nn.Parameter)
    assert nan != nan
    assert leaf.requires_grad


def test_open_files():
    file = io.BytesIO()
    torch.save([torch.ones(2)], file)
    file.seek(0)
    assert torch.load(file)[0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": nn.Linear(1, 1)}, r"got Linear at obj\['model'\]; save its state_dict\(\) instead"),
        ([lambda: 0], r"got function at obj\[0\]; save its plain parts instead"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(value, message, tmp_path):
    path = tmp_path / "x"
    torch.save(1, path)
    with pytest.raises(TypeError, match=message):
        torch.save(value, path)
    assert torch.load(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_safetensors_hold_only_tensors_by_name(tmp_path):
    with pytest.raises(TypeError, match=r"a .safetensors file holds a dictionary of tensors by name"):
        torch.save({"a": 3}, tmp_path / "x.safetensors")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "none")


def test_only_the_cpu(tmp_path):
    torch.save(1, tmp_path / "x")
    assert torch.load(tmp_path / "x", map_location="cpu", weights_only=True) == 1
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        torch.load(tmp_path / "x", map_location="cuda")


# ---- damaged safetensors files ----


def _file(header, data=b"\0" * 8):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


GOOD = _file({"a": _entry()})
DAMAGED = [
    (b"", "has 0 bytes"),
    (b"abc", "has 3 bytes"),
    (GOOD[:20], "the header should have"),
    (GOOD[:-1], "ends at byte 8, but there are 7"),
    (GOOD + b"1", "the tensors end at byte 8, but there are 9"),
    (b"\xff" * 100, "is no file of save, of safetensors or of torch.save"),
    (_file(b"[1, 2]"), "the header is not a JSON object"),
    (_file(b'{"a":'), "the header is not valid JSON"),
    (_file(b"[" * 100_000), "the header is not valid JSON"),
    (_file(b'{"a": 1, "a": 2}'), "a name comes twice"),
    (_file({"a": 3}), "needs exactly dtype, shape and data_offsets"),
    (_file({"a": {**_entry(), "more": 1}}), "needs exactly dtype, shape and data_offsets"),
    (_file({"a": _entry("F9")}), "has dtype 'F9'"),
    (_file({"a": _entry(["F32"])}), "has dtype"),
    (_file({"a": _entry(shape=(3,))}), "needs 12 bytes, not 8"),
    (_file({"a": _entry(shape=(-2,))}), r"has shape \[-2\]"),
    (_file({"a": _entry(shape=(True, 2))}), "has shape"),
    (_file({"a": _entry(offsets=(8, 0))}), "has data_offsets"),
    (_file({"a": _entry(offsets=(0.0, 8))}), "has data_offsets"),
    (_file({"a": _entry(), "b": _entry(offsets=(4, 12))}, b"\0" * 12), "overlaps the one before it"),
    (_file({"a": _entry(), "b": _entry(offsets=(12, 20))}, b"\0" * 20), "leaves a gap before it"),
    (_file({"__metadata__": 3, "a": _entry()}), "__metadata__ is not a dictionary of strings"),
    (_file({"__metadata__": {"k": 3}, "a": _entry()}), "__metadata__ is not a dictionary of strings"),
    (_file({"__metadata__": {"retrograd": "{"}}, b""), "the tree of values is damaged"),
    (_file({"__metadata__": {"retrograd": '{"call": 3}'}}, b""), "unknown kind 'call'"),
    (_file({"__metadata__": {"retrograd": '{"tensor": "9"}'}}, b""), "the tree of values is damaged"),
    (_file({"__metadata__": {"retrograd": "[1]"}}, b""), "a list without a kind"),
    (b"PK\x03\x04" + b"x" * 50, "the zip archive is damaged"),
]


@pytest.mark.parametrize(("data", "message"), DAMAGED)
def test_damaged_files_are_refused(data, message, tmp_path):
    path = tmp_path / "broken"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        torch.load(path)
    assert str(path) in str(caught.value)


def test_the_good_file_loads(tmp_path):
    (tmp_path / "good").write_bytes(GOOD)
    assert torch.load(tmp_path / "good")["a"].tolist() == [0.0, 0.0]


def test_every_cut_and_flip_of_a_file_is_refused_or_loads(tmp_path):
    data = safetensors.dump({"a": torch.ones(2), "b": torch.arange(3)})
    path = tmp_path / "x"
    for i in range(len(data)):
        for changed in (data[:i], data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]):
            path.write_bytes(changed)
            with contextlib.suppress(CheckpointError):
                torch.load(path)


def test_the_safetensors_package_reads_and_writes_the_same(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False])}
    torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, tmp_path / "ours.safetensors")
    package.save_file(arrays, tmp_path / "theirs.safetensors", {"k": "v"})
    read, loaded = (
        package.load_file(tmp_path / "ours.safetensors"),
        torch.load(tmp_path / "theirs.safetensors"),
    )
    for key, array in arrays.items():
        assert np.array_equal(read[key], array)
        assert np.array_equal(loaded[key].numpy(), array)


# ---- files of torch.save ----


def test_files_of_torch(tmp_path):
    oracle = pytest.importorskip("torch")
    net = oracle.nn.Sequential(oracle.nn.Linear(3, 4), oracle.nn.BatchNorm1d(4))
    optimizer = oracle.optim.Adam(net.parameters())
    net(oracle.randn(5, 3)).sum().backward()
    optimizer.step()
    plain = {
        "values": [1, 2.5, "a", None, True, (1, 2), 2**70, b"xx", {1, 2}], "dtype": oracle.float32,
        "size": oracle.Size([1, 2]), "turned": oracle.arange(12).reshape(3, 4).t()[1:], "none":
        oracle.empty(0, 3),
        "narrow": oracle.ones(3, dtype=oracle.bfloat16), "complex": oracle.ones(2, dtype=oracle.complex64),
        "bool": oracle.tensor([True]), "weight": net[0].weight, "scalar": oracle.tensor(3),
    }  # fmt: skip
    oracle.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), **plain}, tmp_path / "x.pt")
    found = torch.load(tmp_path / "x.pt")
    assert found["values"] == plain["values"]
    assert (found["dtype"], found["size"]) == (torch.float32, torch.Size([1, 2]))
    assert found["turned"].tolist() == plain["turned"].tolist()
    assert found["narrow"].dtype is torch.bfloat16
    assert isinstance(found["weight"], nn.Parameter)
    fresh = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    fresh.load_state_dict(found["net"])
    for ours, theirs in zip(fresh.parameters(), net.parameters(), strict=True):
        assert np.array_equal(ours.detach().numpy(), theirs.detach().numpy())
    optim.Adam(fresh.parameters()).load_state_dict(found["optimizer"])
    oracle.save(net, tmp_path / "whole.pt")
    with pytest.raises(
        CheckpointError, match=r"names torch.nn.modules.container.Sequential, which would have to be executed"
    ):
        torch.load(tmp_path / "whole.pt")


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        Evil(os.system, "false"),
        Evil(eval, "1"),
        Evil(getattr, "", "join"),
        os.system,
        [Evil(print)],
        collections.UserDict,
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_cannot_run_anything(value, protocol, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(value, protocol))
    with pytest.raises(CheckpointError, match="which would have to be executed"):
        torch.load(tmp_path / "evil.pt")


def test_storages_cannot_be_overrun(tmp_path):
    oracle = pytest.importorskip("torch")
    oracle.save(oracle.arange(4.0), tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "x.pt") as old, zipfile.ZipFile(tmp_path / "y.pt", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:-4] if name.endswith("data/0") else content)
    with pytest.raises(CheckpointError, match="storage 0 has 12 bytes, not 16"):
        torch.load(tmp_path / "y.pt")
