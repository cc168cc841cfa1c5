"""The kernels for GPUs against float64, and against the blocks that a CPU goes through."""

import pytest
import torch

from identbox.learning.contrastive import LOG2_E, log_sum_exp

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SIZES = [(37, 150, 5), (16, 128, 1), (700, 40, 15), (6144, 6144, 5)]


def reference(a, b, similarity, scale):
    """Both results of `log_sum_exp` in float64, written out."""
    sim = a @ b.T if similarity == "cosine" else -(a[:, None] - b[None]).square().sum(2)
    return torch.logsumexp(scale * sim, 1), torch.logsumexp(scale * sim, 0)


def drawn(n, m, d):
    generator = torch.Generator("cuda").manual_seed(0)
    shapes = ((n, d), (m, d), (n,), (m,))
    return [torch.randn(shape, generator=generator, device="cuda", dtype=torch.float64) for shape in shapes]


def weighted(function, a, b, row_weights, column_weights):
    """Values of both sums, and gradients of their weighted total."""
    a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
    rows, columns = function(a, b)
    ((rows * row_weights).sum() + (columns * column_weights).sum()).backward()
    return rows.detach(), columns.detach(), a.grad, b.grad


@pytest.mark.parametrize("similarity", ["euclidean", "cosine"])
@pytest.mark.parametrize(("n", "m", "d"), SIZES)
def test_sums_and_gradients_are_those_of_float64(n, m, d, similarity):
    scale, double = 1.7, drawn(n, m, d)
    exact = weighted(lambda a, b: reference(a, b, similarity, scale), *double)
    single = [values.float() for values in double]
    found = weighted(lambda a, b: log_sum_exp(a, b, similarity, scale), *single)
    for one, other in zip(found, exact, strict=True):
        assert (one.double() - other).norm() <= 2e-6 * other.norm()


def test_kernels_agree_with_blocks_and_repeat_themselves():
    single = [values.float() for values in drawn(1000, 900, 5)]
    kernels = weighted(lambda a, b: log_sum_exp(a, b, "euclidean", 2.0), *single)
    again = weighted(lambda a, b: log_sum_exp(a, b, "euclidean", 2.0), *single)
    blocks = weighted(lambda a, b: log_sum_exp(a, b, "euclidean", 2.0, block=128), *single)
    for one, same, other in zip(kernels, again, blocks, strict=True):
        assert torch.equal(one, same)
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_similarities_take_no_memory():
    a, b, *_ = (values.float() for values in drawn(20_000, 20_000, 5))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    log_sum_exp(a.requires_grad_(), b, "euclidean", LOG2_E)[0].sum().backward()
    assert torch.cuda.max_memory_allocated() - before < 2**24  # all similarities would be 1.6 GB
