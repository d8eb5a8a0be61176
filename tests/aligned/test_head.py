import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fmbseg.aligned.head import AlignmentHead
from fmbseg.aligned.head_settings import HEAD_KINDS, HeadKind, HeadSettings, default_heads


def by_hand(head: AlignmentHead, features: torch.Tensor) -> torch.Tensor:
    """The block from its weights: x += attention(norm(x)); x += mlp(norm(x)); norm, linear, unit length."""
    weights = dict(head.named_parameters())
    batch, channels, height, width = features.shape
    heads = head.settings.heads
    x = features.flatten(2).transpose(1, 2)

    def norm(values: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = values.mean(-1, keepdim=True), values.var(-1, keepdim=True, unbiased=False)
        return (values - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[
            f"{name}.bias"
        ]

    projected = norm(x, "block.norm1") @ weights["block.self_attn.in_proj_weight"].T
    query, key, value = (
        part.view(batch, -1, heads, channels // heads).transpose(1, 2)
        for part in (projected + weights["block.self_attn.in_proj_bias"]).chunk(3, dim=-1)
    )
    attention = (query @ key.transpose(2, 3) / (channels // heads) ** 0.5).softmax(dim=-1)
    mixed = (attention @ value).transpose(1, 2).reshape(batch, -1, channels)
    x = x + mixed @ weights["block.self_attn.out_proj.weight"].T + weights["block.self_attn.out_proj.bias"]
    hidden = norm(x, "block.norm2") @ weights["block.linear1.weight"].T + weights["block.linear1.bias"]
    x = x + functional.gelu(hidden) @ weights["block.linear2.weight"].T + weights["block.linear2.bias"]
    out = norm(x, "norm") @ weights["project.weight"].T + weights["project.bias"]
    out = out / out.norm(dim=-1, keepdim=True)
    grid: torch.Tensor = out.transpose(1, 2).reshape(batch, -1, height, width)
    return grid


@pytest.mark.parametrize("training", [True, False])
def test_it_is_one_pre_norm_block(training: bool) -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=12, out_dim=5, heads=3).double().train(training)
    features = torch.randn(2, 12, 3, 4, dtype=torch.float64)
    with torch.set_grad_enabled(training):
        torch.testing.assert_close(head(features), by_hand(head, features), rtol=1e-9, atol=1e-9)


def test_the_size_of_the_papers_head() -> None:
    """A block of width d has 12 d^2 + 13 d parameters; then a LayerNorm and a Linear to CLIP's 768."""
    with torch.device("meta"):
        head = AlignmentHead(in_dim=1024, out_dim=768)
    d = 1024
    assert sum(p.numel() for p in head.parameters()) == 12 * d**2 + 13 * d + 2 * d + d * 768 + 768
    assert head.settings.heads == 16


def test_images_of_a_batch_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6)
    features = torch.randn(2, 32, 3, 3)
    torch.testing.assert_close(head(features)[:1], head(features[:1]), rtol=1e-5, atol=1e-6)


def test_patches_of_an_image_do() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6)
    features = torch.randn(1, 32, 2, 2)
    changed = features.clone()
    changed[:, 0, 1, 1] += 1
    assert not torch.allclose(head(features)[..., 0, 0], head(changed)[..., 0, 0])


def test_without_attention_every_patch_is_mapped_by_itself() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6, kind="block_without_attention")
    features = torch.randn(1, 32, 2, 2)
    changed = features.clone()
    changed[:, 0, 1, 1] += 1
    torch.testing.assert_close(head(features)[..., :1, :], head(changed)[..., :1, :])
    assert not torch.allclose(head(features)[..., 1, 1], head(changed)[..., 1, 1])


def test_without_attention_it_is_the_mlp_half_of_the_block() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=12, out_dim=5, mlp_ratio=2, kind="block_without_attention").double()
    weights = dict(head.named_parameters())
    patch = torch.randn(12, dtype=torch.float64)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = weights["block.mlp.1.weight"] @ norm(patch, "block.mlp.0") + weights["block.mlp.1.bias"]
    out = patch + weights["block.mlp.3.weight"] @ functional.gelu(hidden) + weights["block.mlp.3.bias"]
    out = weights["project.weight"] @ norm(out, "norm") + weights["project.bias"]
    torch.testing.assert_close(head(patch[None, :, None, None])[0, :, 0, 0], out / out.norm())


def normed(x: torch.Tensor, weights: dict[str, nn.Parameter], name: str) -> torch.Tensor:
    scaled = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: torch.Tensor, weights: dict[str, nn.Parameter], name: str) -> torch.Tensor:
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_linear_and_mlp_from_their_weights(kind: HeadKind) -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=12, out_dim=5, mlp_ratio=2.5, kind=kind).double()
    weights, patch = dict(head.named_parameters()), torch.randn(12, dtype=torch.float64)
    if kind == "linear":
        out = linear(normed(patch, weights, "norm"), weights, "project")
    else:
        hidden = functional.gelu(linear(normed(patch, weights, "block.0"), weights, "block.1"))
        assert hidden.shape == (30,)
        out = linear(hidden, weights, "project")
    torch.testing.assert_close(head(patch[None, :, None, None])[0, :, 0, 0], out / out.norm())


def test_two_blocks_are_one_after_the_other() -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6, kind="two_blocks")
    features = torch.randn(1, 32, 2, 3)
    first, second = (AlignmentHead(in_dim=32, out_dim=6, kind="block").block for _ in range(2))
    blocks = dict(head.block.named_children())
    first.load_state_dict(blocks["0"].state_dict())
    second.load_state_dict(blocks["1"].state_dict())
    patches = second(first(features.flatten(2).transpose(1, 2)))
    out = functional.normalize(head.project(head.norm(patches)), dim=-1)
    torch.testing.assert_close(head(features).flatten(2).transpose(1, 2), out, rtol=1e-5, atol=1e-6)


def parameters(kind: HeadKind, d: int, hidden: int, out: int) -> int:
    """Weights and biases, counted from the formulae of each layer."""
    norm, attention, mlp = 2 * d, 4 * d * d + 4 * d, 2 * d * hidden + hidden + d
    block = 2 * norm + attention + mlp
    return {
        "block": block + norm + d * out + out,
        "two_blocks": 2 * block + norm + d * out + out,
        "block_without_attention": norm + mlp + norm + d * out + out,
        "linear": norm + d * out + out,
        "mlp": norm + d * hidden + hidden + hidden * out + out,
    }[kind]


@pytest.mark.parametrize("kind", HEAD_KINDS)
@pytest.mark.parametrize(("d", "out", "ratio"), [(1024, 768, 4.0), (472, 384, 1280 / 472)])
def test_the_parameters_of_every_kind(kind: HeadKind, d: int, out: int, ratio: float) -> None:
    with torch.device("meta"):
        head = AlignmentHead(d, out, mlp_ratio=ratio, kind=kind)
    assert head.settings.hidden == {1024: 4096, 472: 1280}[d]
    assert head.parameter_count == parameters(kind, d, head.settings.hidden, out)


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_flops_are_those_that_torch_counts(kind: HeadKind) -> None:
    head = AlignmentHead(in_dim=32, out_dim=20, mlp_ratio=3.0, kind=kind)  # trains: no fused fast path
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        head(torch.randn(1, 32, 5, 7))
    assert head.settings.flops(5, 7) == counter.get_total_flops()


@pytest.mark.parametrize("kind", HEAD_KINDS)
def test_every_kind_gives_unit_vectors_and_learns(kind: HeadKind) -> None:
    torch.manual_seed(0)
    head = AlignmentHead(in_dim=32, out_dim=6, kind=kind)
    aligned = head(torch.randn(2, 32, 3, 5))
    assert aligned.shape == (2, 6, 3, 5)
    torch.testing.assert_close(aligned.norm(dim=1), torch.ones(2, 3, 5))
    torch.autograd.backward(aligned[:, 0].sum())
    assert all(weight.grad is not None and weight.grad.norm() > 0 for weight in head.parameters())


@pytest.mark.parametrize(("in_dim", "heads"), [(472, 8), (1024, 16), (768, 16), (384, 12), (120, 3), (31, 1)])
def test_default_heads_divide(in_dim: int, heads: int) -> None:
    assert default_heads(in_dim) == heads
    assert in_dim % heads == 0


@pytest.mark.parametrize("shape", [(2, 12, 3), (1, 13, 3, 3)])
def test_wrong_features_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"takes features \(B, 12, h, w\); got"):
        AlignmentHead(in_dim=12, out_dim=5)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"in_dim": 0}, "in_dim .* is 0: it must be"),
        ({"out_dim": -3}, "out_dim .* is -3: it"),
        ({"heads": 5}, "heads .* is 5: it must divide in_dim, 12"),
        ({"heads": True}, "heads .* is True: it"),
        ({"in_dim": 12.0}, "in_dim .* is 12.0: it"),
        ({"mlp_ratio": 0}, "mlp_ratio .* is 0: it"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio .* is nan: it"),
        ({"mlp_ratio": "4"}, "mlp_ratio .* is '4': it"),
        ({"kind": "conv"}, "kind of the head is 'conv': it must be one of 'block'"),
        ({"kind": None}, "kind .* is None: it"),
    ],
)
def test_settings_that_make_no_head(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeadSettings(**{"in_dim": 12, "out_dim": 5, "heads": 3, **values})  # type: ignore[arg-type]
