"""Programs that ask for a GPU hear that there is none, and go on; the older tensor types are dtypes."""

from __future__ import annotations

import pytest

import retrograd
from retrograd import amp


def test_there_is_no_gpu():
    cuda = retrograd.cuda
    assert not cuda.is_available() and cuda.device_count() == 0 and not cuda.is_initialized()
    assert cuda.memory_allocated() == 0 and cuda.empty_cache() is None
    cuda.manual_seed_all(3)
    with cuda.device(0), pytest.raises(AssertionError, match="not compiled with CUDA"):
        cuda.synchronize()
    assert retrograd.version.cuda is None and retrograd.version.__version__ == retrograd.__version__


@pytest.mark.parametrize("name", ["cudnn", "mkl", "mkldnn", "mps", "openmp"])
def test_no_other_backend_either(name):
    assert not getattr(retrograd.backends, name).is_available()


def test_switches_may_be_set():
    cudnn = retrograd.backends.cudnn
    before = cudnn.benchmark
    cudnn.benchmark = True
    assert cudnn.benchmark and cudnn.version() is None
    cudnn.benchmark = before


def test_autocast_without_a_gpu_does_nothing():
    with pytest.warns(UserWarning, match="CUDA is not available"):
        context = retrograd.autocast("cuda", dtype=retrograd.float16)
    with context:
        assert (retrograd.ones(2, 2) @ retrograd.ones(2, 2)).dtype is retrograd.float32
    with amp.autocast("cpu", enabled=False):
        pass
    assert amp.autocast("cpu", enabled=False)(lambda x: x + 1)(1) == 2
    with pytest.raises(NotImplementedError, match="autocast on the CPU"):
        amp.autocast("cpu")
    with pytest.raises(RuntimeError, match="unsupported autocast device_type"):
        amp.autocast("tpu")


def _train(module, grads):
    """Return parameter and scale after each of some steps, one of which overflows."""
    x = module.nn.Parameter(module.tensor([1.0, -2.0]))
    optimizer = module.optim.SGD([x], lr=0.1)
    scaler = module.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    seen = []
    for g in grads:
        optimizer.zero_grad()
        scaler.scale((x * module.tensor(g)).sum()).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        seen.append((x.tolist(), scaler.get_scale()))
    return seen, scaler.state_dict()


def test_the_scaler_is_torchs(torch_or_skip):
    grads = [[1.0, 2.0], [0.5, 1.0], [float("inf"), 1.0], [1.0, 1.0], [2.0, 1.0], [1.0, float("nan")]]
    (theirs, their_state), (ours, our_state) = _train(torch_or_skip, grads), _train(retrograd, grads)
    assert ours == theirs and our_state == their_state


def test_mistakes_with_the_scaler():
    scaler = amp.GradScaler("cpu")
    optimizer = retrograd.optim.SGD([retrograd.nn.Parameter(retrograd.ones(1))], lr=0.1)
    with pytest.raises(AssertionError, match="No inf checks"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="state dict is empty"):
        scaler.load_state_dict({})
    with pytest.warns(UserWarning, match="Disabling"):
        off = amp.GradScaler()
    assert off.scale(optimizer) is optimizer and off.get_scale() == 1.0 and off.state_dict() == {}


def test_older_tensor_types(torch_or_skip):
    for m in (torch_or_skip, retrograd):
        assert m.FloatTensor([1, 2]).tolist() == [1, 2] and m.LongTensor([1, 2]).dtype is m.int64
        assert m.FloatTensor(2, 3).shape == (2, 3) and m.DoubleTensor().numel() == 0
        assert isinstance(m.ones(1), m.FloatTensor) and not isinstance(m.ones(1), m.LongTensor)
        assert m.ones(2).type(m.LongTensor).dtype is m.int64 and m.FloatTensor.dtype is m.float32
        with pytest.raises(TypeError):
            m.FloatTensor(m.ones(2, dtype=m.int64))


def test_the_default_by_an_older_type():
    with pytest.warns(UserWarning, match="deprecated"):
        retrograd.set_default_tensor_type(retrograd.DoubleTensor)
    try:
        assert retrograd.ones(1).dtype is retrograd.float64
    finally:
        retrograd.set_default_dtype(retrograd.float32)
    with pytest.warns(UserWarning), pytest.raises(TypeError, match="floating-point types"):
        retrograd.set_default_tensor_type("torch.LongTensor")
