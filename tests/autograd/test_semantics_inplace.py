"""Writes in place, views and versions as torch has them."""

from __future__ import annotations

from autograd.programs import caught, same


def leaf(torch, *shape):
    return torch.ones(*shape, requires_grad=True)


@same
def test_leaves_and_views_of_leaves_refuse(torch):
    x = leaf(torch, 3)
    before = x._version
    errors = [
        caught(lambda: x.add_(1)),
        caught(lambda: x[0].fill_(1)),
        caught(lambda: x.view(3, 1).mul_(2)),
        caught(lambda: x.__setitem__(0, 5.0)),
        caught(lambda: x.detach_() and None),
    ]
    return [errors, x._version == before, x.detach()]


@same
def test_detach_in_place_of_a_leaf(torch):
    x = leaf(torch, 3)
    x.detach_()
    return [x.requires_grad, x.is_leaf, x.grad_fn]


@same
def test_detach_in_place_of_a_result(torch):
    x = leaf(torch, 3)
    y = x * 2
    z = y * 3
    y.detach_()
    z.sum().backward()
    return [x.grad, y.requires_grad, y.is_leaf, y.grad_fn]


@same
def test_detach_in_place_of_a_view(torch):
    x = leaf(torch, 3)
    y = x * 2
    plain = torch.ones(3)
    return [caught(lambda: y[:2].detach_()), caught(lambda: plain[:2].detach_()), y.requires_grad]


@same
def test_detach_shares_version_data_does_not(torch):
    x = torch.ones(3)
    d, data = x.detach(), x.data
    x.add_(1)
    data.mul_(10)
    return [x._version, d._version, data._version, d._base is None, d._is_view(), x.tolist()]


@same
def test_write_to_a_detached_handle_is_seen_by_backward(torch):
    x = leaf(torch, 3)
    y = x * 2
    z = y * y
    y.detach().zero_()
    return caught(lambda: z.sum().backward())


@same
def test_write_to_data_is_not_seen_by_backward(torch):
    x = leaf(torch, 3)
    y = x * 2
    z = y * y
    y.data.zero_()
    z.sum().backward()
    return x.grad


@same
def test_saved_output_and_saved_input_are_checked(torch):
    def of(f):
        x = leaf(torch, 3)
        y = x * 2
        z = f(y)
        return y, z

    def write_input(f):
        y, z = of(f)
        y.add_(1)
        return caught(lambda: z.sum().backward())

    def write_output(f):
        _, z = of(f)
        w = z * 1
        z.add_(1)
        return caught(lambda: w.sum().backward())

    return [
        write_input(lambda y: y.exp()),
        write_output(lambda y: y.exp()),
        write_input(lambda y: y.sin()),
        write_output(lambda y: y.sin()),
        write_input(lambda y: y + 1),
    ]


@same
def test_version_error_names_type_and_versions(torch):
    x = leaf(torch, 2, 3)
    y = x * 2
    z = (y * y).sum()
    y.add_(1).add_(1)
    return caught(z.backward)


@same
def test_chain_of_in_place_writes(torch):
    x = leaf(torch, 3)
    y = x * 2
    y.add_(1)
    y.mul_(x)
    y.sin_()
    y.sum().backward()
    return [x.grad, y, y.grad_fn, y._version]


@same
def test_write_of_a_tensor_that_requires_grad_into_one_that_does_not(torch):
    x = leaf(torch, 3)
    y = torch.zeros(3)
    y.copy_(x * 2)
    y.sum().backward()
    return [y.requires_grad, y.grad_fn, x.grad, y.is_leaf]


@same
def test_write_into_a_view_makes_the_base_require_grad(torch):
    x = leaf(torch, 2)
    base = torch.zeros(4)
    v = base[1:3]
    w = base[:2]
    v.copy_(x)
    (base * torch.arange(4.0)).sum().backward()
    return [base.grad_fn, v.grad_fn, w.requires_grad, w.grad_fn, x.grad, base._version, w._version]


@same
def test_write_through_a_view_of_a_view(torch):
    x = leaf(torch, 3, 4)
    base = x * 1
    v = base.t()[1:3]
    v[0].mul_(5)
    (base * torch.arange(12.0).reshape(3, 4)).sum().backward()
    return [x.grad, base.grad_fn, v.grad_fn, v._base is base]


@same
def test_write_to_the_base_reaches_the_views(torch):
    x = leaf(torch, 4)
    base = x * 1
    v = base[:2]
    before = v.grad_fn
    base.mul_(3)
    v.sum().backward()
    return [before, v.grad_fn, x.grad, v._version]


@same
def test_write_to_a_view_after_the_base_was_written(torch):
    x = leaf(torch, 4)
    base = x * 1
    v = base[:2]
    base.mul_(3)
    v.mul_(2)
    base[3] = 0
    base.sum().backward()
    return [x.grad, base, v]


@same
def test_views_of_several_result_ops_refuse(torch):
    def of(take):
        y = leaf(torch, 4, 2) * 1
        part = take(y)
        return [caught(lambda: part.add_(1)), y._version]

    return [
        of(lambda y: y.split(2)[0]),
        of(lambda y: y.unbind(0)[1]),
        of(lambda y: y.chunk(2)[1]),
        of(lambda y: y.split([1, 3])[1]),
    ]


@same
def test_views_of_several_result_ops_of_plain_tensors_may_be_written(torch):
    base = torch.zeros(4)
    a, b = base.split(2)
    a.add_(1)
    b[0] = 7
    return [base, base._version, a._is_view()]


@same
def test_base_written_after_split(torch):
    x = leaf(torch, 4)
    y = x * 1
    a, _ = y.split(2)
    y.mul_(3)
    y.sum().backward()
    return [x.grad, caught(lambda: a * 2), a.requires_grad]


@same
def test_views_made_without_grad(torch):
    x = leaf(torch, 4)
    y = x * 1
    with torch.no_grad():
        v = y[:2]
        w = x[:2]
    errors = [caught(lambda: v.add_(1)), caught(lambda: w.add_(1))]
    with torch.no_grad():
        w.add_(1)
    return [errors, v.requires_grad, v._is_view(), v._base is y, x.detach().clone(), x._version]


@same
def test_view_made_without_grad_of_a_plain_tensor_then_written_with_grad(torch):
    base = torch.zeros(4)
    with torch.no_grad():
        v = base[:2]
    x = leaf(torch, 2)
    return caught(lambda: v.mul_(x))


@same
def test_leaf_written_without_grad(torch):
    x = leaf(torch, 3)
    y = (x * x).sum()
    with torch.no_grad():
        x.mul_(2)
    return [caught(y.backward), x._version, x.is_leaf, x.requires_grad]


@same
def test_leaf_update_after_backward(torch):
    x = leaf(torch, 3)
    for _ in range(3):
        (x * 2).sum().backward()
        with torch.no_grad():
            x -= 0.1 * x.grad
            x.grad.zero_()
    return [x.detach().clone(), x.grad, x._version, x.grad._version]


@same
def test_set_item_variants(torch):
    x = leaf(torch, 3)

    def of(write):
        y = x * 2
        write(y)
        (g,) = torch.autograd.grad((y * torch.arange(1.0, 4)).sum(), x)
        return [y, g]

    return [
        of(lambda y: y.__setitem__(0, 5.0)),
        of(lambda y: y.__setitem__(slice(1, None), y[:2].clone())),
        of(lambda y: y.__setitem__(y > 1, 0.0)),
        of(lambda y: y.__setitem__(torch.tensor([0, 2]), x[:2] * 7)),
        of(lambda y: y.masked_fill_(torch.tensor([True, False, True]), 3.0)),
        of(lambda y: y.index_put_((torch.tensor([0, 0]),), x[:2], accumulate=True)),
        of(lambda y: y.index_add_(0, torch.tensor([1, 1]), x[:2])),
        of(lambda y: y.fill_(2.0)),
        of(lambda y: y.zero_()),
        of(lambda y: y.clamp_(min=3.0)),
        of(lambda y: y.unsqueeze_(0).squeeze_(0)),
    ]


@same
def test_augmented_assignment(torch):
    x = leaf(torch, 3)
    y = x * 2
    same_object = y
    y += x
    y *= 3
    y[0] += 10
    y[1:] *= x[1:] * 2
    y.sum().backward()
    return [same_object is y, y, x.grad]


@same
def test_shape_changing_writes_in_place(torch):
    x = leaf(torch, 2, 3)
    y = x * 2
    y.t_()
    y.unsqueeze_(0)
    y.squeeze_()
    y.transpose_(0, 1)
    (y * torch.arange(6.0).reshape(2, 3)).sum().backward()
    return [y.shape, x.grad, y._version]


@same
def test_failed_writes_change_nothing(torch):
    y = leaf(torch, 3) * 2
    plain = torch.ones(3, dtype=torch.int64)
    errors = [
        caught(lambda: y.add_(torch.ones(2, 3))),
        caught(lambda: plain.add_(1.5)),
        caught(lambda: torch.ones(1).expand(3).add_(1)),
        caught(lambda: y[1:].copy_(y[:-1])),
        caught(lambda: y.fill_(torch.ones(2))),
    ]
    return [errors, y, y._version, y.grad_fn, plain, plain._version]


@same
def test_requires_grad_in_place(torch):
    x = torch.ones(3)
    y = x.requires_grad_()
    z = (x * 2).requires_grad_()
    return [
        y is x,
        x.requires_grad,
        z.requires_grad,
        caught(lambda: (x * 2).requires_grad_(False)),
        caught(lambda: torch.ones(2, dtype=torch.int64).requires_grad_()),
        caught(lambda: setattr(torch.ones(2, dtype=torch.bool), "requires_grad", True)),
        caught(lambda: torch.tensor([1], requires_grad=True)),
    ]


@same
def test_requires_grad_on_a_view(torch):
    base = torch.zeros(4)
    v = base[:2].requires_grad_()
    (v * 3).sum().backward()
    return [
        v.is_leaf,
        v.grad,
        base.requires_grad,
        v._is_view(),
        caught(lambda: v.add_(1)),
        caught(lambda: base.add_(1)),
    ]


@same
def test_assigning_grad(torch):
    x = leaf(torch, 3)
    errors = [
        caught(lambda: setattr(x, "grad", torch.ones(2))),
        caught(lambda: setattr(x, "grad", 1.0)),
        caught(lambda: setattr(x, "grad", torch.ones(3, dtype=torch.float64))),
        caught(lambda: setattr(x, "grad", x)),
    ]
    g = torch.ones(3)
    x.grad = g
    (x * 2).sum().backward()
    kept = x.grad is g
    del x.grad
    return [errors, kept, g, x.grad]


@same
def test_grad_accumulates_in_place_or_not(torch):
    x = leaf(torch, 3)
    (x * 2).sum().backward()
    first = x.grad
    (x * 2).sum().backward()
    in_place = x.grad is first
    version = first._version
    (x * x).sum().backward(create_graph=True)
    return [in_place, version, x.grad is first, x.grad, first]


@same
def test_first_gradient_is_not_the_users_cotangent(torch):
    x = leaf(torch, 3)
    g = torch.ones(3)
    x.backward(g)
    y = x * 1
    h = torch.ones(3)
    y.backward(h)
    x.grad.add_(5)
    return [x.grad is g, g, h, x.grad]


@same
def test_out_with_grad(torch):
    x = leaf(torch, 3)
    out = torch.zeros(3)
    error = caught(lambda: torch.add(x, 1, out=out))
    with torch.no_grad():
        torch.add(x, 1, out=out)
    return [error, out, out._version]


@same
def test_copy_between_dtypes_and_shapes(torch):
    x = leaf(torch, 3)
    y = torch.zeros(2, 3, dtype=torch.float64)
    y.copy_(x)
    y.sum().backward()
    return [x.grad, y, y.grad_fn]


@same
def test_views_that_are_views(torch):
    x = torch.arange(12.0).reshape(3, 4)
    views = {
        "slice": x[1:], "select": x[0], "T": x.T, "view": x.view(12), "reshape": x.reshape(12),
        "expand": x[:1].expand(3, 4), "unsqueeze": x.unsqueeze(0), "diagonal": x.diagonal(),
        "as_strided": x.as_strided((2,), (1,)), "unfold": x.unfold(0, 2, 1), "narrow": x.narrow(0, 0, 2),
        "permute": x.permute(1, 0), "squeeze": x.squeeze(), "flatten": x.flatten(), "detach": x.detach(),
        "contiguous": x.contiguous(), "clone": x.clone(), "index": x[[0]], "mask": x[x > 3],
        "to": x.to(x.dtype),
        "view_as": x.view_as(x), "chunk": x.chunk(2)[0], "movedim": x.movedim(0, 1), "real": x.real,
        "unflatten": x.unflatten(1, (2, 2)), "swapaxes": x.swapaxes(0, 1), "ellipsis": x[...],
        "none": x[None],
    }  # fmt: skip
    return {k: [v is x, v._is_view(), v._base is x, v._version] for k, v in views.items()}


@same
def test_versions_of_aliases(torch):
    x = torch.zeros(4)
    v = x[:2]
    d = v.detach()
    seen = [x._version, v._version, d._version]
    d.add_(1)
    seen += [x._version, v._version, d._version]
    x.add_(1)
    v[0] = 3
    return [*seen, x._version, v._version, d._version]


@same
def test_increment_version(torch):
    x = leaf(torch, 3)
    y = x * 1
    z = (y * y).sum()
    torch.autograd.graph.increment_version(y)
    return [y._version, caught(z.backward)]


@same
def test_inference_tensors(torch):
    with torch.inference_mode():
        x = torch.ones(3)
        y = x * 2
        y.add_(1)
        v = y[:2]
    w = leaf(torch, 3)
    return [
        x.is_inference(), y.is_inference(), v.is_inference(), y.requires_grad,
        caught(lambda: (w * x).sum()), caught(lambda: x.add_(1)), caught(lambda: x._version),
        caught(lambda: x.requires_grad_()), caught(lambda: w + x), (w + x).is_inference(),
        x.clone().is_inference(), caught(lambda: x[:2].add_(1)), (x * 2).is_inference(), x[:1].is_inference(),
    ]  # fmt: skip


@same
def test_writes_inside_inference_mode(torch):
    x = leaf(torch, 3)
    plain = torch.ones(3)
    y = x * 1
    with torch.inference_mode():
        plain.add_(1)
        x.add_(1)
        v = plain[:2]
        v.add_(1)
        error = caught(lambda: y[:2].add_(1))
    return [plain, plain._version, x._version, v.is_inference(), error, y._version]


@same
def test_is_leaf_rules(torch):
    a = torch.ones(2)
    b = leaf(torch, 2)
    c = b.detach()
    with torch.no_grad():
        d = b * 2
    e = b * 2
    f = (torch.ones(2) + 1).requires_grad_()
    return [t.is_leaf for t in (a, b, c, d, e, f, b.detach().requires_grad_(), b.clone(), b.double())]


@same
def test_deepcopy_and_pickle_of_leaves_and_results(torch):
    import copy
    import pickle

    x = leaf(torch, 3)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    z = pickle.loads(pickle.dumps(x))
    return [y.grad, y.requires_grad, y is x, z.requires_grad, z.grad, caught(lambda: copy.deepcopy(x * 2))]


@same
def test_set_data(torch):
    x = leaf(torch, 3)
    x.data = torch.zeros(2)
    shape = x.shape
    (x + 1).sum().backward()
    y = torch.ones(3)
    v = y[:2]
    y.data = torch.zeros(3)
    v.add_(1)
    return [shape, x.grad, y, v, caught(lambda: setattr(x, "data", 3)),
            caught(lambda: setattr(x, "data", torch.ones(2, dtype=torch.int64)))]  # fmt: skip


@same
def test_write_to_a_part_of_what_was_saved(torch):
    x = leaf(torch, 4)
    y = x * 1
    z = (y[:2] * y[:2]).sum()
    y[2:] = 0
    return caught(z.backward)


@same
def test_expanded_leaf(torch):
    x = leaf(torch, 1)
    y = x.expand(3)
    (y * torch.arange(3.0)).sum().backward()
    base = torch.ones(1).expand(3).requires_grad_()
    (base * torch.arange(3.0)).sum().backward()
    return [x.grad, base.grad, base.grad.stride()]


@same
def test_gradient_layout_follows_the_leaf(torch):
    x = torch.ones(2, 3).t().requires_grad_()
    (x * 2).sum().backward()
    y = torch.ones(4, 4)[:, ::2].requires_grad_()
    (y * 2).sum().backward()
    return [x.grad.stride(), y.grad.stride()]


@same
def test_relu_in_place_in_a_network(torch):
    x = torch.tensor([-1.0, 2.0, 3.0], requires_grad=True)
    y = torch.relu_(x * 2)
    z = torch.nn.functional.relu(y * 3 - 7, inplace=True)
    z.sum().backward()
    return [x.grad, z]


@same
def test_random_writes_in_place(torch):
    y = leaf(torch, 3) * 2
    y.uniform_()
    z = leaf(torch, 3) * 2
    z.normal_()
    w = leaf(torch, 3) * 2
    w.bernoulli_(0.5)
    return [y.grad_fn is not None, z.grad_fn is not None, y.requires_grad, y._version, w.requires_grad,
            caught(lambda: leaf(torch, 3).uniform_())]  # fmt: skip


@same
def test_resize_and_set(torch):
    x = leaf(torch, 3)
    y = torch.zeros(3)
    y.resize_(2, 2)
    return [y.shape, caught(lambda: x.resize_(2)), caught(lambda: (x * 2).resize_(2))]


@same
def test_swap_of_values_between_views(torch):
    x = leaf(torch, 4)
    y = x * torch.arange(4.0)
    y[:2], y[2:] = y[2:].clone(), y[:2].clone()
    (y * torch.tensor([1.0, 10, 100, 1000])).sum().backward()
    return [y, x.grad]


@same
def test_complex_views_written(torch):
    x = leaf(torch, 2)
    z = torch.complex(x * 2, x * 3)
    z.real.mul_(5)
    torch.view_as_real(z)[..., 1].add_(x)
    (z.real + 2 * z.imag).sum().backward()
    return [z, x.grad]
